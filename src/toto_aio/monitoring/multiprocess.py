"""What the workers of a master count together, in files that each of them writes and all of them read.

They are those of prometheus_client's multiprocess mode. It leaves the files of each process that has ended,
because its counts must not be lost; here they are added to one file, so that there are never more than the
processes need.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

logger = logging.getLogger(__name__)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable in the environment by which prometheus_client finds the folder; it is read at its import."""
COUNTED = ("counter", "histogram", "summary")
"""The kinds of files whose counts outlive their process."""
ENDED = "ended"
"""What stands for the number of a process in the names of the files with the counts of those that ended."""
LOCK = "toto-aio.lock"
"""The file that is locked while the others are read, or change their names."""
PAUSE = 0.05
"""Seconds until it is tried again when somebody else has it."""


class Tally:
    """The master's care of the folder, from ``open`` to ``close``."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._ended: list[int] = []
        self._later: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Make the folder, and have the processes that are started from now on find it."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="toto-aio-metrics-", ignore_cleanup_errors=True)
            os.environ[FOLDER] = self._folder.name

    def add_ended(self, pid: int) -> None:
        """Keep what a process has counted, and forget what it was at, now that it has ended."""
        if self._folder is not None:
            for file in Path(self._folder.name).glob(f"gauge_live*_{pid}.db"):
                file.unlink(missing_ok=True)
            self._ended.append(pid)
            self._add_all()

    def close(self) -> None:
        """Remove the folder."""
        if self._later is not None:
            self._later.cancel()
        if self._folder is not None:
            os.environ.pop(FOLDER, None)
            self._folder.cleanup()
            self._folder = None

    def _add_all(self) -> None:
        assert self._folder is not None
        if self._later is not None:
            self._later.cancel()
            self._later = None
        with locked(self._folder.name, alone=True) as is_ours:
            while is_ours and self._ended:
                _add_process(Path(self._folder.name), self._ended.pop())
        if self._ended:  # somebody reads; who is frozen meanwhile holds nobody up
            self._later = asyncio.get_running_loop().call_later(PAUSE, self._add_all)


@contextmanager
def locked(folder: str, *, alone: bool) -> Iterator[bool]:
    """Whether the files may be read now, or changed by who is ``alone`` with them; nobody is waited for.

    What a process has counted would else be there twice for who reads, or not at all, when it is just being
    added to the counts of those that have ended. Prometheus would take that for a new start.
    """
    import fcntl  # which is not everywhere, and needed with processes alone

    with open(os.path.join(folder, LOCK), "a") as lock:
        is_ours = True
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            is_ours = False
        yield is_ours


def _add_process(folder: Path, pid: int) -> None:
    for kind in COUNTED:
        file = folder / f"{kind}_{pid}.db"
        try:
            if file.exists():
                _add(file, folder / f"{kind}_{ENDED}.db")
        except (OSError, RuntimeError, ValueError, struct.error):
            logger.exception("what process %d has counted is lost to the metrics", pid)
        file.unlink(missing_ok=True)


def _add(file: Path, to: Path) -> None:
    """Add the values of a file to those of another, which is replaced whole."""
    values: dict[str, float] = {}
    for source in (to, file):
        if source.exists():
            for key, value, _, _ in _files().read_all_values_from_file(str(source)):
                values[key] = values.get(key, 0.0) + value
    new = to.with_suffix(".new")
    new.unlink(missing_ok=True)
    written = _files()(str(new))
    try:
        for key, value in values.items():
            written.write_value(key, value, 0.0)
    finally:
        written.close()
    new.replace(to)


def _files() -> Any:
    """prometheus_client's class of files, which the master needs only if there are some."""
    from prometheus_client.mmap_dict import MmapedDict

    return MmapedDict
