"""The event handlers of sockets: bounded, as fast as the client reads, and no longer than their session."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import pytest

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, eventually
from tests.websocket.test_websocket import ADA, METHODS, Socket, answer, ask, connect, ended_by
from toto_aio import Handler
from toto_aio.http import clients
from toto_aio.invocation import asynchronous, authenticated, authenticated_with_parameter
from toto_aio.settings import SettingsError
from toto_aio.settings.sources import read_settings
from toto_aio.websocket import sender
from toto_aio.websocket.endpoint import SOCKETS

EVE = {"user_id": "eve", "password": "correct horse"}


@asynchronous
@authenticated
async def wait(handler: Handler, parameters: Any) -> None:
    """Respond with the next event."""
    handler.register_event_handler("ada", handler.respond)


@authenticated_with_parameter
async def listen_as(handler: Handler, parameters: Any) -> None:
    """Send each event, under the session of the parameter."""
    handler.register_event_handler("ada", handler.send_message)


async def message(socket: Socket) -> Any:
    """The next frame, which a method has sent."""
    return await answer(socket)


SERVED = {**METHODS, "wait": wait, "listen_as": listen_as}


async def test_another_login_on_the_socket(serve: Serve) -> None:
    """What was registered under a session ends when the socket gets another session."""
    service = await serve(SERVED)
    ada = await service.create()
    await service.create("eve")
    socket = await connect(service, **{"x-toto-session-id": ada})
    await ask(socket, "listen", {"name": "ada"})
    await socket.send_json({"id": "waiting", "method": "wait"})
    await ask(socket, "echo")
    assert "result" in await ask(socket, "account.login", EVE)
    await service.result("tell", {"name": "ada", "args": "secret"})
    await ask(socket, "listen", {"name": "eve"})
    await service.result("tell", {"name": "eve", "args": "hello"})
    assert await message(socket) == "hello"


async def test_a_call_that_outlasts_its_session(serve: Serve) -> None:
    """It registers nothing once another user has logged in on the socket, also from a thread."""
    begun, may_go_on = threading.Semaphore(0), threading.Event()

    @authenticated
    async def late(handler: Handler, parameters: Any) -> None:
        begun.release()
        await asyncio.to_thread(may_go_on.wait, WATCHDOG)
        handler.register_event_handler("news", handler.send_message)

    @authenticated
    def late_in_thread(handler: Handler, parameters: Any) -> None:
        begun.release()
        may_go_on.wait(WATCHDOG)
        handler.register_event_handler("news", handler.send_message)

    service = await serve({**METHODS, "late": late, "late_in_thread": late_in_thread})
    await service.create("eve")
    socket = await connect(service, **{"x-toto-session-id": await service.create()})
    for method in ("late", "late_in_thread"):
        await socket.send_json({"id": 1, "method": method, "parameters": {}})
        assert await asyncio.to_thread(begun.acquire, timeout=WATCHDOG)
    assert "result" in await ask(socket, "account.login", EVE)
    may_go_on.set()
    for _ in range(2):
        assert (await answer(socket))["error"]["code"] == 1004
    (open_socket,) = service.client.app[SOCKETS].open
    assert {each.user_id for each in open_socket.sessions()} == {"eve"}


async def test_a_login_of_an_anonymous_socket(serve: Serve) -> None:
    """What was registered without a session stays."""
    service = await serve(SERVED)
    await service.create()
    socket = await connect(service)
    await ask(socket, "listen", {"name": "e"})
    await ask(socket, "account.login", ADA)
    await service.result("tell", {"name": "e", "args": 1})
    assert await message(socket) == 1


@pytest.mark.parametrize("way", ["account.logout", "account.update", "account.revoke_all", "account.revoke"])
async def test_the_end_of_a_session_that_a_parameter_has_named(serve: Serve, way: str) -> None:
    """Its handlers end with it; the socket and its other handlers stay."""
    service = await serve(SERVED)
    ada = await service.create()
    eve = await service.create("eve")
    socket = await connect(service, **{"x-toto-session-id": eve})
    await ask(socket, "listen", {"name": "e"})
    await ask(socket, "listen_as", {"session_id": ada})
    await service.result("tell", {"name": "ada", "args": 1})
    assert await message(socket) == 1
    await ended_by(service, ada, way)
    await service.result("tell", {"name": "ada", "args": 2})
    await service.result("tell", {"name": "e", "args": 3})
    assert await message(socket) == 3


async def test_too_many_handlers(serve: Serve) -> None:
    """A socket has at most ``socket_handlers``; when one is removed there is room for another."""

    async def once(handler: Handler, parameters: Any) -> None:
        handler.register_event_handler("e", handler.send_message, deregister_on_finish=True)

    service = await serve({**METHODS, "once": once}, socket_handlers=3)
    socket, other = await connect(service), await connect(service)
    for number in range(3):
        assert "result" in await ask(socket, "listen", {"name": f"e{number}"})
    error = (await ask(socket, "listen", {"name": "more"}))["error"]
    assert error == {"code": 1003, "value": "A socket has at most 3 event handlers (socket_handlers)."}
    assert "result" in await ask(other, "listen", {"name": "more"})
    for _ in range(20):
        assert "result" in await ask(other, "once")
        await asyncio.sleep(0.01)
    assert (await ask(socket, "echo"))["result"] == {}


FULL = {"code": 1003, "value": "The sockets of a session have at most 3 event handlers (session_handlers)."}


async def register(socket: Socket, count: int, method: str = "listen") -> Any:
    """Register handlers; the last result or error."""
    for number in range(count):
        last = await ask(socket, method, {"name": f"e{number}"})
    return last.get("error", "registered")


async def is_free(socket: Socket) -> None:
    """Wait until there is room for one handler again, which is taken."""
    async with asyncio.timeout(WATCHDOG):
        while await register(socket, 1) == FULL:
            await asyncio.sleep(0.01)


async def test_too_many_handlers_of_a_session(serve: Serve) -> None:
    """Its sockets have at most ``session_handlers`` together; those of others have their own."""
    service = await serve(SERVED, session_handlers=3)
    ada, eve = await service.create(), await service.create("eve")
    sockets = [await connect(service, **{"x-toto-session-id": ada}) for _ in range(3)]
    for socket in sockets:
        assert await register(socket, 1) == "registered"
    for socket in sockets:
        assert await register(socket, 1) == FULL
    as_ada = await ask(await connect(service), "listen_as", {"session_id": ada})
    assert as_ada["error"] == FULL
    assert await register(await connect(service, **{"x-toto-session-id": eve}), 3) == "registered"
    for _ in range(2):
        assert await register(await connect(service), 4) == "registered"


async def test_the_handlers_of_a_session_are_counted_exactly(serve: Serve) -> None:
    """Whichever way a handler ends, there is room for one more, and no more than that."""
    kept: list[Any] = []

    async def keep(handler: Handler, parameters: Any) -> None:
        kept.append(handler.register_event_handler("e", handler.send_message))

    async def drop(handler: Handler, parameters: Any) -> None:
        for registration in (kept[-1], kept[-1]):
            handler.deregister_event_handler(registration)

    async def once(handler: Handler, parameters: Any) -> None:
        handler.register_event_handler("e", handler.send_message, deregister_on_finish=True)

    def in_thread(handler: Handler, parameters: Any) -> None:
        handler.register_event_handler("e", handler.send_message)

    methods = {"keep": authenticated(keep), "drop": drop, "once": authenticated(once)}
    service = await serve({**SERVED, **methods, "in_thread": authenticated(in_thread)}, session_handlers=3)
    ada = await service.create()
    await service.create("eve")

    async def opened() -> Socket:
        return await connect(service, **{"x-toto-session-id": ada})

    stays = await opened()
    assert await register(stays, 2) == "registered"
    for method in ("listen", "once", "in_thread", "keep"):
        socket = await opened()
        assert await register(socket, 1, method) == "registered"
        await socket.close()
        await is_free(last := await opened())
        assert await register(stays, 1) == FULL
        await last.close()
    await is_free(last := await opened())
    assert "result" in await ask(last, "account.login", EVE)
    await is_free(last := await opened())
    await last.close()
    await is_free(last := await opened())
    await last.close()
    for _ in range(3):
        async with asyncio.timeout(WATCHDOG):
            while await register(stays, 1, "keep") == FULL:
                await asyncio.sleep(0.01)
        assert await register(stays, 1) == FULL
        await ask(stays, "drop")
    await is_free(stays)
    assert await register(stays, 1) == FULL


async def test_a_thread_that_registers_after_the_socket_has_closed(serve: Serve) -> None:
    """It takes no room, and gets no events."""
    begun: list[str] = []
    goes_on = threading.Event()
    outcomes: list[Any] = []

    def late(handler: Handler, parameters: Any) -> None:
        begun.append(handler.transaction_id)
        goes_on.wait(WATCHDOG)
        try:
            handler.register_event_handler("e", outcomes.append)
        finally:
            outcomes.append("done")

    service = await serve({**SERVED, "late": authenticated(late)}, session_handlers=1)
    ada = await service.create()
    socket = await connect(service, **{"x-toto-session-id": ada})
    seconds = 0.05
    while not begun:  # on a busy machine the limit of the call may come before its thread has begun
        await socket.send_json({"id": 1, "method": "late", "timeout": seconds})
        assert (await answer(socket))["error"]["code"] == 1013
        seconds *= 2
    await socket.close()
    app = service.client.app
    assert app is not None
    await eventually(lambda: not app[SOCKETS].open)
    goes_on.set()
    await eventually(lambda: len(outcomes) >= len(begun))
    await is_free(await connect(service, **{"x-toto-session-id": ada}))
    await service.result("tell", {"name": "e", "args": 1})
    assert outcomes == ["done"] * len(begun)


async def test_a_client_that_stops_reading(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its handlers aren't called until there is room, and it causes one line in the log."""
    monkeypatch.setattr(sender, "QUEUE_BYTES", 100_000)
    monkeypatch.setattr(clients, "STALL_LIMIT", math.inf)
    calls = 0

    async def listen_loudly(handler: Handler, parameters: Any) -> None:
        def send(args: Any) -> None:
            nonlocal calls
            calls += 1
            handler.send_message(args)

        for _ in range(parameters["count"]):
            handler.register_event_handler("e", send)

    service = await serve({**METHODS, "listen_loudly": listen_loudly})
    slow, other = await connect(service), await connect(service)
    await ask(slow, "listen_loudly", {"count": 20})
    transport: Any = slow._response.connection.transport  # type: ignore[union-attr]
    transport.pause_reading()
    for number in range(1300):  # 1,000 wait, and the buffers of the connection have some
        await service.result("tell", {"name": "e", "args": [number, "x" * 5000]})
    before = calls
    for number in range(20):
        await service.result("tell", {"name": "e", "args": [number, "x" * 5000]})
    assert calls == before  # it gets no work done while it doesn't read
    slow_lines = [record for record in caplog.records if "too slowly" in record.getMessage()]
    assert [record.exc_info for record in slow_lines] == [None]
    assert (await ask(other, "echo"))["result"] == {}
    transport.resume_reading()
    await eventually(lambda: calls > before)


@pytest.mark.parametrize("name", ["toto_aio.session_ended", "toto_aio.", "toto_aio.anything"])
async def test_the_services_own_events(serve: Serve, name: str) -> None:
    """A client that may name events can neither send nor hear those of the service."""
    service = await serve(METHODS)
    session = await service.create()
    socket = await connect(service, **{"x-toto-session-id": session})
    for method in ("listen", "tell"):
        answered = await ask(socket, method, {"name": name, "args": {"user_id": "ada"}})
        assert answered["error"]["code"] == 1003, method
    assert (await ask(socket, "echo"))["result"] == {}


def test_the_option() -> None:
    """It is at least one."""
    assert read_settings({}).socket_handlers == 100
    assert read_settings({}).session_handlers == 1000
    for name in ("socket_handlers", "session_handlers"):
        with pytest.raises(SettingsError, match=name):
            read_settings({name: 0})
