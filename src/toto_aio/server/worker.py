"""A worker as its master sees it: a fresh interpreter that runs the master's program again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from toto_aio.server import program
from toto_aio.server.channel import PING, worker_environment
from toto_aio.server.stacks import StackFile

logger = logging.getLogger(__name__)

START_LIMIT = 60.0
"""Seconds within which a worker must be ready."""
ABORT_LIMIT = 1.0
"""Seconds that a worker which is not ready gets to exit by itself."""
DRAIN_START_LIMIT = 1.0
"""Seconds that a worker gets to stop accepting connections before its successors are announced."""


class StartError(Exception):
    """A worker did not become ready; the message is what it reported."""


class Worker:
    """A worker, from its start to its exit, when ``on_exit`` is called with its process id.

    Raises ``OSError`` if the process cannot be started.
    """

    def __init__(self, listening: Sequence[socket.socket], cwd: str, on_exit: Callable[[int], None]) -> None:
        channel, inherited = socket.socketpair()
        with inherited, ExitStack() as stack:
            stack.callback(channel.close)
            stacks = StackFile()
            stack.callback(stacks.close)
            numbers = [listener.fileno() for listener in listening]
            self.process = subprocess.Popen(  # noqa: S603 # it is this program
                program.command(),
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                env=worker_environment(numbers, inherited.fileno(), stacks.descriptor),
                pass_fds=(*numbers, inherited.fileno(), stacks.descriptor),
                process_group=0,  # Ctrl-C in a terminal is for the master, which stops its workers
            )
            stack.pop_all()
        channel.setblocking(False)
        loop = asyncio.get_running_loop()
        self.unanswered = 0
        """Pings since it has last responded."""
        self.warnings: list[str] = []
        """What it has reported that is the same for all workers."""
        self._channel = channel
        self._stacks = stacks
        self._on_exit = on_exit
        self._received = b""
        self._pidfd = os.pidfd_open(self.process.pid)
        self._ready: asyncio.Future[StartError | None] = loop.create_future()
        self._draining: asyncio.Future[None] = loop.create_future()
        self._exited: asyncio.Future[int] = loop.create_future()
        loop.add_reader(channel, self._receive)
        loop.add_reader(self._pidfd, self._handle_exit)

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid

    async def wait_ready(self, patience: float) -> None:
        """Wait until it serves. Raises ``StartError`` if it exits before that, or takes too long.

        ``patience`` is how many seconds it may wait for its database, beside those that it has anyway.
        """
        limit = START_LIMIT + patience
        try:
            async with asyncio.timeout(limit):
                failure = await asyncio.shield(self._ready)
        except TimeoutError:
            stacks = await self.stacks()
            failure = StartError(f"it was not ready within {limit:g} s. Its threads:\n{stacks}")
        if failure is not None:
            raise failure

    async def wait_draining(self) -> None:
        """Wait until a worker that is stopping accepts no more connections."""
        with suppress(TimeoutError):  # a method blocks its event loop
            async with asyncio.timeout(DRAIN_START_LIMIT):
                await asyncio.shield(self._draining)

    async def wait(self) -> int:
        """Wait until it has exited; the status, as ``Popen.returncode`` has it."""
        return await asyncio.shield(self._exited)

    async def stop(self, limit: float) -> None:
        """Ask it to shut down, and kill it if it has not exited within ``limit`` seconds.

        If it is not ready, it has no calls to complete, and gets less time.
        """
        self._send_signal(signal.SIGTERM)
        soon = min(limit, ABORT_LIMIT)
        if await self._exits_within(soon) or (self.is_ready and await self._exits_within(limit - soon)):
            return
        if self.is_ready:
            stacks = await self.stacks()
            logger.error("process %d does not end and is killed. Its threads:\n%s", self.pid, stacks)
        self.kill()
        await self.wait()

    def kill(self) -> None:
        """Kill it immediately."""
        self._send_signal(signal.SIGKILL)

    @property
    def is_ready(self) -> bool:
        """Whether it serves, or did before it began to drain."""
        return self._ready.done() and self._ready.result() is None

    @property
    def is_draining(self) -> bool:
        """Whether it accepts no more connections."""
        return self._draining.done()

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger has stopped it, and not its own code."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        return False

    def ping(self) -> None:
        """Ask it to show that its event loop turns, which resets ``unanswered``."""
        self.unanswered += 1
        with suppress(OSError):  # it has ended, or has not even read the earlier ones
            self._channel.send(PING)

    async def stacks(self) -> str:
        """What its threads are doing, for the log."""
        return await self._stacks.take(self._send_signal)

    async def _exits_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            return False
        return True

    def _send_signal(self, number: int) -> None:
        if not self._exited.done():
            signal.pidfd_send_signal(self._pidfd, number)

    def _receive(self) -> None:
        try:
            received = self._channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            asyncio.get_running_loop().remove_reader(self._channel)
        *lines, self._received = (self._received + received).split(b"\n")
        for message in map(json.loads, lines):
            if "alive" in message:
                self.unanswered = 0
            elif "warning" in message:
                self.warnings.append(message["warning"])
            elif "draining" in message:
                self._draining.set_result(None)
            elif not self._ready.done():
                self._ready.set_result(StartError(message["failed"]) if "failed" in message else None)

    def _handle_exit(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        self._receive()  # its last messages
        loop.remove_reader(self._channel)
        self._channel.close()
        self._stacks.close()
        status = self.process.wait()
        os.close(self._pidfd)
        if not self._ready.done():
            self._ready.set_result(StartError(f"it ended before it was ready: {describe_exit(status)}"))
        if not self._draining.done():
            self._draining.set_result(None)
        self._exited.set_result(status)
        self._on_exit(self.pid)  # last: whatever it does, the process is known to have exited


def describe_exit(status: int) -> str:
    """How a process exited, in words."""
    if status >= 0:
        return f"with status {status}"
    return f"by {signal.Signals(-status).name}"
