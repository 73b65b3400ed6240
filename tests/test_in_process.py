"""``open_service``: the methods of a service, called by the program that opens it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import server_module
from tests.support.limits import WATCHDOG
from tests.support.servers import Server
from tests.support.service import Serve, eventually
from toto_aio import Handler, Settings, TotoException, open_service
from toto_aio.dispatch.answers import RawAnswer, Redirect
from toto_aio.events import EventManager
from toto_aio.exceptions import (
    InvalidCredentials,
    MethodNotFound,
    NotAuthorized,
    TimedOut,
    Unavailable,
)
from toto_aio.invocation import asynchronous, authenticated, default_parameters, requires, timeout
from toto_aio.methods import account
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore

Parameters = dict[str, Any]


@requires("name")
@default_parameters({"greeting": "hello"})
async def hello(handler: Handler, parameters: Parameters) -> Any:
    """Greet, and change what was given."""
    parameters["list"] = parameters.get("list", [])
    parameters["list"].append("changed")
    return f"{parameters['greeting']} {parameters['name']}"


@authenticated
async def count(handler: Handler, parameters: Parameters) -> Any:
    """Count in the session."""
    assert handler.session is not None
    return await handler.session.update(lambda state: state.update(n=state.get("n", 0) + 1) or state["n"])


async def failing(handler: Handler, parameters: Parameters) -> None:
    """Raise an error of the program."""
    raise ZeroDivisionError("here")


METHODS = {
    "hello": hello,
    "count": count,
    "failing": failing,
    "account.login": account.login,
    "account.logout": account.logout,
    "account.create": account.create,
}
MEMORY: Parameters = {"method_module": METHODS, "database": "memory://"}


async def test_calls() -> None:
    """A method is called by its name, with the same guards and parameters as over HTTP."""
    async with open_service(**MEMORY) as service:
        given: Parameters = {"name": "Ada", "list": []}
        assert await service.call("hello", given) == "hello Ada"
        assert given == {"name": "Ada", "list": []}
        with pytest.raises(TotoException, match="Missing parameters: name"):
            await service.call("hello")
        with pytest.raises(TotoException, match="Parameters must be an object"):
            await service.call("hello", ["Ada"])
        with pytest.raises(MethodNotFound, match="Cannot call 'nothing'"):
            await service.call("nothing")
        with pytest.raises(NotAuthorized):
            await service.call("count")
        with pytest.raises(ZeroDivisionError, match="here"):
            await service.call("failing")


async def test_settings_and_options() -> None:
    """Settings may be given, and options override them, as for ``create_app``."""
    settings = Settings(method_module=METHODS, database="nonsense://")
    async with open_service(settings, database="memory://") as service:
        assert await service.call("hello", {"name": "Ada"}) == "hello Ada"
    with pytest.raises(SettingsError, match="nonsense"):
        async with open_service(settings):
            pass
    with pytest.raises(SettingsError, match="did you mean database"):
        async with open_service(databse="memory://"):
            pass


async def test_as_a_user() -> None:
    """The calls of a user share a session, whichever way the id is written; it ends with the block."""
    store = MemoryStore()
    async with open_service(method_module=METHODS, database=store) as service:
        with pytest.raises(LookupError, match="no account 'ada'; create it: await service"):
            await service.call("count", user_id="ada")
        await service.accounts.create("ada", "correct horse")
        counted = await asyncio.gather(*(service.call("count", user_id=name) for name in ("ada", "Ada") * 5))
        assert sorted(counted) == list(range(1, 11))
        assert len(await store.list_sessions("ada")) == 1
        assert (await service.session("ada"))["n"] == 10
        assert await service.call("account.logout", user_id="ada") == {"authenticated": False}
        assert await service.call("count", user_id="ada") == 1
    assert await store.list_sessions("ada") == []


async def test_accounts_and_sessions() -> None:
    """A script manages them; the sessions of a deleted account end, and its calls are refused."""
    async with open_service(**MEMORY) as service:
        await service.accounts.create("ada", None)
        await service.accounts.set_password("ada", "correct horse")
        session = await service.call("account.login", {"user_id": "ada", "password": "correct horse"})
        assert [each["agent"] for each in await service.sessions.list("ada")] == ["toto_aio.open_service"]
        assert await service.call("count", user_id="ada") == 1
        assert [each.user_id for each in (await service.accounts.list()).accounts] == ["ada"]
        assert await service.accounts.delete("ada") is True
        assert await service.sessions.list("ada") == []
        with pytest.raises(NotAuthorized):
            await service.call("count", session_id=session["session_id"])
        with pytest.raises(LookupError, match=r"await service.accounts.create\('ada', None\)"):
            await service.call("count", user_id="ada")


async def test_in_a_session() -> None:
    """A session that a login has given, or another, is used and left as it is."""
    store = MemoryStore()
    login = {"user_id": "ada", "password": "correct horse"}
    async with open_service(method_module=METHODS, database=store, signing="session") as service:
        created = await service.call("account.create", login)
        for n in (1, 2):
            assert await service.call("count", session_id=created["session_id"]) == n
        with pytest.raises(InvalidCredentials):
            await service.call("account.login", {**login, "password": "battery staple"})
        for session_id in ("unknown", ""):
            with pytest.raises(NotAuthorized):
                await service.call("count", session_id=session_id)
        with pytest.raises(ValueError, match="either user_id or session_id"):
            await service.call("count", user_id="ada", session_id=created["session_id"])
    assert len(await store.list_sessions("ada")) == 1


async def test_all_kinds_of_methods() -> None:
    """Threads, bytes, redirections; what belongs to HTTP says so; a time limit applies."""

    def threaded(handler: Handler, parameters: Parameters) -> Any:
        return handler.wait(asyncio.sleep(0, [handler.address, handler.headers_only]))

    async def stream(handler: Handler, parameters: Parameters) -> None:
        for piece in ("a", "b"):
            handler.respond_raw(piece, "text/plain", finish=False)

    async def redirect(handler: Handler, parameters: Parameters) -> None:
        handler.redirect("/elsewhere")

    async def looks(handler: Handler, parameters: Parameters) -> None:
        assert handler.request

    @timeout(0.05)
    async def slow(handler: Handler, parameters: Parameters) -> None:
        await asyncio.sleep(60)

    methods = {f.__name__: f for f in (threaded, stream, redirect, looks, slow)}
    async with open_service(method_module=methods, database="memory://") as service:
        assert await service.call("threaded") == ["127.0.0.1", False]
        assert await service.call("stream") == RawAnswer(b"ab", "text/plain")
        assert await service.call("redirect") == Redirect("/elsewhere")
        with pytest.raises(RuntimeError, match="call this method over HTTP"):
            await service.call("looks")
        with pytest.raises(TimedOut):
            await service.call("slow")


async def test_hooks_and_metrics() -> None:
    """The functions that options name are called as in a server, and the calls are counted."""
    happened: list[str] = []
    async with open_service(
        **MEMORY,
        metrics=True,
        before_handler=lambda handler, transaction, name: happened.append(f"before {name}"),
        after_handler=lambda handler, transaction, name: happened.append(f"after {name}"),
        startup_function=lambda connection, application: happened.append("start"),
        event_init_module=lambda events: happened.append("events"),
    ) as service:
        await service.call("hello", {"name": "Ada"})
    assert happened == ["events", "start", "before hello", "after hello"]


async def test_events(servers: Callable[[str], Server], serve: Serve) -> None:
    """They reach other processes and programs, and come from them; the program keeps its own manager."""
    url = server_module("redis").fresh_url(servers("redis"))

    async def tell(handler: Handler, parameters: Parameters) -> bool:
        await handler.events.send("note", parameters)
        return EventManager.instance() is handler.events

    served = await serve({"tell": tell}, events=url)
    heard: list[Any] = []
    async with (
        open_service(**{**MEMORY, "method_module": {"tell": tell}}, events=url) as service,
        EventManager(url) as program,
    ):
        for events in (service.events, program):
            events.register_handler("note", heard.append, persist=True)
        assert await service.call("tell", {"by": "service"}) is True
        with pytest.raises(RuntimeError, match="event managers are running here"):
            EventManager.instance()  # what the call knew is not known here
        await eventually(lambda: len(heard) == 2)
        await served.result("tell", {"by": "server"})
        await eventually(lambda: len(heard) == 4)
        await program.send("note", {"by": "program"})
        await eventually(lambda: len(heard) == 6)
    assert [note["by"] for note in heard] == ["service"] * 2 + ["server"] * 2 + ["program"] * 2
    async with open_service(**MEMORY, events="off") as service:
        with pytest.raises(RuntimeError, match="Events are off"):
            service.events  # noqa: B018


async def test_calls_in_progress_at_the_end() -> None:
    """They end before anything is closed; what waits for ``respond`` is told, what takes too long cut off."""
    store, ended = MemoryStore(), []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def works(handler: Handler, parameters: Parameters) -> str:
        begun.set()
        await go_on.wait()
        await handler.connection.accounts.create("ada", "correct horse")
        return "done"

    @asynchronous
    async def waits(handler: Handler, parameters: Parameters) -> None:
        pass

    async def hangs(handler: Handler, parameters: Parameters) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("hangs")

    methods = {"works": works, "waits": waits, "hangs": hangs}
    async with open_service(method_module=methods, database=store) as service:
        calls = [asyncio.create_task(service.call(name)) for name in ("works", "waits")]
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
    done, told = await asyncio.gather(*calls, return_exceptions=True)
    assert done == "done"
    assert isinstance(told, Unavailable)
    assert await store.get_account("ada") is not None
    async with open_service(method_module=methods, database=store, shutdown_timeout=0.2) as service:
        call = asyncio.create_task(service.call("hangs"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="has ended before the call"):
        await asyncio.wait_for(call, WATCHDOG)
    assert ended == ["hangs"]


async def test_a_call_that_is_cancelled() -> None:
    """Whoever cancels a call ends the method."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def waits(handler: Handler, parameters: Parameters) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with open_service(method_module={"waits": waits}, database="memory://") as service:
        call = asyncio.create_task(service.call("waits"))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert ended.is_set()


