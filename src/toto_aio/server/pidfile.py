"""The file by which a service in the background is found again, and nobody else in its place.

What it says is for people. Who is meant is the process that holds a lock on it, which the kernel tells
(``F_GETLK`` in fcntl(2)) and gives up with the process, so that an old file blocks no start. Signals go
through a pidfd, which stays with its process when the number is used for another (pidfd_open(2)).
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from toto_aio.settings import SettingsError

logger = logging.getLogger(__name__)

LOCK = "hhqqi4x"
"""``struct flock``: type, whence, start, length, process."""
ELSEWHERE = "in another container or on another machine"
"""Where a process is that holds the file, and has no id that means anything here."""


class AlreadyRunning(Exception):
    """Another process holds the file; ``pid`` is its id, 0 if it cannot be seen from here."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"already running, {f'as process {pid}' if pid else ELSEWHERE} ({path})")
        self.pid = pid


class Pidfile:
    """Holds the file at ``path`` until it is closed.

    Raises ``AlreadyRunning`` if another process does, and ``SettingsError`` if there can be no such file.
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

    def tell(self, state: Mapping[str, Any]) -> None:
        """Write down how the service is, beside the file."""
        try:
            new = _state_path(self.path).with_suffix(".new")
            new.write_text(json.dumps(state))
            new.replace(_state_path(self.path))
        except OSError as exc:
            logger.warning("%s could not be written: %s", _state_path(self.path), exc.strerror)

    def close(self) -> None:
        """Remove the file, unless that has been done by hand and another process has made its own."""
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
                for path in (_state_path(self.path), self.path):
                    path.unlink(missing_ok=True)
        os.close(self._descriptor)


class Running:
    """A process that holds a pidfile, and cannot be taken for another."""

    def __init__(self, path: Path, pid: int, descriptor: int) -> None:
        self.path = path
        self.pid = pid
        self._descriptor = descriptor

    def state(self) -> dict[str, Any]:
        """What it has last told; empty if that is nothing yet."""
        with suppress(OSError, ValueError):
            return dict(json.loads(_state_path(self.path).read_text()))
        return {}

    def send(self, number: signal.Signals) -> None:
        """Send a signal; to nobody, if the process has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def ended(self, seconds: float) -> bool:
        """Whether it has ended, or does so within that time."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])


@contextmanager
def find(path: Path) -> Iterator[Running | None]:
    """The process that holds the file, if one does. Raises ``SettingsError`` if the file cannot be read."""
    try:
        pid = _holder_of(path)
        if pid == 0:
            raise SettingsError(f"pidfile: {path}: its service runs {ELSEWHERE}: write another path")
        descriptor = None if pid is None else os.pidfd_open(pid)
        # If it holds the file still, it is the one that was opened.
        if descriptor is not None and _holder_of(path) != pid:
            os.close(descriptor)
            descriptor = None
    except ProcessLookupError:
        descriptor = None
    except OSError as exc:
        raise SettingsError(f"pidfile: {path}: {exc.strerror}") from exc
    if pid is None or descriptor is None:
        yield None
        return
    try:
        yield Running(path, pid, descriptor)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    import fcntl  # which is not everywhere, and needed in the background alone

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BlockingIOError:
            pid = _holder(descriptor)
            if pid is not None:
                os.close(descriptor)
                raise AlreadyRunning(path, pid) from None
        except FileNotFoundError:  # its holder has ended meanwhile, and has removed it
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _holder_of(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # which a pipe would make wait for a writer
    except FileNotFoundError:
        return None
    try:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    """The id of the process that holds a lock on the file, if one does; 0 if it cannot be seen from here."""
    import fcntl

    asked = struct.pack(LOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(LOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else max(int(pid), 0)


def _state_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")
