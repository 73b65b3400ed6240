"""One function, three uses: standalone, as a library, embedded in another application."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from tests.support.service import Serve, eventually
from toto_aio import Connection, Handler, Settings, create_app
from toto_aio.clock import Clock
from toto_aio.events.manager import EventManager
from toto_aio.exceptions import Unavailable
from toto_aio.settings import SettingsError
from toto_aio.signing import SessionScheme
from toto_aio.stores import sweep
from toto_aio.stores.memory import MemoryStore

Parameters = dict[str, Any]


async def echo(handler: Handler, parameters: Parameters) -> Any:
    """Return the parameters."""
    return parameters


async def start(**options: Any) -> None:
    """Start a service, and clean it up again."""
    runner = web.AppRunner(create_app(method_module={"echo": echo}, **options))
    try:
        await runner.setup()
    finally:
        await runner.cleanup()


async def test_embedded(aiohttp_client: AiohttpClient, tmp_path: Path) -> None:
    """A parent's start-up, shutdown, middleware and body limit do not affect the service."""
    order = []

    async def start(app: web.Application) -> None:
        order.append("parent starts")

    async def stop(app: web.Application) -> None:
        order.append("parent stops")

    async def own(request: web.Request) -> web.Response:
        return web.Response(text="own")

    @web.middleware
    async def read_first(request: web.Request, handler: Any) -> web.StreamResponse:
        if "read" in request.headers:
            await request.read()
        response: web.StreamResponse = await handler(request)
        response.headers["X-Parent"] = "1"
        return response

    def started(connection: Any, application: web.Application) -> None:
        order.append("service starts")

    parent = web.Application(client_max_size=100, middlewares=[read_first])
    parent.on_startup.append(start)
    parent.on_cleanup.append(stop)
    parent.router.add_get("/own", own)
    api = create_app(
        method_module={"echo": echo, "login": __import__("toto_aio.methods.account.create", fromlist=["x"])},
        database=f"sqlite:///{tmp_path}/x.db",
        startup_function=started,
    )
    parent.add_subapp("/api", api)
    client = await aiohttp_client(parent)
    response = await client.post("/api/service/echo", json={"x": "x" * 5000})
    assert len((await response.json())["result"]["x"]) == 5000
    assert response.headers["X-Parent"] == "1"
    response = await client.post("/api/service", json={"method": "echo"}, headers={"read": "1"})
    assert (await response.json()) == {"result": {"method": "echo"}}
    body = {"parameters": {"user_id": "ada", "password": "correct horse"}}
    assert "session" in await (await client.post("/api/service/login", json=body)).json()
    assert await (await client.get("/own")).text() == "own"
    assert order == ["parent starts", "service starts"]
    await client.close()
    assert order == ["parent starts", "service starts", "parent stops"]
    assert os.listdir(tmp_path) == ["x.db"]  # the log was written back when the database was closed


async def test_embedded_at_the_prefix(aiohttp_client: AiohttpClient) -> None:
    """With root=/ the service responds at the parent's prefix itself."""
    parent = web.Application()
    parent.add_subapp("/api", create_app(method_module={"echo": echo}, database="memory://", root="/"))
    client = await aiohttp_client(parent)
    for path in ("/api", "/api/"):
        response = await client.post(path, json={"method": "echo", "parameters": {"x": 1}})
        assert await response.json() == {"result": {"x": 1}}
    assert (await (await client.post("/api/echo", json={"x": 1})).json()) == {"result": {"x": 1}}


