"""A client's WebSocket: calls in frames, and the messages that methods send."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from toto_aio.client.protocol import Request, SessionCredentials, error_of, read_session, told_limit
from toto_aio.codecs import CODECS
from toto_aio.codecs.json_codec import JSON
from toto_aio.tasks import Tasks

MESSAGES = 1000
"""Messages that are kept until they are received; beyond that the oldest is dropped, and counted."""
MAX_FRAME = 64 * 1024 * 1024
"""Maximum size of a frame from the service, in bytes."""
HEARTBEAT = 30.0
"""Seconds between pings; the connection is lost if the service does not respond within half of that."""
CLOSE_LIMIT = 2.0
"""Seconds within which the service must confirm that a socket is closed."""

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
    timeout: float,  # noqa: ASYNC109  # also of each later call
    on_session: Callable[[SessionCredentials, list[Any]], None],
) -> AsyncIterator[ClientSocket]:
    """An open socket, closed at the end of the block; if ``packed``, it uses MessagePack instead of JSON.

    ``on_session`` receives the session in a response, and the session ids in the parameters of the call.
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
    tasks = Tasks()
    tasks.start(socket.read(), "client socket")
    try:
        yield socket
    finally:
        await tasks.cancel()
        await connection.close()


class ClientSocket:
    """An open socket. Iterate over it to receive the messages that methods send, until it is closed."""

    dropped = 0
    """The number of messages that were dropped because they were not received in time."""

    def __init__(
        self,
        connection: aiohttp.ClientWebSocketResponse,
        packed: bool,
        timeout: float,
        on_session: Callable[[SessionCredentials, list[Any]], None],
    ) -> None:
        self._connection = connection
        self._codec = CODECS["application/msgpack"] if packed else JSON
        self._timeout = timeout
        told = told_limit(timeout)
        self._told = {} if told is None else {"timeout": told}
        self._on_session = on_session
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._given_up: set[str] = set()
        """The calls whose responses come too late: those are not messages."""
        self._messages: deque[Any] = deque(maxlen=MESSAGES)
        self._changed = asyncio.Event()
        self._close_reason = ""
        self._calls = 0

    async def call(
        self,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Any:
        """Call a method and return its result.

        Raises the ``TotoException`` that the service responds with, ``ConnectionError`` if the socket is
        closed, and ``TimeoutError`` if the response takes too long. Of a frame that it could not read, the
        service cannot say which call it was: if several wait, each raises ``ConnectionError``.
        """
        sent = self._frame(method, parameters)
        if idempotency_key is not None:
            sent["idempotency_key"] = idempotency_key
        frame = await self._answer(sent)
        if (shown := frame.get("session")) is not None and "session_id" in shown:
            self._on_session(read_session(shown), [(parameters or {}).get("session_id")])
        if "error" in frame:
            raise error_of(frame["error"])
        return frame["result"]

    async def ask(self, frame: Mapping[str, Any]) -> Any:
        """Send a frame that isn't a call, such as one that subscribes, and return the result in its response.

        Raises the same as ``call``.
        """
        answer = await self._answer(frame)
        if "error" in answer:
            raise error_of(answer["error"])
        return answer["result"]

    async def _answer(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        self._require_open()
        self._calls += 1
        call_id = f"call {self._calls}"
        response = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout):
                await self._send({"id": call_id, **frame})
                answer: dict[str, Any] = await response
                return answer
        finally:
            del self._waiting[call_id]
            if not response.done() or response.cancelled():
                self._given_up.add(call_id)

    async def send(self, method: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Call a method without waiting for a response. Raises the same as ``call``."""
        self._require_open()
        async with asyncio.timeout(self._timeout):
            await self._send(self._frame(method, parameters))

    async def receive(self) -> Any:
        """The next message. Raises ``ConnectionError`` if the socket is closed, and ``TimeoutError``."""
        async with asyncio.timeout(self._timeout):
            return await self._next()

    @property
    def close_code(self) -> int | None:
        """The code with which the socket was closed (RFC 6455); None while it is open."""
        return self._connection.close_code

    def __aiter__(self) -> ClientSocket:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._next()
        except ConnectionError as exc:
            raise StopAsyncIteration from exc

    async def read(self) -> None:
        """Distribute the frames that arrive, until the socket is closed."""
        try:
            async for frame in self._connection:
                if frame.type in _DECODE:
                    self._take(_DECODE[frame.type](frame.data))
            self._close_reason = f"The socket was closed ({self.close_code})"
        except (ValueError, RecursionError) as exc:
            self._close_reason = f"The service sent a frame that cannot be read: {exc}"
        finally:
            self._close_reason = self._close_reason or "The socket is closed"
            for response in self._waiting.values():
                if not response.done():
                    response.set_exception(ConnectionError(self._close_reason))
            self._changed.set()

    def _take(self, frame: Any) -> None:
        """Give a response to its call; any other frame is a message."""
        if isinstance(frame, dict) and ("result" in frame or "error" in frame):
            call_id = frame.get("id")
            response = self._waiting.get(call_id) if isinstance(call_id, str) else None
            if response is not None and not response.done():
                response.set_result(frame)
                return
            if isinstance(call_id, str) and call_id in self._given_up:
                self._given_up.remove(call_id)
                return
            if "error" in frame and call_id is None and self._refuse(frame):
                return
        self.dropped += len(self._messages) == MESSAGES
        self._messages.append(frame)
        self._changed.set()

    def _refuse(self, frame: dict[str, Any]) -> bool:
        """Give an error of no call to the call that waits; returns whether any does."""
        waiting = [response for response in self._waiting.values() if not response.done()]
        for response in waiting:
            if len(waiting) == 1:
                response.set_result(frame)
            else:
                reason = f"The service could not read a frame, and not say which: {error_of(frame['error'])}"
                response.set_exception(ConnectionError(reason))
        return bool(waiting)

    def _frame(self, method: str, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"method": method, "parameters": dict(parameters or {}), **self._told}

    async def _next(self) -> Any:
        while not self._messages:
            self._require_open()
            self._changed.clear()
            await self._changed.wait()
        return self._messages.popleft()

    async def _send(self, frame: dict[str, Any]) -> None:
        body = self._codec.encode(frame)
        if self._codec is JSON:
            await self._connection.send_str(body.decode())
        else:
            await self._connection.send_bytes(body)

    def _require_open(self) -> None:
        if self._close_reason:
            raise ConnectionError(self._close_reason)
