"""What a worker inherits from its master: the sockets to listen on, and a channel to report on.

The channel is a pair of connected sockets. The worker writes lines of JSON to it: ``{"ready": true}`` or
``{"failed": text}`` at its start, maybe after some ``{"warning": text}``, and ``{"draining": true}`` once it
accepts no more connections. Once it is ready, its event loop answers whatever the master sends with
``{"alive": true}``. When the master ends, for whatever reason, the worker reads the end of the stream.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from toto_aio.server.stacks import dump_on_signal

WORKER_VARIABLE = "_TOTO_AIO_WORKER"
"""The environment variable by which a process knows that it is a worker, with its descriptors."""
ALIVE = b'{"alive": true}\n'
PING = b"?"
"""What the master sends to see whether a worker's event loop turns."""


class WorkerChannel:
    """The worker's end of the channel, and the sockets that it listens on."""

    def __init__(self, listening: Sequence[int], channel: int, stacks: int) -> None:
        self.sockets = [socket.socket(fileno=number) for number in listening]
        self.socket = socket.socket(fileno=channel)
        self.is_ready = False
        for inherited in (*self.sockets, self.socket):
            inherited.setblocking(False)
            inherited.set_inheritable(False)
        dump_on_signal(stacks)

    def answer_pings(self) -> None:
        """Answer the master from now on, for as long as the running event loop turns."""
        asyncio.get_running_loop().add_reader(self.socket, self._answer)

    def _answer(self) -> None:
        try:
            if self.socket.recv(4096):
                self.socket.send(ALIVE)  # never waits: a master that is frozen reads nothing
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        asyncio.get_running_loop().remove_reader(self.socket)

    def report_ready(self) -> None:
        """Report that this worker accepts connections."""
        self.is_ready = True
        self._send(ready=True)

    def report_draining(self) -> None:
        """Report that this worker accepts no more connections."""
        self._send(draining=True)

    def report_warning(self, text: str) -> None:
        """Report what an operator should know, which the master logs once for all workers."""
        self._send(warning=text)

    def report_failure(self, text: str) -> None:
        """Report why this worker does not start."""
        self._send(failed=text)

    def _send(self, **message: Any) -> None:
        with suppress(OSError):  # the master may have ended
            self.socket.setblocking(True)
            self.socket.sendall(json.dumps(message).encode() + b"\n")
            self.socket.setblocking(False)


def inherited_channel() -> WorkerChannel | None:
    """The channel of this process if it was started as a worker; only the first call returns it."""
    text = os.environ.pop(WORKER_VARIABLE, None)
    return None if text is None else WorkerChannel(**json.loads(text))


def worker_environment(listening: Sequence[int], channel: int, stacks: int) -> dict[str, str]:
    """The environment of a worker that inherits these descriptors."""
    inherited = {"listening": listening, "channel": channel, "stacks": stacks}
    return {**os.environ, WORKER_VARIABLE: json.dumps(inherited)}
