"""Benchmarks of the service, beside other frameworks: ``python -m benchmarks``."""
