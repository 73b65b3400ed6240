"""The pidfile, by which commands find a service in the background and never signal another process instead.

The file's content is for people. The service is the process that holds a lock on the file: the kernel names
it (``F_GETLK`` in fcntl(2)) and releases the lock when the process ends, so a stale file blocks no start.
Only a lock for writing counts, which others cannot have: the file is its owner's alone.
Signals go through a pidfd, which refers to the same process even after its id is reused (pidfd_open(2)).
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from toto_aio.settings import SettingsError

logger = logging.getLogger(__name__)

FLOCK = "hhqqi4x"
"""The format of ``struct flock``: type, whence, start, length, process id."""
OWNER_ONLY = 0o600
LOCK_ATTEMPTS = 100
LOCK_PAUSE = 0.02
"""Seconds between two attempts to lock a file that its holder is leaving."""
ELSEWHERE = "in another container or on another machine"
"""Where the process that holds the file runs if its id means nothing here."""


class AlreadyRunning(Exception):
    """Another process holds the file; ``pid`` is its id, 0 if it cannot be seen from here."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"already running, {f'as process {pid}' if pid else ELSEWHERE} ({path})")
        self.pid = pid


class Pidfile:
    """Holds the file at ``path`` until it is closed.

    Raises ``AlreadyRunning`` if another process holds it, and ``SettingsError`` if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = _lock(path)
            _state_path(path).unlink(missing_ok=True)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, b"%d\n" % os.getpid())
        except OSError as exc:
            raise SettingsError(f"pidfile: {path}: {exc.strerror}") from exc

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Write the service's state to the file next to the pidfile."""
        try:
            new = _state_path(self.path).with_suffix(".new")
            new.unlink(missing_ok=True)  # it may be a link that somebody has put there
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
                json.dump(state, file)
            new.replace(_state_path(self.path))
        except OSError as exc:
            logger.warning("%s could not be written: %s", _state_path(self.path), exc.strerror)

    def close(self) -> None:
        """Remove the file, unless someone has removed it by hand and another process has made its own."""
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
                for path in (_state_path(self.path), self.path):
                    path.unlink(missing_ok=True)
        os.close(self._descriptor)


class RunningProcess:
    """The process that holds a pidfile; its pidfd cannot refer to any other process."""

    def __init__(self, path: Path, pid: int, pidfd: int) -> None:
        self.path = path
        self.pid = pid
        self._pidfd = pidfd

    def read_state(self) -> dict[str, Any]:
        """The state that it last wrote; empty if it has written none."""
        with suppress(OSError, ValueError):
            return dict(json.loads(_state_path(self.path).read_text()))
        return {}

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def exits_within(self, seconds: float) -> bool:
        """Wait until it exits, for at most that long; whether it has."""
        return bool(select.select([self._pidfd], [], [], seconds)[0])


@contextmanager
def find_running(path: Path) -> Iterator[RunningProcess | None]:
    """The process that holds the file, or None. Raises ``SettingsError`` if the file cannot be read."""
    try:
        pid = _read_holder(path)
        if pid == 0:
            raise SettingsError(f"pidfile: {path}: its service runs {ELSEWHERE}: write another path")
        pidfd = None if pid is None else os.pidfd_open(pid)
        # If that process still holds the file, the pidfd refers to it and not to a successor of its id.
        if pidfd is not None and _read_holder(path) != pid:
            os.close(pidfd)
            pidfd = None
    except ProcessLookupError:
        pidfd = None
    except OSError as exc:
        raise SettingsError(f"pidfile: {path}: {exc.strerror}") from exc
    if pid is None or pidfd is None:
        yield None
        return
    try:
        yield RunningProcess(path, pid, pidfd)
    finally:
        os.close(pidfd)


def _lock(path: Path) -> int:
    import fcntl  # not available on every platform, and only needed in the background

    for _ in range(LOCK_ATTEMPTS):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BlockingIOError:
            pid = _holder(descriptor)
            if pid is not None:
                os.close(descriptor)
                raise AlreadyRunning(path, pid) from None
            time.sleep(LOCK_PAUSE)
        except FileNotFoundError:  # its holder has ended in the meantime and removed it
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise SettingsError(f"pidfile: {path}: a program that is not a service locks it; remove the file")


def _read_holder(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would wait for its writer
    except FileNotFoundError:
        return None
    try:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    """The id of the process with a lock for writing: None without one, 0 if it can't be seen from here."""
    import fcntl

    query = struct.pack(FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, query))
    return None if kind == fcntl.F_UNLCK else max(int(pid), 0)


def _state_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")
