"""Subscriptions of a client: through lost connections, each publication once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.limits import WATCHDOG, limits
from tests.support.service import Serve, Service, eventually
from toto_aio import Handler
from toto_aio.channels import Admission, Member, Position, PresenceStats
from toto_aio.client import Client, ClientSubscription, Publication, UnreadableResponseError
from toto_aio.client import socket as client_socket
from toto_aio.client import subscription as client_subscription
from toto_aio.exceptions import MethodNotFound, NotAuthorized, Unavailable
from toto_aio.invocation import authenticated, channel
from toto_aio.websocket.endpoint import SOCKETS

ADMITTED: list[bool] = []
"""What ``room`` does next: admit or be away; it admits when there is nothing."""


@channel("room:{room}", history=20)
async def room(room: str) -> str:
    """Admit everybody."""
    if ADMITTED and not ADMITTED.pop():
        raise Unavailable
    return f"welcome to {room}"


@channel("own")
@authenticated
async def own() -> None:
    """Admit users."""


@channel("plain")
async def plain() -> None:
    """Admit everybody, and keep nothing."""


async def publish(handler: Handler, parameters: Any) -> Any:
    """Publish some numbers."""
    for n in parameters["numbers"]:
        position = await handler.events.publish(parameters["channel"], n)
    return position


@channel("seen:{room}", presence=True, join_leave=True)
@authenticated
async def seen(handler: Handler, room: str) -> Admission:
    """Admit users, and show them."""
    assert handler.session is not None
    return Admission("welcome", info={"name": handler.session.user_id.title()})


METHODS: dict[str, Any] = {"room": room, "seen": seen, "own": own, "plain": plain, "publish": publish}


@asynccontextmanager
async def client_of(service: Service, **options: Any) -> AsyncIterator[Client]:
    """A client of a service of a test."""
    async with Client(service.client.make_url("/service"), **options) as client:
        yield client


async def take(messages: ClientSubscription, count: int) -> list[Publication]:
    """The next publications."""
    async with asyncio.timeout(WATCHDOG):
        return [await anext(messages) for _ in range(count)]


async def cut(service: Service) -> None:
    """Cut all sockets, without a close frame, and wait until they are gone."""
    app = service.client.app
    assert app is not None
    cut_off = set(app[SOCKETS].open)  # a client is back at once, with another
    for socket in cut_off:
        if socket.request.transport is not None:
            socket.request.transport.abort()
    await eventually(lambda: cut_off.isdisjoint(app[SOCKETS].open))


@pytest.fixture(autouse=True)
def short_pauses() -> Any:
    """Connect again at once."""
    with limits(client_subscription, MIN_PAUSE=0.01, MAX_PAUSE=0.05):
        yield
    ADMITTED.clear()


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_lost_connections(serve: Serve, encoding: str) -> None:
    """Whatever is published while the client is away comes first when it is back, and once."""
    service = await serve(METHODS)
    async with client_of(service, encoding=encoding) as client, client.subscribe("room:1") as messages:
        assert messages.data == "welcome to 1"
        assert messages.position is not None
        epoch = messages.position.epoch
        published = 0
        for _ in range(4):
            await service.result("publish", {"channel": "room:1", "numbers": [published + 1]})
            await cut(service)
            ADMITTED.extend([False, False])  # popped from the end: away twice
            await service.result("publish", {"channel": "room:1", "numbers": [published + 2, published + 3]})
            found = await take(messages, 3)
            assert found == [Publication(published + n, Position(epoch, published + n)) for n in (1, 2, 3)]
            published += 3
        assert (messages.position, messages.missed) == (Position(epoch, published), 0)
        async with client.subscribe("room:1", since=Position(epoch, published - 2)) as again:
            assert [each.data for each in await take(again, 2)] == [published - 1, published]
            assert again.position == Position(epoch, published)


async def test_what_is_gone(serve: Serve) -> None:
    """The program is told, and goes on with what is published from then on."""
    service = await serve(METHODS)
    told: list[Any] = []
    async with client_of(service) as client:
        async with client.subscribe("room:1", on_missed=lambda: told.append(messages.position)) as messages:
            await cut(service)
            await service.result("publish", {"channel": "room:1", "numbers": list(range(30))})
            waiting = asyncio.create_task(take(messages, 1))
            await eventually(lambda: bool(told))
            await service.result("publish", {"channel": "room:1", "numbers": [30]})
            [found] = await waiting
            assert (found.data, messages.missed) == (30, 1)
            assert found.position is not None
            assert told == [Position(found.position.epoch, found.position.offset - 1)]
        async with client.subscribe("room:1", Position("another", 5)) as messages:
            assert messages.missed == 1
            assert messages.position == found.position
        async with client.subscribe("plain", on_missed=lambda: told.append(2)) as messages:
            await cut(service)
            waiting = asyncio.create_task(take(messages, 1))
            await eventually(lambda: told[1:] == [2])
            await service.result("publish", {"channel": "plain", "numbers": [1]})
            assert await waiting == [Publication(1)]


async def test_a_slow_program(serve: Serve) -> None:
    """What it was too slow for is made up from the history, or it is told."""
    service = await serve(METHODS)
    with limits(client_socket, MESSAGES=5):
        async with client_of(service) as client, client.subscribe("room:1") as messages:
            for n in range(15):
                await service.result("publish", {"channel": "room:1", "numbers": [n]})
            socket = messages._socket
            assert socket is not None
            await eventually(lambda: socket.dropped == 10)
            assert [each.data for each in await take(messages, 15)] == list(range(15))
            assert messages.missed == 0
        async with client_of(service) as client, client.subscribe("plain") as messages:
            await service.result("publish", {"channel": "plain", "numbers": list(range(7))})
            plain_socket = messages._socket
            assert plain_socket is not None
            await eventually(lambda: plain_socket.dropped == 2)
            assert [each.data for each in await take(messages, 5)] == [2, 3, 4, 5, 6]
            assert messages.missed == 1


async def test_who_is_refused(serve: Serve) -> None:
    """At the beginning, or when the session has ended meanwhile; nothing is tried again then."""
    service = await serve(METHODS)
    async with client_of(service) as client:
        for name, error in (("own", NotAuthorized), ("nobody", MethodNotFound)):
            with pytest.raises(error):
                async with client.subscribe(name):
                    pass
        ADMITTED.append(False)
        with pytest.raises(Unavailable):
            async with client.subscribe("room:1"):
                pass
        await client.create_account("ada", "correct horse")
        async with client.subscribe("own") as messages:
            waiting = asyncio.create_task(take(messages, 1))
            await service.call("account.logout", session=client.session.session_id)  # type: ignore[union-attr]
            with pytest.raises(NotAuthorized):
                await waiting
        async with client.subscribe("room:1") as messages:
            await messages.close()
            with pytest.raises(StopAsyncIteration):
                await anext(messages)


async def test_a_service_that_stops(aiohttp_server: Any, serve: Serve) -> None:
    """A proxy's 503 and a cancelled read are passing; a 404 and nonsense are not."""
    service = await serve(METHODS)
    statuses: list[int] = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        if statuses and (status := statuses.pop()):
            return web.Response(status=status)
        front = web.WebSocketResponse()
        await front.prepare(request)
        frame = await front.receive_json()
        if frame["subscribe"] == "nonsense":
            await front.send_json({"id": frame["id"], "result": {"x": 1}})
            return front
        async with service.client.session.ws_connect(service.client.make_url("/service/websocket")) as back:
            await back.send_json(frame)
            async for each in back:
                await front.send_str(each.data)
                if "unsubscribed" not in each.data and statuses:
                    break
        return front

    app = web.Application()
    app.router.add_get("/service/websocket", proxy)
    server = await aiohttp_server(app)
    async with Client(server.make_url("/service")) as client:
        async with client.subscribe("room:1") as messages:
            statuses[:] = [503, 429]
            await service.result("publish", {"channel": "room:1", "numbers": [1, 2]})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await take(messages, 3)
            assert [each.data for each in await take(messages, 2)] == [1, 2]
            statuses[:] = [404]
            await service.result("publish", {"channel": "room:1", "numbers": [3]})
            assert [each.data for each in await take(messages, 1)] == [3]
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await take(messages, 1)
        with pytest.raises(UnreadableResponseError):
            async with client.subscribe("nonsense"):
                pass


