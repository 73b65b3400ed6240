"""A service for the libraries of Centrifuge, which can be cut off and restarted; and what they use of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.conftest import built_in
from tests.support.servers import free_port
from toto_aio import Handler, TotoException, create_app
from toto_aio.invocation import authenticated, channel, idempotent
from toto_aio.lifespan import LIFESPAN
from toto_aio.members import Admission
from toto_aio.websocket.endpoint import SOCKETS

PASSWORD = "correct horse"


@channel("room:{room}", history=100, publish="say", presence=True, join_leave=True)
@authenticated
async def room(handler: Handler, room: int) -> Admission:
    """Admit users."""
    return Admission({"room": room}, {"colour": "green"})


@channel("closed:{room}")
async def closed(room: str) -> None:
    """Admit nobody."""
    raise TotoException(5001, "closed")


async def say(handler: Handler, room: int, text: str) -> None:
    """Publish to a room."""
    await handler.events.publish(f"room:{room}", {"text": text})


async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


counts: dict[str, int] = {}


@idempotent
@authenticated
async def count(handler: Handler, name: str) -> int:
    """Count the calls with a name."""
    counts[name] = counts.get(name, 0) + 1
    return counts[name]


async def greet(handler: Handler) -> None:
    """Send a message."""
    handler.send_message({"hello": "there"})


METHODS: dict[str, Any] = {each.__name__: each for each in (room, closed, say, add, count, greet)}


class Stage:
    """One service at one port."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._port = free_port()
        self._runner: web.AppRunner | None = None
        self.address = f"ws://127.0.0.1:{self._port}/service/connection/websocket"

    async def start(self) -> None:
        """Serve."""
        app = create_app(method_module={**built_in(), **METHODS}, database=self._url, events=self._url)
        self._app = app
        self._runner = web.AppRunner(app, handler_cancellation=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        """End the service, as a shutdown does."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def cut(self) -> None:
        """Abort all connections."""
        for socket in tuple(self._app[SOCKETS].open):
            assert socket.request.transport is not None
            socket.request.transport.abort()

    async def publish(self, number: int) -> None:
        """Publish a number to a room, while clients may be away."""
        await self._app[LIFESPAN].runtime.needed_events().publish("room:7", {"text": str(number)})

    async def token(self, user_id: str) -> str:
        """The id of a new session."""
        connection = self._app[LIFESPAN].runtime.connection
        if await connection.accounts.get(user_id) is None:
            await connection.accounts.create(user_id, PASSWORD)
        session = await connection.sessions.create(user_id)
        return session.session_id

    async def end(self, token: str) -> None:
        """End a session."""
        sessions = self._app[LIFESPAN].runtime.connection.sessions
        session = await sessions.load(token)
        assert session is not None
        await sessions.end(session)


@asynccontextmanager
async def on_stage(url: str) -> AsyncIterator[Stage]:
    """A stage whose service is running."""
    stage = Stage(url)
    await stage.start()
    try:
        yield stage
    finally:
        await stage.stop()


@asynccontextmanager
async def directed(stage: Stage) -> AsyncIterator[str]:
    """The URL at which a program of another language directs a stage: ``GET /<what>?of=...``."""
    directions: dict[str, Callable[[str], Awaitable[Any]]] = {
        "cut": lambda _: stage.cut(),
        "stop": lambda _: stage.stop(),
        "start": lambda _: stage.start(),
        "publish": lambda of: stage.publish(int(of)),
        "token": stage.token,
        "end": stage.end,
    }

    async def direct(request: web.Request) -> web.Response:
        found = await directions[request.match_info["what"]](request.query.get("of", ""))
        return web.json_response(found)

    app = web.Application()
    app.router.add_get("/{what}", direct)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
