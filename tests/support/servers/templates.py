"""The data directories of servers: made once in a run of the tests and then copied, which costs a tenth."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "TEMPLATES_OF_TEST_SERVERS"
"""The environment variable with the folder of the templates, for all processes of a run."""


@contextmanager
def templates() -> Iterator[None]:
    """Keep templates for a block, unless a process above this one does."""
    if VARIABLE in os.environ:
        yield
        return
    os.environ[VARIABLE] = folder = tempfile.mkdtemp(prefix="toto-aio-templates-")
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


def install(directory: Path, name: str, make: Callable[[], None]) -> None:
    """Let ``make`` make a directory that does not exist, or copy it from what ``make`` made as ``name``."""
    if VARIABLE not in os.environ:
        make()
        return
    template = Path(os.environ[VARIABLE], name)
    with template.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            make()
            copy(directory, template.with_suffix(".new"))
            template.with_suffix(".new").rename(template)
            return
    copy(template, directory)


def copy(source: Path, target: Path) -> None:
    """Copy a folder with its owners, and without its holes."""
    subprocess.run(["cp", "--archive", "--reflink=auto", source, target], check=True)