async def test_who_is_present(serve: Serve) -> None:
    """Subscribers see who is there, and are told who comes and goes, also after a lost connection."""
    service = await serve(METHODS)
    told: list[tuple[str, Member]] = []

    async def read(messages: ClientSubscription) -> None:
        async for _ in messages:
            pass

    async with client_of(service) as ada, client_of(service) as eve:
        await ada.create_account("ada", "correct horse")
        await eve.create_account("eve", "correct horse")
        subscribed = ada.subscribe(
            "seen:1",
            on_join=lambda member: told.append(("joined", member)),
            on_leave=lambda member: told.append(("left", member)),
        )
        async with subscribed as messages:
            reading = asyncio.create_task(read(messages))
            own = Member(messages.client, "ada", {"name": "Ada"})
            assert (await messages.presence(), messages.data) == ([own], "welcome")
            async with eve.subscribe("seen:1") as others:
                other = Member(others.client, "eve", {"name": "Eve"})
                assert sorted(await others.presence(), key=lambda each: each.user) == [own, other]
                assert await messages.presence_stats() == PresenceStats(2, 2)
            await eventually(lambda: len(told) == 3)
            assert told == [("joined", own), ("joined", other), ("left", other)]
            await cut(service)
            await eventually(lambda: messages.client not in ("", own.client))
            again = Member(messages.client, "ada", {"name": "Ada"})
            await eventually(lambda: ("joined", again) in told)
            assert [each.client for each in await messages.presence()] == [messages.client]
            reading.cancel()
            await messages.close()
            with pytest.raises(ConnectionError, match="not connected now"):
                await messages.presence()