async def test_two_services_in_one_process(aiohttp_client: AiohttpClient) -> None:
    """Different methods, accounts, settings and events, side by side in one parent."""
    import toto_aio.methods.account.create
    import toto_aio.methods.account.login

    account = {
        "create": toto_aio.methods.account.create,
        "login": toto_aio.methods.account.login,
    }

    async def manager(handler: Handler, parameters: Parameters) -> bool:
        return EventManager.instance() is handler.events

    heard: dict[str, list[Any]] = {"a": [], "b": []}

    def listen(name: str) -> Callable[[EventManager], None]:
        def invoke(events: EventManager) -> None:
            events.register_handler("e", heard[name].append, persist=True)

        return invoke

    async def send(handler: Handler, parameters: Parameters) -> None:
        await EventManager.instance().send("e", parameters)

    parent = web.Application()
    common: dict[str, Any] = {"database": "memory://"}
    only_a = {**account, "manager": manager, "send": send}
    parent.add_subapp("/a", create_app(method_module=only_a, event_init_module=listen("a"), **common))
    parent.add_subapp(
        "/b",
        create_app(
            method_module={**account, "manager": manager},
            event_init_module=listen("b"),
            signing="off",
            password_min_length=3,
            **common,
        ),
    )
    client = await aiohttp_client(parent)
    body = {"parameters": {"user_id": "ada", "password": "abc"}}
    a = await client.post("/a/service/create", json=body)
    b = await client.post("/b/service/create", json=body)
    assert (await a.json())["error"]["code"] == 1003
    assert "result" in await b.json()
    assert "x-toto-hmac" not in b.headers
    assert (await (await client.post("/a/service/login", json=body)).json())["error"]["code"] == 1005
    for prefix in "ab":
        assert await (await client.post(f"/{prefix}/service/manager")).json() == {"result": True}
    await client.post("/a/service/send", json={"x": 1})
    await eventually(lambda: bool(heard["a"]))
    assert heard == {"a": [{"x": 1}], "b": []}


async def test_settings_and_options(aiohttp_client: AiohttpClient) -> None:
    """Options override the settings that are passed; the environment is not read."""
    settings = Settings(database="memory://", method_module={"echo": echo}, root="/one", max_body_size=10)
    client = await aiohttp_client(create_app(settings, max_body_size=1000))
    response = await client.post("/one/echo", json={"x": "a long parameter"})
    assert response.status == 200


