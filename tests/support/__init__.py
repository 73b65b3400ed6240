"""What the tests share: running services, programs, servers of databases, a browser."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder of the project."""
