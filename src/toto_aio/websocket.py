"""Calls over a WebSocket: from frames to calls, and back to frames.

Text frames are JSON and binary frames MessagePack, each answered in kind: ``{"id", "method", "parameters"}``
by ``{"id", "result"}`` or ``{"id", "error"}``, as the calls finish. A frame without ``id`` is answered by
nothing but what its method sends.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from toto_aio.caller import Caller
from toto_aio.calls import OWN_BYTES, Call, ClientLeftError
from toto_aio.codecs import CODECS, JSON, Codec
from toto_aio.dispatch import Dispatcher, wire_error
from toto_aio.events import EventManager, Registration
from toto_aio.exceptions import InvalidParameters
from toto_aio.readers import SlowReaders
from toto_aio.sessions import Sessions, UserSession

logger = logging.getLogger(__name__)

HEARTBEAT = 30.0
"""Seconds between two pings; who does not answer one within half of that is gone."""
MAX_CALLS = 32
"""Calls of one socket that run at once; while there are so many its next frame is not read."""
QUEUE_BYTES = 1024 * 1024
"""Bytes that may wait for a slow client. Events then wait in their subscriptions, which drop the oldest;
a method that sends more gets ``BufferError``."""
LOOK_INTERVAL = 0.5
"""Seconds between two looks for the client of a socket whose frames are not read."""
CLOSE_LIMIT = 2.0
"""Seconds that a client has to take part in closing a socket."""

MSGPACK = CODECS["application/msgpack"]
FRAMES: dict[WSMsgType, Codec] = {WSMsgType.TEXT: JSON, WSMsgType.BINARY: MSGPACK}


class Socket:
    """One open WebSocket: its session, its calls, and what waits to be sent."""

    def __init__(
        self,
        request: web.Request,
        response: web.WebSocketResponse,
        dispatch: Dispatcher,
        sessions: Sessions,
        events: EventManager | None,
        readers: SlowReaders,
        *,
        address: str,
        agent: str,
        debug: bool,
    ) -> None:
        self.request = request
        self.address = address
        self.agent = agent
        self.session: UserSession | None = None
        self._response = response
        self._dispatch = dispatch
        self._sessions = sessions
        self._events = events
        self._readers = readers
        self._debug = debug
        self._queue: deque[tuple[Codec, bytes]] = deque()
        self._waiting = 0
        self._flushing = self._planned = False
        self._room = asyncio.Event()
        self._turn = asyncio.Semaphore(MAX_CALLS)
        self._calls: set[asyncio.Task[None]] = set()
        self._helpers: set[asyncio.Task[None]] = set()
        self._replies: set[SocketReply] = set()
        self._closing = False

    async def run(self, show_session: Callable[[dict[str, Any]], Awaitable[bool]]) -> None:
        """Read frames until the socket is closed, and let the calls that run come to their end.

        ``show_session`` may take the first frame; it says whether it has.
        """
        is_first = True
        try:
            async for frame in self._response:
                codec = FRAMES.get(frame.type)
                if codec is not None:
                    await self._take(codec, frame.data, show_session if is_first else None)
                    is_first = False
            self._leave()
            await asyncio.gather(*self._calls, return_exceptions=True)
        finally:
            self._leave()
            tasks = self._calls | self._helpers
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(
        self, codec: Codec, data: Any, show_session: Callable[[dict[str, Any]], Awaitable[bool]] | None
    ) -> None:
        """Begin what a frame asks for."""
        try:
            message = codec.decode(data.encode() if isinstance(data, str) else data)
            if type(message) is not dict:
                raise InvalidParameters("A frame must be an object.")
            shown = show_session is not None and "method" not in message and await show_session(message)
        except Exception as exc:
            self._send_error(codec, exc, Call(None, None), None)
            return
        if not shown:
            if await self._has_turn():
                self._start(self._calls, self._answer(codec, message), "call")
        elif "id" in message:
            session = None if self.session is None else self.session.describe()
            self.send(codec, {"id": message["id"], "result": session})

    async def _has_turn(self) -> bool:
        """Wait until one call more may run; False if the client, whose frames are not read now, is gone."""
        while True:
            try:
                async with asyncio.timeout(LOOK_INTERVAL):
                    return await self._turn.acquire()
            except TimeoutError:
                transport = self.request.transport
                if self._closing or transport is None or transport.is_closing():
                    return False

    def _leave(self) -> None:
        """The client has gone: those who wait for it are told, once."""
        self._closing = True
        while self._replies:
            self._replies.pop().leave()

    async def call(self, method: str) -> None:
        """Call a method for what it does, as when the socket is opened and closed."""
        await self._turn.acquire()
        await self._answer(JSON, {"method": method})

    async def close(self, code: int, reason: str) -> None:
        """Tell the client that it is over, and end."""
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._flush()
                while self._waiting:
                    self._room.clear()
                    await self._room.wait()
                await self._response.close(code=code, message=reason.encode())
        except TimeoutError:
            if self.request.transport is not None:
                self.request.transport.abort()

    def close_soon(self, code: int, reason: str) -> None:
        """Close, without waiting for it."""
        if not self._closing:
            self._closing = True
            self._start(self._helpers, self.close(code, reason), "closing")

    def send(self, codec: Codec, value: Any) -> None:
        """Add a frame to those that wait. Raises ``BufferError`` if too much waits already."""
        body = codec.encode(value)
        if self._waiting and self._waiting + len(body) > QUEUE_BYTES and not self._closing:
            raise BufferError("Too much waits for the client of this socket")
        self._put(codec, body)
        self._flush_soon()

    def _put(self, codec: Codec, body: bytes) -> None:
        if not self._closing:
            self._queue.append((codec, body))
            self._waiting += len(body)

    async def _room_for_more(self, limit: int) -> None:
        """Wait until so few bytes wait for the client, or it is gone."""
        while self._waiting > limit and not self._closing:
            self._room.clear()
            await self._room.wait()

    def listen(self, codec: Codec, name: str, function: Callable[[Any], Any]) -> Registration:
        """Call ``function`` with each event until the socket closes, as fast as the client reads."""
        assert self._events is not None
        registration = Registration(name, function)

        def lagged(count: int) -> None:
            self.send(codec, {"lagged": {"event": name, "count": count}})

        registration.subscription = self._events.subscribe(name, on_lagged=lagged)
        self._start(self._helpers, self._consume(registration), f"event {name}")
        return registration

    async def _consume(self, registration: Registration) -> None:
        assert registration.subscription is not None
        async with registration.subscription as events:
            async for args in events:
                try:
                    outcome = registration.function(args)
                    if inspect.isawaitable(outcome):
                        await outcome
                except Exception:
                    logger.exception("the handler of the event %r failed", registration.name)
                await self._flush()
                await self._room_for_more(QUEUE_BYTES // 2)

    async def _answer(self, codec: Codec, message: dict[str, Any]) -> None:
        """Run the call of a frame, and send its answer if it has an ``id``."""
        id = message.get("id")
        parameters = message.get("parameters")
        call = Call(message.get("method"), {} if parameters is None else parameters)
        caller = Caller(self._sessions, None if self.session is None else self.session.session_id, None)
        reply = SocketReply(self, codec)
        self._replies.add(reply)
        before = self.session
        try:
            result = await self._dispatch(call, caller, reply)
            if isinstance(result, OWN_BYTES):
                raise InvalidParameters(f"'{call.method}' answers with bytes of its own: call it by HTTP.")
            if id is not None:
                answer = {"id": id, "result": result}
                if caller.session is not None:
                    answer["session"] = caller.session.describe()
                body = codec.encode(answer)
                await self._room_for_more(QUEUE_BYTES // 2)
                self._put(codec, body)
                await self._flush()
        except ClientLeftError:
            pass
        except Exception as exc:
            self._send_error(codec, exc, call, id)
        finally:
            self._replies.discard(reply)
            self._turn.release()
            self._follow(before, caller)

    def _follow(self, before: UserSession | None, caller: Caller) -> None:
        """Take over the session that a call has made, or end with the session that a call has ended."""
        session = caller.session
        if session is not None:
            # Not one that a parameter has loaded: it was shown for that call alone, and need not be signed.
            if session.is_new or (self.session is not None and session.session_id == self.session.session_id):
                self.session = session
        elif caller.left and before is not None and before is self.session:
            self.close_soon(WSCloseCode.POLICY_VIOLATION, "The session has ended")

    def _send_error(self, codec: Codec, exc: Exception, call: Call, id: Any) -> None:
        error = wire_error(exc, call, self.address, debug=self._debug).as_dict()
        if id is None and call.name is not None:
            return
        try:
            self.send(codec, {"id": id, "error": error} if id is not None else {"error": error})
        except Exception as unsendable:
            self.close_soon(WSCloseCode.TRY_AGAIN_LATER, "Too much waits for the client")
            logger.warning("a socket from %s was closed: %s", self.address, unsendable)

    def _flush_soon(self) -> None:
        """Send what waits after the code that runs now, unless that does so itself."""
        if not self._flushing and not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._begin_to_flush)

    def _begin_to_flush(self) -> None:
        self._planned = False
        if self._queue and not self._flushing:
            self._start(self._helpers, self._flush(), "flush")

    async def _flush(self) -> None:
        """Send what waits; if somebody is at it already, they send this too."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._queue:
                codec, body = self._queue.popleft()
                if self.request.transport is not None:
                    self._readers.add(self.request.transport)
                try:
                    if codec is JSON:
                        await self._response.send_str(body.decode())
                    else:
                        await self._response.send_bytes(body)
                finally:
                    self._waiting -= len(body)
                    self._room.set()
        except (ConnectionError, RuntimeError):  # it is closed, and the reader notices
            self._queue.clear()
            self._waiting = 0
        finally:
            self._flushing = False

    def _start(self, tasks: set[asyncio.Task[None]], coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=f"toto-aio socket {name}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)


class SocketReply:
    """A ``Reply`` over a socket: a call's answer is a frame, and there is no head that it could shape."""

    alone = False
    streaming = False
    headers_only = False

    def __init__(self, socket: Socket, codec: Codec) -> None:
        self.socket = socket
        self.request = socket.request
        self.content_type = codec.content_type
        self.address = socket.address
        self.agent = socket.agent
        self._codec = codec
        self._callbacks: list[Callable[[], None]] = []

    def set_status(self, status: int) -> None: ...

    def set_header(self, name: str, value: str) -> None: ...

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None: ...

    def write(self, body: bytes, content_type: str) -> None:
        raise InvalidParameters("A socket carries frames, no streams: call the method by HTTP.")

    async def drain(self) -> None: ...

    def watch(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def leave(self) -> None:
        """The client has gone."""
        for callback in self._callbacks:
            callback()

    def send_message(self, data: Any, message_id: Any) -> None:
        value = data if message_id is None else {"message_id": message_id, "data": data}
        self.socket.send(self._codec, value)

    def listen(self, name: str, function: Callable[[Any], Any]) -> Registration:
        return self.socket.listen(self._codec, name, function)
