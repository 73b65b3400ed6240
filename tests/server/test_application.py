"""``toto-aio serve package.module:application``: an application with services, as operators see it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.server.test_background import Shell
from tests.server.test_master import everybody, until_gone
from tests.support.programs import SERVE, Server, failing, serving, write
from toto_aio.http.embedded import find_services
from toto_aio.lifespan import LIFESPAN
from toto_aio.server.application import open_application
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.sources import Sources

SITE = """
import os
from aiohttp import web
from toto_aio import create_app

VERSION = 1

async def who(handler, parameters):
    return os.getpid()

async def version(handler, parameters):
    return VERSION

async def page(request):
    return web.Response(text=str(VERSION))

def make(**options):
    application = web.Application()
    application.router.add_get("/", page)
    options = {"database": "sqlite:///toto.db", "events": "off", **options}
    service = create_app(method_module={"who": who, "version": version}, **options)
    application.add_subapp("/api", service)
    return application

async def make_later():
    return make(database="memory://", events="memory://")

async def fails():
    raise RuntimeError("no application today")

def needs(something):
    return make()

application = make(metrics=True)
alone = create_app(method_module={"who": who}, database="memory://")
empty = web.Application()
frozen = make()
frozen.freeze()
number = 3
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path with an application in the module ``site_of_test``."""
    write(tmp_path, site_of_test=SITE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "site_of_test", None)
    monkeypatch.delitem(sys.modules, "site_of_test")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(name: str, **options: Any) -> tuple[web.Application, list[str]]:
    """The application of that name, and the warnings."""
    warnings: list[str] = []
    found = open_application(Settings(**options), name, warnings.append)
    if isinstance(found, Awaitable):
        found = asyncio.run(_awaited(found))
    return found, warnings


async def _awaited(found: Awaitable[web.Application]) -> web.Application:
    return await found


@pytest.mark.parametrize("name", ["application", "make", "make_later", "alone"])
def test_what_can_be_served(site: Path, name: str) -> None:
    """An application, a function or coroutine function that returns one, and a service itself."""
    app, warnings = opened(f"site_of_test:{name}", shutdown_timeout=3)
    (service,) = find_services(app)
    assert service.app[LIFESPAN].shutdown_timeout == 3  # the server's is the one that counts
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("no_such_module:application", "there is no module 'no_such_module' on the import path"),
        ("site_of_test.inner:application", "there is no module 'site_of_test.inner'"),
        ("site_of_test:app", "site_of_test has no 'app': write site_of_test:application"),
        ("site_of_test:application.nothing", "has no 'nothing'"),
        ("site_of_test:number", "write an aiohttp.web.Application, or a function that returns one, not 3"),
        ("site_of_test:needs", "write a function without arguments, which returns the application"),
        ("site_of_test:frozen", "has been started or frozen already: leave that to toto-aio serve"),
        ("site_of_test:empty", "there is no service in it: write application.add_subapp('/api', create_app"),
    ],
)
def test_what_cannot_be_served(site: Path, name: str, advice: str) -> None:
    """One line names it, and says what to write."""
    with pytest.raises(SettingsError) as caught:
        opened(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_processes(site: Path) -> None:
    """What processes would not share is refused, or causes a warning."""
    with pytest.raises(SettingsError, match="database: each process would have a memory:// of its own"):
        opened("site_of_test:make_later", processes=2)
    app, warnings = opened("site_of_test:make", processes=2)
    assert warnings == []
    del app
    write(site, local=SITE + "\nlocal = make(events='memory://')")
    assert "write events=redis://localhost/0" in opened("local:local", processes=2)[1][0]


CHANNELS = """
from aiohttp import web
from toto_aio import create_app
from toto_aio.invocation import channel, rate

@channel("room:{room}")
async def join(room: str): ...

@rate(1, per=60, by="address")
async def rare(): ...

def make(**options):
    application = web.Application()
    application.add_subapp("/api", create_app(**options))
    return application

def channels():
    return make(method_module={"join": join}, events="memory://", database="sqlite:///toto.db")

def rates():
    return make(method_module={"rare": rare}, database="none")
"""


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("channels", "events: 'join' has channels, and memory://"),
        ("rates", "session_store: 'rare' has a rate"),
    ],
)
@pytest.mark.parametrize("processes", [2, 0])
def test_what_processes_have_to_share(
    site: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str, processes: int
) -> None:
    """Channels in memory, and rates that nothing counts, are refused as in a service alone."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    write(site, site_of_test=CHANNELS)
    opened(f"site_of_test:{name}")
    with pytest.raises(SettingsError, match=what):
        opened(f"site_of_test:{name}", processes=processes)


