"""What the service measures of itself, for Prometheus; ``docs/metrics.md`` has the table.

It needs prometheus_client, and is imported when it is asked for.
"""