def test_wrong_options() -> None:
    """A wrong option is reported before anything is opened, in one line."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"databse": 1}, "did you mean database?"),
        ({"port": "x"}, "port: expected int"),
        ({"signing": "md5"}, "user_id, toto1, session, off"),
        ({"signing": object()}, "verify and sign"),
        ({"events": "carrier-pigeon://"}, "memory://"),
        ({"events": 5}, "events"),
        ({"startup_function": "hooks"}, "write module.function, such as hooks.startup_function, not 'hooks'"),
        ({"before_handler": "hooks"}, "write module.function, such as hooks.before_handler, not 'hooks'"),
        ({"encoders": "shop"}, "write module.name, such as shop.ENCODERS, not 'shop'"),
        ({"startup_function": "os.nothing"}, "startup_function"),
        ({"startup_function": "..os.nothing"}, "module.function"),
        ({"event_init_module": ".os"}, "the name of a module"),
        ({"event_init_module": "os"}, "invoke"),
        ({"method_module": "no_such_package"}, "no_such_package"),
        ({"method_module": 5}, "method_module"),
        ({"method_module": {}}, "no module there defines invoke, or a function marked @method"),
        ({"hmac_enabled": True}, "signing="),
    ]
    for options, expected in wrong:
        with pytest.raises(SettingsError) as raised:
            create_app(**{"method_module": {"echo": echo}, **options})
        assert expected in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("database", ["oracle://x", "memory:/x", "sqlite://host/x.db", 5])
async def test_a_database_that_cannot_be(database: Any) -> None:
    """A wrong database stops the start."""
    with pytest.raises(SettingsError, match="database"):
        await start(database=database)


async def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    """A file that cannot be opened stops the start, and names the file."""
    with pytest.raises(Unavailable, match="nowhere"):
        await start(database=f"sqlite:///{tmp_path}/nowhere/x.db")


async def test_a_ready_store(aiohttp_client: AiohttpClient) -> None:
    """A store may be passed in, and is not closed by the service."""

    class Watched(MemoryStore):
        closed = 0

        async def close(self) -> None:
            self.closed += 1

    accounts, sessions = Watched(), Watched()
    import toto_aio.methods.account.create as create

    app = create_app(method_module={"create": create}, database=accounts, session_store=sessions)
    client = await aiohttp_client(app)
    await client.post("/service/create", json={"user_id": "ada", "password": "correct horse"})
    assert await accounts.get_account("ada") is not None
    assert len(await sessions.list_sessions("ada")) == 1
    assert await accounts.list_sessions("ada") == []
    await client.close()
    assert accounts.closed == sessions.closed == 0


async def test_startup_function(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called by its name with connection and application, and may be a coroutine function."""
    (tmp_path / "start_up_here.py").write_text(
        "async def begin(connection, application):\n"
        "    await connection.accounts.create('ada', 'correct horse')\n"
        "    application['marks'].append(1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KeyError):  # the application is the service's own, and has no marks
        await start(startup_function="start_up_here.begin", database="memory://")
    (tmp_path / "start_up_here.py").write_text(
        "async def begin(connection, application):\n"
        "    await connection.accounts.create('ada', 'correct horse')\n"
    )
    sys.modules.pop("start_up_here")
    service = await serve({"echo": echo}, startup_function="start_up_here.begin")
    await service.result("account.login", {"user_id": "ada", "password": "correct horse"})


async def test_own_settings_at_the_start(serve: Serve) -> None:
    """``startup_function`` reads them from the connection, where no one can change them."""
    seen: list[Any] = []

    def begin(connection: Connection, application: web.Application) -> None:
        seen.append(connection.settings["mail"]["host"])
        with pytest.raises(TypeError):
            connection.settings["mail"] = {}  # type: ignore[index]

    await serve({"echo": echo}, startup_function=begin, app={"mail": {"host": "mx"}})
    assert seen == ["mx"]


async def test_event_init_module(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its invoke gets the event manager before the service starts, as in Toto."""
    (tmp_path / "events_here.py").write_text(
        "heard = []\ndef invoke(events):\n    events.register_handler('e', heard.append, persist=True)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    async def send(handler: Handler, parameters: Parameters) -> None:
        for n in range(3):
            await handler.events.send("e", n)

    service = await serve({"send": send}, event_init_module="events_here")
    await service.result("send")
    await eventually(lambda: sys.modules["events_here"].heard == [0, 1, 2])
    with pytest.raises(SettingsError, match="events=memory://"):
        await start(event_init_module="events_here", events="off", database="memory://")


async def test_expired_sessions_are_dropped(aiohttp_client: AiohttpClient) -> None:
    """A service drops them when it starts, and periodically."""
    from toto_aio.models import Session

    store = Counting()
    await store.add_session(Session("k", "ada", 0, 1, b"\x80"))
    await aiohttp_client(create_app(method_module={"echo": echo}, database=store))
    await eventually(lambda: store.sweeps == 1)
    assert await store.sweep() == 0


class Counting(MemoryStore):
    """Counts how often it was swept."""

    sweeps = 0

    async def sweep(self) -> int:
        self.sweeps += 1
        return await super().sweep()


async def test_one_process_sweeps(serve: Serve) -> None:
    """Of the services that share a store, one drops expired sessions."""
    store = Counting()
    for _ in range(4):
        await serve({"echo": echo}, database=store)
    await eventually(lambda: store.sweeps >= 1)
    await asyncio.sleep(0.01)
    assert store.sweeps == 1


async def test_no_sweep_while_the_clock_may_be_wrong(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the clock was set forward nothing is dropped: it may be set right again."""
    monkeypatch.setattr(sweep, "SWEEP_INTERVAL", 0.001)
    monkeypatch.setattr(sweep, "SWEEP_PAUSE", 0.0)
    store, ahead, looks = Counting(), 0.0, 0

    def wall() -> float:
        nonlocal looks
        looks += 1
        return time.time() + ahead

    await serve({"echo": echo}, database=store, signing=SessionScheme(Clock(wall)))
    await eventually(lambda: store.sweeps >= 1)
    ahead = 3600.0
    clock_seen = looks
    await eventually(lambda: looks > clock_seen + 2)
    sweeps, clock_seen = store.sweeps, looks
    await eventually(lambda: looks > clock_seen + 20)
    assert store.sweeps == sweeps


async def test_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aiohttp_client: AiohttpClient
) -> None:
    """The usual way: a package of modules, found by its name."""
    package = tmp_path / "my_methods"
    (package / "deep" / "er").mkdir(parents=True)
    for folder in (package, package / "deep", package / "deep" / "er"):
        (folder / "__init__.py").touch()
    (package / "deep" / "er" / "add.py").write_text(
        "async def invoke(handler, parameters):\n    return parameters['a'] + parameters['b']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    client = await aiohttp_client(create_app(method_module="my_methods", database="memory://"))
    response = await client.post("/service/deep/er/add", json={"a": 1, "b": 2})
    assert await response.json() == {"result": 3}


def test_a_file_instead_of_settings() -> None:
    """``create_app`` reads no file, and says what does."""
    with pytest.raises(SettingsError, match=r"not 'toto.toml': .* toto_aio.settings.read_settings"):
        create_app("toto.toml", app={"a": 1})  # type: ignore[arg-type]
