"""Health checks, and metrics for Prometheus; ``docs/metrics.md`` has the table.

The metrics need prometheus_client, and are imported only if they are switched on.
"""
