"""What the tests share: running services, programs, database servers, a browser."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder of the project."""


def copy_hello(folder: Path) -> None:
    """Copy examples/hello, without the database that somebody who has tried it has left there."""
    left = shutil.ignore_patterns("toto.db*", "toto.pid", "__pycache__")
    shutil.copytree(ROOT / "examples" / "hello", folder, ignore=left, dirs_exist_ok=True)
