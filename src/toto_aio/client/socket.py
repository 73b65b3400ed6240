"""A WebSocket of a client: calls by frames, and the messages that come in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from toto_aio.client.protocol import Request, Session, error_of, read_session
from toto_aio.codecs import CODECS, JSON

MESSAGES = 1000
"""Messages that wait for their reader; then the oldest is dropped, and counted."""
MAX_FRAME = 64 * 1024 * 1024
"""The most bytes that a frame of the service may have."""
HEARTBEAT = 30.0
"""Seconds between two pings; a service that does not answer one within half of that is gone."""
CLOSE_LIMIT = 2.0
"""Seconds that the service has to take part in closing a socket."""

_DECODE: dict[aiohttp.WSMsgType, Callable[[Any], Any]] = {
    aiohttp.WSMsgType.TEXT: msgspec.json.decode,
    aiohttp.WSMsgType.BINARY: msgspec.msgpack.decode,
}


@asynccontextmanager
async def open_socket(
    http: aiohttp.ClientSession,
    request: Request,
    *,
    packed: bool,
    timeout: float,  # noqa: ASYNC109  # of each call later on, too
    on_session: Callable[[Session, list[Any]], None],
) -> AsyncIterator[ClientSocket]:
    """A socket until the end of the block; ``packed`` ones speak MessagePack in place of JSON.

    ``on_session`` is told the session that an answer shows, and the ids that the call's parameters named.
    """
    async with asyncio.timeout(timeout):
        connection = await http.ws_connect(
            request.url,
            headers=request.headers,
            heartbeat=HEARTBEAT,
            max_msg_size=MAX_FRAME,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_LIMIT),
        )
    socket = ClientSocket(connection, packed, timeout, on_session)
    reader = asyncio.create_task(socket.read(), name="toto-aio client socket")
    try:
        yield socket
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await connection.close()


class ClientSocket:
    """An open socket. Its messages are what methods send; ``async for`` ends when the socket is closed."""

    dropped = 0
    """Messages that were lost because nobody read them in time."""

    def __init__(
        self,
        connection: aiohttp.ClientWebSocketResponse,
        packed: bool,
        timeout: float,
        on_session: Callable[[Session, list[Any]], None],
    ) -> None:
        self._connection = connection
        self._codec = CODECS["application/msgpack"] if packed else JSON
        self._timeout = timeout
        self._on_session = on_session
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._messages: deque[Any] = deque(maxlen=MESSAGES)
        self._moved = asyncio.Event()
        self._ended = ""
        self._calls = 0

    async def call(self, method: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The result of a method. Raises the ``TotoException`` that it answers with.

        Raises ``ConnectionError`` if the socket is closed, ``TimeoutError`` if the answer takes too long.
        """
        self._require_open()
        self._calls += 1
        id = f"call {self._calls}"
        answer = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout):
                await self._send({"id": id, "method": method, "parameters": dict(parameters or {})})
                frame = await answer
        finally:
            del self._waiting[id]
        if frame.get("session") is not None:
            self._on_session(read_session(frame["session"]), [(parameters or {}).get("session_id")])
        if "error" in frame:
            raise error_of(frame["error"])
        return frame["result"]

    async def send(self, method: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Call a method for what it does, without an answer. Raises as ``call`` does."""
        self._require_open()
        async with asyncio.timeout(self._timeout):
            await self._send({"method": method, "parameters": dict(parameters or {})})

    async def receive(self) -> Any:
        """The next message. Raises ``ConnectionError`` if the socket is closed, ``TimeoutError``."""
        async with asyncio.timeout(self._timeout):
            return await self._next()

    @property
    def close_code(self) -> int | None:
        """Why the socket was closed (RFC 6455); None while it is open."""
        return self._connection.close_code

    def __aiter__(self) -> ClientSocket:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._next()
        except ConnectionError as exc:
            raise StopAsyncIteration from exc

    async def read(self) -> None:
        """Hand out what comes, until the socket is closed."""
        try:
            async for frame in self._connection:
                if frame.type in _DECODE:
                    self._take(_DECODE[frame.type](frame.data))
            self._ended = f"The socket was closed ({self.close_code})"
        except (ValueError, RecursionError) as exc:
            self._ended = f"The service sends a frame that cannot be read: {exc}"
        finally:
            self._ended = self._ended or "The socket is closed"
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionError(self._ended))
            self._moved.set()

    def _take(self, frame: Any) -> None:
        """Give an answer to its call; all else is a message."""
        if isinstance(frame, dict) and ("result" in frame or "error" in frame):
            id = frame.get("id")
            answer = self._waiting.get(id) if isinstance(id, str) else None
            if answer is not None and not answer.done():
                answer.set_result(frame)
                return
        self.dropped += len(self._messages) == MESSAGES
        self._messages.append(frame)
        self._moved.set()

    async def _next(self) -> Any:
        while not self._messages:
            self._require_open()
            self._moved.clear()
            await self._moved.wait()
        return self._messages.popleft()

    async def _send(self, frame: dict[str, Any]) -> None:
        body = self._codec.encode(frame)
        if self._codec is JSON:
            await self._connection.send_str(body.decode())
        else:
            await self._connection.send_bytes(body)

    def _require_open(self) -> None:
        if self._ended:
            raise ConnectionError(self._ended)