@pytest.mark.parametrize("where", ["file", "environment", "command line"])
def test_options_of_a_service(site: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused wherever they stand, and those of the server are taken."""
    file = site / "options.toml"
    file.write_text("port = 1\n")
    arguments = {"processes": "2"}
    monkeypatch.setenv("TOTO_AIO_PIDFILE", "other.pid")
    settings = Sources({}, file, arguments, "notes.app:make").read()
    assert (settings.port, settings.processes, settings.pidfile) == (1, 2, "other.pid")
    if where == "file":
        file.write_text("session_ttl = 1\n")
        place = f"{file}: session_ttl"
    elif where == "environment":
        monkeypatch.setenv("TOTO_AIO_SESSION_TTL", "1")
        place = "TOTO_AIO_SESSION_TTL"
    else:
        arguments["session_ttl"] = "1"
        place = "--session_ttl"
    with pytest.raises(SettingsError) as caught:
        Sources({}, file, arguments, "notes.app:make").read()
    assert str(caught.value) == f"{place}: write it in notes.app, as create_app(session_ttl=...)"


async def fetch(url: str) -> str:
    """The body of the response to a GET."""
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return await response.text()


async def test_rolling_restart(tmp_path: Path) -> None:
    """Two processes with metrics and health are replaced by HUP while clients call, and nothing is lost."""
    write(tmp_path, site_of_test=SITE)
    async with serving(tmp_path, *SERVE, "site_of_test:application", "--port=0", "--processes=2") as server:
        address = f"{server.address}api/service"
        old = await everybody(address)
        assert '"status": "ok"' in await fetch(f"{server.address}api/health/ready")
        write(tmp_path, site_of_test=SITE.replace("VERSION = 1", "VERSION = 2  # changed"))
        stop = asyncio.Event()
        failures: list[object] = []
        clients = [asyncio.create_task(ask(server, address, stop, failures)) for _ in range(4)]
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        assert await server.call({"method": "version"}, address) == {"result": 2}
        assert await fetch(server.address) == "2"
        await until_gone(*old)
        stop.set()
        asked = sum(await asyncio.gather(*clients))
        assert (asked > 0, failures) == (True, [])
        counted = await fetch(f"{server.address}api/metrics")
        assert "toto_processes 2.0" in counted
        assert await server.end() == 0


async def ask(server: Server, address: str, stop: asyncio.Event, failures: list[object]) -> int:
    """Call the service and the page on kept-alive connections until the end; how often that worked."""
    asked = 0
    async with aiohttp.ClientSession() as client:
        while not stop.is_set():
            try:
                async with client.post(address, json={"method": "version"}) as response:
                    assert (await response.json())["result"] in (1, 2)
                async with client.get(server.address) as response:
                    assert await response.text() in ("1", "2")
                asked += 1
            except (aiohttp.ClientError, AssertionError) as exc:
                failures.append(exc)
    return asked


async def test_code_that_is_broken(tmp_path: Path) -> None:
    """A syntax error is named by its file and line, in one process and in several."""
    write(tmp_path, site_of_test="import broken\n", broken="async def invoke(\n    return 1\n")
    said = await failing(tmp_path, *SERVE, "site_of_test:application", "--port=0")
    assert said.startswith(f"toto-aio: {tmp_path}/broken.py, line 1: SyntaxError: '(' was never closed\n")
    assert said == await failing(tmp_path, *SERVE, "site_of_test:application", "--port=0", "--processes=2")


async def test_in_the_background(tmp_path: Path) -> None:
    """``start`` and ``restart`` take it, too; a coroutine function that fails is shown by ``start``."""
    write(tmp_path, site_of_test=SITE)
    shell = Shell(tmp_path)
    failed = await shell.toto_aio("start", "site_of_test:fails", "--port=0")
    assert failed.status == 1
    assert "RuntimeError: no application today" in failed.said
    started = await shell.toto_aio("start", "site_of_test:make_later", "--port=0")
    try:
        assert started.status == 0
        assert await fetch(started.address) == "1"
        restarted = await shell.toto_aio("restart", "site_of_test:make_later", "--port=0")
        assert restarted.status == 0
        assert await fetch(restarted.address) == "1"
    finally:
        stopped = await shell.toto_aio("stop", "site_of_test:make_later")
    assert stopped.status == 0
