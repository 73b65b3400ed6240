"""Importing the package imports no driver. Import-linter holds the layers, in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import toto_aio

SOURCE = Path(toto_aio.__file__).parent


def test_importing_imports_no_driver() -> None:
    """A driver is imported when its URL is opened."""
    code = "import sys; from toto_aio import *; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(modules.stdout.split())
    assert "toto_aio.app" in loaded
    assert not loaded & {"aiosqlite", "sqlite3", "pymongo", "asyncpg", "redis", "asyncmy", "uvloop"}


def test_importing_needs_no_fcntl() -> None:
    """The library can be imported and embedded where Unix locks do not exist."""
    code = (
        "import sys; sys.modules['fcntl'] = None; import toto_aio; toto_aio.create_app(database='memory://')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_file_is_too_long() -> None:
    """A file is short enough to read in one sitting."""
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
