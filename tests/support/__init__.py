"""What the tests share: running services, programs, database servers, a browser."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project's folder."""
