"""Pings and pongs of a socket's client (RFC 6455, 5.5), of which one fits into six bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMsgType

from toto_aio.websocket.frames import pong
from toto_aio.websocket.sender import FrameSender

MAX_CONTROLS = 1000
"""Pings and pongs that a client may send in a second."""
CONTROLS = frozenset({WSMsgType.PING, WSMsgType.PONG})


class ControlFrames:
    """Answers the pings of one socket's client, and closes the socket of one that floods it with them.

    Of pings that arrive together the last is answered, as RFC 6455, 5.5.3 allows. aiohttp would answer all of
    them in one turn of the loop.
    """

    def __init__(self, sender: FrameSender, close_soon: Callable[[int, str], None]) -> None:
        self._sender = sender
        self._close_soon = close_soon
        self._loop = asyncio.get_running_loop()
        self._ping: bytes | None = None
        self._count = 0
        self._since = 0.0

    def take(self, kind: WSMsgType, data: bytes) -> bool:
        """Whether a frame was a control frame that needs no answer but a pong."""
        if kind not in CONTROLS:
            return False
        now = self._loop.time()
        if now > self._since + 1:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > MAX_CONTROLS:
            self._close_soon(WSCloseCode.POLICY_VIOLATION, "Too many pings")
        elif kind is WSMsgType.PING:
            if self._ping is None:
                self._loop.call_soon(self._answer)
            self._ping = bytes(data)
        return True

    def _answer(self) -> None:
        ping, self._ping = self._ping, None
        if ping is not None and self._sender.has_room:
            self._sender.put(pong(ping))
