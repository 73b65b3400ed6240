"""The metrics that the workers of a master share: files that each worker writes and all of them read.

They are the files of prometheus_client's multiprocess mode. prometheus_client keeps the files of all
processes that have ended, as their counts must not be lost. Here the counts are added to one file, so that
the number of files depends only on the number of running processes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder; prometheus_client reads it when it is imported."""
CUMULATIVE = ("counter", "histogram", "summary")
"""The kinds of files whose values are kept after their process has ended."""
ENDED = "ended"
"""Replaces the process id in the names of the files that hold the values of processes that have ended."""
PREFIX = "toto-aio-metrics-"
"""The beginning of the names of folders in ``TMPDIR``."""
IN_USE = "toto-aio.in-use"
"""The file that the master and its workers lock for as long as they run, so that nobody removes the folder.
A process id would not do, as another process may have got it since."""
LOCK = "toto-aio.lock"
"""The file that is locked while the others are read or merged."""
RETRY_INTERVAL = 0.05
"""Seconds until the next attempt to get the lock."""


class MetricsFolder:
    """The folder of the files, which the master makes, tidies and removes."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._in_use = -1
        self._dead: list[int] = []
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Make the folder, so that the processes started from now on use it, and remove abandoned ones."""
        if self._folder is None:
            _remove_abandoned(Path(gettempdir()))
            self._folder = TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
            self._in_use = _mark_in_use(Path(self._folder.name))
            os.environ[FOLDER_VARIABLE] = self._folder.name

    def mark_process_dead(self, pid: int) -> None:
        """Keep what a process that has ended has counted, and drop its live gauges."""
        if self._folder is not None:
            for file in Path(self._folder.name).glob(f"gauge_live*_{pid}.db"):
                file.unlink(missing_ok=True)
            self._dead.append(pid)
            self._merge_dead()

    def close(self) -> None:
        """Remove the folder."""
        if self._retry is not None:
            self._retry.cancel()
        if self._folder is not None:
            os.environ.pop(FOLDER_VARIABLE, None)
            self._folder.cleanup()
            self._folder = None
            os.close(self._in_use)

    def _merge_dead(self) -> None:
        assert self._folder is not None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        with locked(self._folder.name, exclusive=True) as is_locked:
            while is_locked and self._dead:
                _merge_process(Path(self._folder.name), self._dead.pop())
        if self._dead:  # a worker is reading; trying again later means that a frozen one blocks nothing
            self._retry = asyncio.get_running_loop().call_later(RETRY_INTERVAL, self._merge_dead)


def keep_folder(folder: str) -> None:
    """Have the folder kept until this process ends, even if its master is killed before."""
    import fcntl

    with suppress(OSError):  # it is not the folder of a master, or is being removed
        in_use = os.open(os.path.join(folder, IN_USE), os.O_RDWR)
        fcntl.flock(in_use, fcntl.LOCK_SH | fcntl.LOCK_NB)  # until the end of the process: never closed


def _mark_in_use(folder: Path) -> int:
    import fcntl

    new = folder / f"{IN_USE}.new"
    in_use = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(in_use, fcntl.LOCK_SH)
    new.rename(folder / IN_USE)  # there was no moment at which it was not locked
    return in_use


def _remove_abandoned(parent: Path) -> None:
    """Remove this user's folders whose master and workers have all ended without doing so."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, another master's, or another master removes it, too
            if os.lstat(folder).st_uid == os.geteuid() and _is_abandoned(folder):
                shutil.rmtree(folder)
                logger.info("removed %s, which a master that was killed has left", folder)


def _is_abandoned(folder: Path) -> bool:
    """Whether no process uses a folder any more. Raises ``OSError`` if it was never in use."""
    import fcntl

    with open(os.open(folder / IN_USE, os.O_RDWR | os.O_NOFOLLOW), "rb") as in_use:
        try:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def locked(folder: str, *, exclusive: bool) -> Iterator[bool]:
    """Try to lock the files, for reading or, if ``exclusive``, for merging; whether that worked. Never waits.

    Without the lock, a reader could see the counts of a process twice or not at all while they are merged.
    Prometheus would take that for a restart of the counter.
    """
    import fcntl  # not available on every platform, and only needed with several processes

    with open(os.path.join(folder, LOCK), "a") as lock:
        is_locked = True
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            is_locked = False
        yield is_locked


def _merge_process(folder: Path, pid: int) -> None:
    for kind in CUMULATIVE:
        file = folder / f"{kind}_{pid}.db"
        try:
            if file.exists():
                _merge_file(file, folder / f"{kind}_{ENDED}.db")
        except (OSError, RuntimeError, ValueError, struct.error):
            logger.exception("the metrics of process %d are lost", pid)
        file.unlink(missing_ok=True)


def _merge_file(file: Path, to: Path) -> None:
    """Add the values of a file to those of another, which is replaced as a whole."""
    values: dict[str, float] = {}
    for source in (to, file):
        if source.exists():
            for key, value, _, _ in _file_class().read_all_values_from_file(str(source)):
                values[key] = values.get(key, 0.0) + value
    new = to.with_suffix(".new")
    new.unlink(missing_ok=True)
    written = _file_class()(str(new))
    try:
        for key, value in values.items():
            written.write_value(key, value, 0.0)
    finally:
        written.close()
    new.replace(to)


def _file_class() -> Any:
    """prometheus_client's class of files, imported only once there are any."""
    from prometheus_client.mmap_dict import MmapedDict

    return MmapedDict
