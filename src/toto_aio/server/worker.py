"""A worker: a fresh interpreter that runs the master's program again, and the line between the two.

The line is a pair of sockets. The worker writes lines of JSON on it: ``{"ready": true}`` or
``{"failed": text}``, and at its end ``{"leaving": true}`` when it accepts no more connections. When its
master is gone, however it went, the worker reads the end of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from toto_aio.settings import SettingsError

POST = "_TOTO_AIO_WORKER"
"""The variable in the environment by which a process knows that it is a worker."""
START_LIMIT = 60.0
"""Seconds within which a worker must be ready."""
LEAVE_LIMIT = 1.0
"""Seconds that a worker gets to stop accepting connections before others are said to serve in its place."""


class StartError(Exception):
    """A worker that did not become ready; the message is what it said."""


class Post:
    """What a worker has from its master: the sockets to listen on, and its end of the line."""

    def __init__(self, listening: Sequence[int], line: int) -> None:
        self.sockets = [socket.socket(fileno=number) for number in listening]
        self.line = socket.socket(fileno=line)
        self.is_ready = False
        for inherited in (*self.sockets, self.line):
            inherited.setblocking(False)
            inherited.set_inheritable(False)

    def ready(self) -> None:
        """Tell the master that connections are accepted."""
        self.is_ready = True
        self._tell(ready=True)

    def leaving(self) -> None:
        """Tell the master that connections are not accepted any more."""
        self._tell(leaving=True)

    def failed(self, text: str) -> None:
        """Tell the master why this worker does not start."""
        self._tell(failed=text)

    def _tell(self, **words: Any) -> None:
        with suppress(OSError):  # the master may be gone
            self.line.setblocking(True)
            self.line.sendall(json.dumps(words).encode() + b"\n")
            self.line.setblocking(False)


def find_post() -> Post | None:
    """The post of this process if it was started as a worker. The next who asks finds none."""
    text = os.environ.pop(POST, None)
    return None if text is None else Post(**json.loads(text))


def program() -> list[str]:
    """The command that runs this program again."""
    return [sys.executable, *sys.orig_argv[1:]]


def require_pidfd() -> None:
    """Raise ``SettingsError`` where a process cannot be held by a descriptor: that is Linux's alone."""
    if not hasattr(os, "pidfd_open"):
        raise SettingsError(
            "processes, autoreload and a service in the background need Linux: write processes=1"
        )


def folder() -> str:
    """The current folder, by the name that it was entered by: behind a link there may be a newer one."""
    named = os.environ.get("PWD", "")
    with suppress(OSError):
        if os.path.samefile(named, os.curdir):
            return named
    return os.getcwd()


class Worker:
    """The master's view of a worker, from its start to its end, when ``ended`` is called with its id.

    Raises ``OSError`` if there can be no such process.
    """

    def __init__(self, listening: Sequence[socket.socket], cwd: str, ended: Callable[[int], None]) -> None:
        line, other = socket.socketpair()
        with other, ExitStack() as stack:
            stack.callback(line.close)
            numbers = [listener.fileno() for listener in listening]
            post = json.dumps({"listening": numbers, "line": other.fileno()})
            self.process = subprocess.Popen(  # noqa: S603 # it is this program
                program(),
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                env={**os.environ, POST: post},
                pass_fds=(*numbers, other.fileno()),
                process_group=0,  # Ctrl-C in a terminal is for the master, which tells its workers
            )
            stack.pop_all()
        line.setblocking(False)
        loop = asyncio.get_running_loop()
        self._line = line
        self._told = ended
        self._heard = b""
        self._descriptor = os.pidfd_open(self.process.pid)
        self._ready: asyncio.Future[StartError | None] = loop.create_future()
        self._left: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[int] = loop.create_future()
        loop.add_reader(line, self._listen)
        loop.add_reader(self._descriptor, self._ended)

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid

    async def ready(self) -> None:
        """Wait until it serves. Raises ``StartError`` if it ends before, or takes too long."""
        try:
            async with asyncio.timeout(START_LIMIT):
                failure = await asyncio.shield(self._ready)
        except TimeoutError:
            failure = StartError(f"it was not ready within {START_LIMIT:g} s")
        if failure is not None:
            raise failure

    async def left(self) -> None:
        """Wait until it accepts no more connections, when it has been asked to end."""
        with suppress(TimeoutError):  # a method holds it up
            async with asyncio.timeout(LEAVE_LIMIT):
                await asyncio.shield(self._left)

    async def gone(self) -> int:
        """Wait for its end; the status, as of ``Popen.returncode``."""
        return await asyncio.shield(self._gone)

    async def end(self, limit: float) -> None:
        """Ask it to end, and kill it if it has not within ``limit`` seconds."""
        self._send(signal.SIGTERM)
        try:
            async with asyncio.timeout(limit):
                await self.gone()
        except TimeoutError:
            self.kill()
            await self.gone()

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if not self._gone.done():
            signal.pidfd_send_signal(self._descriptor, number)

    def _listen(self) -> None:
        try:
            heard = self._line.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            heard = b""
        if not heard:
            asyncio.get_running_loop().remove_reader(self._line)
        *lines, self._heard = (self._heard + heard).split(b"\n")
        for words in map(json.loads, lines):
            if "leaving" in words:
                self._left.set_result(None)
            elif not self._ready.done():
                self._ready.set_result(StartError(words["failed"]) if "failed" in words else None)

    def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._descriptor)
        self._listen()  # for its last words
        loop.remove_reader(self._line)
        self._line.close()
        status = self.process.wait()
        os.close(self._descriptor)
        if not self._ready.done():
            self._ready.set_result(StartError(f"it ended before it was ready: {describe(status)}"))
        if not self._left.done():
            self._left.set_result(None)
        self._gone.set_result(status)
        self._told(self.pid)  # last: whatever it does, the process is known to be gone


def describe(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"with status {status}"
    return f"by {signal.Signals(-status).name}"