async def test_outside_the_block_and_its_loop() -> None:
    """A call there is an error that says what to write, and nothing runs."""

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match=r"run_coroutine_threadsafe\(service\.call"):
            await service.call("count")
        with pytest.raises(RuntimeError, match="another event loop"):
            await service.events.send("note")
        with pytest.raises(RuntimeError, match="Subscribe in the event loop"):
            service.events.subscribe("note")

    async with open_service(**MEMORY) as service, open_service(**MEMORY) as other:
        await service.connection.accounts.create("ada", None)
        await asyncio.to_thread(asyncio.run, elsewhere())
        loop = asyncio.get_running_loop()

        def by_a_thread() -> Any:
            call = service.call("hello", {"name": "Ada"})
            return asyncio.run_coroutine_threadsafe(call, loop).result(WATCHDOG)

        assert await asyncio.to_thread(by_a_thread) == "hello Ada"
        assert await other.call("hello", {"name": "Bob"}) == "hello Bob"
    for call in (service.call("count"), service.call("count", user_id="ada"), service.session("ada")):
        with pytest.raises(RuntimeError, match="within the block of open_service"):
            await call


async def test_a_database_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the start it is an error; at the end the session that stays is one line in the log."""
    with pytest.raises(Unavailable, match="Cannot open the database"):
        async with open_service(database=f"sqlite:///{tmp_path}/nowhere/x.db"):
            pass

    class Leaving(MemoryStore):
        async def remove_session(self, key: str) -> bool:
            raise Unavailable from ConnectionResetError("gone")

    async with open_service(method_module=METHODS, database=Leaving()) as service:
        await service.connection.accounts.create("ada", None)
        await service.call("count", user_id="ada")
    [line] = [record.getMessage() for record in caplog.records if "stays" in record.getMessage()]
    assert line == "a session of 'ada' stays until it expires: ConnectionResetError('gone')"


async def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket is opened for it."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("it listens")

    monkeypatch.setattr(socket.socket, "listen", refuse)
    async with open_service(**MEMORY) as service:
        assert await service.call("hello", {"name": "Ada"}) == "hello Ada"
