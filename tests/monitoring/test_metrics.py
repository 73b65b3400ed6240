"""The metrics, as Prometheus reads them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import Counter
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp.plugin import AiohttpClient

from tests.conftest import server_module
from tests.support import ROOT
from tests.support.limits import WATCHDOG
from tests.support.programs import ENVIRONMENT, SERVE, Server, failing, serving, short, write
from tests.support.service import Serve, Service, eventually
from toto_aio import TotoException, create_app
from toto_aio.channels import Member, Position
from toto_aio.dispatch.dispatcher import Dispatcher
from toto_aio.events.followed import ChannelSubscription
from toto_aio.http.service import SERVICE
from toto_aio.invocation import asynchronous, channel, error_redirect
from toto_aio.lifespan import LIFESPAN
from toto_aio.monitoring.multiprocess import MetricsFolder, locked
from toto_aio.settings import SettingsError
from toto_aio.stores.memory import MemoryStore

DOCS = ROOT / "docs"
Samples = dict[str, float]
"""Values by name with labels, as ``name{label="value"}``."""


async def fail(handler: Any, parameters: Any) -> None:
    """Raise one of the method's own errors."""
    raise TotoException(parameters.get("code", 2001), "no")


async def crash(handler: Any, parameters: Any) -> None:
    """Raise an unexpected exception."""
    raise RuntimeError("oops")


async def echo(handler: Any, parameters: Any) -> Any:
    """Return the parameters."""
    return parameters


@asynchronous
async def wait(handler: Any, parameters: Any) -> None:
    """Respond with the next event."""
    handler.register_event_handler("news", handler.respond)


async def send(handler: Any, parameters: Any) -> None:
    """Send an event."""
    await handler.events.send("news", 1)


METHODS = {"echo": echo, "fail": fail, "crash": crash, "wait": wait, "send": send}


def begins() -> tuple[asyncio.Event, dict[str, Any]]:
    """An event that is set once ``wait`` waits, and the methods with it."""
    begun = asyncio.Event()

    @asynchronous
    async def begin(handler: Any, parameters: Any) -> None:
        await wait(handler, parameters)
        begun.set()

    return begun, {**METHODS, "wait": begin}


def parse(text: str) -> Samples:
    """The samples of a response."""
    return {
        sample.name + written(sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def written(labels: dict[str, str]) -> str:
    """Labels in the text format."""
    pairs = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{pairs}}}" if pairs else ""


async def scrape(service: Service, path: str = "/metrics") -> Samples:
    """The samples of the service."""
    response = await service.client.get(path)
    assert response.status == 200, await response.text()
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parse(await response.text())


async def test_calls(serve: Serve) -> None:
    """By method and code, also in a batch; unregistered names share one label that no client chose."""
    service = await serve(METHODS, metrics=True)
    for _ in range(3):
        await service.result("echo", {})
    await service.call("fail")
    await service.call("crash")
    await service.call("no.such.method")
    await service.post(json={"batch": {"1": {"method": "echo"}, "2": {"method": "fail"}}})
    counts = await scrape(service)
    calls = {name: value for name, value in counts.items() if name.startswith("toto_calls_total") and value}
    assert calls == {
        'toto_calls_total{code="ok",method="echo"}': 4,
        'toto_calls_total{code="2001",method="fail"}': 2,
        'toto_calls_total{code="1000",method="crash"}': 1,
        'toto_calls_total{code="1001",method="unknown"}': 1,
    }
    assert counts['toto_call_seconds_count{method="echo"}'] == 4
    assert counts['toto_call_seconds_count{method="fail"}'] == 2
    assert 0 < counts['toto_call_seconds_sum{method="echo"}'] < WATCHDOG
    assert not any("no.such" in name for name in counts)


async def test_frames(serve: Serve) -> None:
    """Calls over a socket count like others, and open sockets are counted while they are open."""
    service = await serve(METHODS, metrics=True)
    async with service.client.ws_connect("/service/websocket") as frames:
        await frames.send_json({"id": 1, "method": "echo"})
        await frames.receive_json()
        counts = await scrape(service)
        assert counts["toto_sockets"] == 1
        assert counts["toto_socket_waiting_bytes"] == 0
        assert counts['toto_calls_total{code="ok",method="echo"}'] == 1
    async with asyncio.timeout(WATCHDOG):
        while (await scrape(service))["toto_sockets"] != 0:
            await asyncio.sleep(0.05)


async def test_codes_are_bounded(serve: Serve) -> None:
    """A method that takes its codes from its client does not create a metric for each."""
    service = await serve(METHODS, metrics=True)
    for start in (3000, 3050, 3100):
        codes = range(start, start + 50)
        batch = {str(code): {"method": "fail", "parameters": {"code": code}} for code in codes}
        await service.post(json={"batch": batch})
    await service.call("fail", {"code": "x" * 100})
    counts = await scrape(service)
    failed = [name for name in counts if name.startswith("toto_calls_total") and 'method="fail"' in name]
    assert len(failed) <= 102
    assert counts['toto_calls_total{code="other",method="fail"}'] >= 51


async def test_what_is_no_error(serve: Serve) -> None:
    """aiohttp's exceptions are not errors of the service; a redirect is what its method wanted."""

    async def own(handler: Any, parameters: Any) -> None:
        raise web.HTTPNotFound

    service = await serve({"own": own, "elsewhere": error_redirect({}, "/x")(crash)}, metrics=True)
    assert (await service.post("/own", json={})).status == 404
    await service.client.post("/service/elsewhere", json={}, allow_redirects=False)
    counts = await scrape(service)
    assert counts['toto_calls_total{code="http",method="own"}'] == 1
    assert counts['toto_calls_total{code="ok",method="elsewhere"}'] == 1


async def test_clients_who_leave(serve: Serve) -> None:
    """Their calls are counted as left."""
    begun, methods = begins()
    service = await serve(methods, metrics=True)
    call = asyncio.create_task(service.call("wait"))
    await asyncio.wait_for(begun.wait(), WATCHDOG)
    call.cancel()
    left = 'toto_calls_total{code="left",method="wait"}'
    async with asyncio.timeout(WATCHDOG):
        while not (counts := await scrape(service)).get(left):
            await asyncio.sleep(0.05)
    assert counts[left] == 1


async def test_events(serve: Serve) -> None:
    """Events are counted, and so are those that a slow subscriber lost before it left; waits aren't timed."""
    begun, methods = begins()
    service = await serve(methods, metrics=True)
    waiting = asyncio.create_task(service.result("wait"))
    await asyncio.wait_for(begun.wait(), WATCHDOG)
    await service.result("send")
    assert await waiting == 1
    events = service.client.app[LIFESPAN].runtime.events
    assert events is not None
    subscription = events.subscribe("news", size=2)
    before = await scrape(service)
    for _ in range(5):
        await service.result("send")
    counts = await scrape(service)
    assert counts["toto_events_sent_total"] == counts["toto_events_received_total"] == 6
    assert counts["toto_events_waiting"] == 2
    assert counts["toto_events_dropped_total"] == 3
    assert counts["toto_subscriptions"] == before["toto_subscriptions"]
    subscription.miss(4)
    subscription.close()
    subscription.close()
    counts = await scrape(service)
    assert (counts["toto_events_waiting"], counts["toto_events_dropped_total"]) == (0, 3)
    assert counts["toto_events_missed_total"] == 4
    assert counts["toto_subscriptions"] == before["toto_subscriptions"] - 1
    assert counts['toto_calls_total{code="ok",method="wait"}'] == 1
    assert 'toto_call_seconds_count{method="wait"}' not in counts


async def test_channels(serve: Serve) -> None:
    """Publications, what they reached, recoveries, gaps that were filled and members are counted."""

    @channel("room:{room}", history=3, presence=True)
    async def room(room: str) -> None: ...

    service = await serve({"room": room}, metrics=True)
    events = service.client.app[LIFESPAN].runtime.events
    assert events is not None
    assert events.channels is not None
    channels = events.channels
    heard: list[Any] = []
    one, two = (
        ChannelSubscription("room:1", heard.append, lambda: heard.append(None), Member(client, ""))
        for client in "ab"
    )
    start = (await channels.subscribe(one, None)).position
    assert start is not None
    one.begin()
    hear, channels._followed["room:1"].hear = channels._followed["room:1"].hear, lambda *message: None
    await events.publish("room:1", 1)
    await asyncio.sleep(0)
    channels._followed["room:1"].hear = hear
    await events.publish("room:1", 2)  # shows the gap
    await eventually(lambda: len(heard) == 2)
    assert (await channels.subscribe(two, start)).recovered
    two.begin()
    await events.publish("room:1", 3)
    await eventually(lambda: len(heard) == 4)
    three = ChannelSubscription("room:1", heard.append, lambda: None, Member("c", ""))
    assert not (await channels.subscribe(three, Position("another", 1))).recovered
    channels.unsubscribe(three)
    counts = await scrape(service)
    found = {name: value for name, value in counts.items() if name.startswith("toto_channel")}
    assert {name: value for name, value in found.items() if not name.endswith("_created")} == {
        "toto_channels": 1,
        "toto_channel_subscriptions": 2,
        "toto_channel_members": 2,
        "toto_channel_published_total": 3,
        "toto_channel_delivered_total": 4,
        "toto_channel_filled_total": 2,
        "toto_channel_recovered_total": 1,
        "toto_channel_unrecovered_total": 1,
        "toto_channel_lost_total": 0,
    }
    channels._followed["room:1"].lose()
    counts = await scrape(service)
    assert (counts["toto_channel_lost_total"], counts["toto_channel_subscriptions"]) == (2, 0)


async def test_sessions_and_logins(serve: Serve) -> None:
    """Sessions created and ended, and the result of each password check."""
    service = await serve(metrics=True, login_attempts=2)
    session = await service.create("ada", "correct horse")
    login = {"user_id": "ada", "password": "correct horse"}
    await service.result("account.login", login)
    await service.result("account.logout", session=session)
    for _ in range(4):
        await service.call("account.login", {**login, "password": "wrong"})
    counts = await scrape(service)
    assert counts["toto_sessions_created_total"] == 2
    assert counts["toto_sessions_ended_total"] == 1
    outcomes = {name: counts[f'toto_login_attempts_total{{outcome="{name}"}}'] for name in OUTCOMES}
    assert outcomes["wrong"] == 2
    assert outcomes["refused"] == 2
    assert outcomes["right"] >= 1
    assert counts['toto_calls_total{code="1012",method="account.login"}'] == 2


OUTCOMES = ("right", "wrong", "refused")


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "redis"])
async def test_databases(serve: Serve, servers: Callable[[str], Any], kind: str) -> None:
    """Operations are timed, and the connections of pools are counted: the store's and the methods'."""
    url = server_module(kind).fresh_url(servers(kind))
    service = await serve(metrics=True, database=url)
    await service.create()
    counts = await scrape(service)
    assert counts['toto_store_seconds_count{store="database"}'] >= 3
    assert counts['toto_store_failures_total{store="database"}'] == 0
    assert counts['toto_pool_connections{pool="methods",state="used"}'] == 0
    if kind != "redis":  # the Redis store has a single connection
        assert counts['toto_pool_limit{pool="database"}'] == 10
        assert counts['toto_pool_connections{pool="database",state="idle"}'] >= 1
        assert counts['toto_pool_connections{pool="database",state="used"}'] == 0


async def test_a_database_out_of_reach(serve: Serve) -> None:
    """Each failed operation is counted, under the name of the store that failed."""
    with server_module("redis").server() as redis:
        url = server_module("redis").fresh_url(redis)
        service = await serve(METHODS, metrics=True, session_store=url)
        session = await service.create()
        redis.kill()
        await service.call("account.sessions", session=session)
        counts = await scrape(service)
    assert counts['toto_store_failures_total{store="sessions"}'] >= 1
    assert counts['toto_store_failures_total{store="database"}'] == 0
    assert counts['toto_calls_total{code="1011",method="account.sessions"}'] == 1


async def test_measures_of_the_methods(serve: Serve) -> None:
    """Metrics that a method creates with prometheus_client are included, and so are those of the process."""
    own = Counter("notes_written", "Notes that were written")
    own.inc(3)
    counts = await scrape(await serve(metrics=True))
    assert counts["notes_written_total"] == 3
    assert counts["process_resident_memory_bytes"] > 1e6
    assert counts["process_open_fds"] > 3
    assert counts["process_cpu_seconds_total"] > 0
    assert counts["toto_processes"] == 1


async def test_two_apps_in_one_process(aiohttp_client: AiohttpClient) -> None:
    """Each counts for itself, below its own prefix."""
    parent = web.Application()
    for prefix in ("/a", "/b"):
        app = create_app(method_module={"echo": echo}, database="memory://", metrics=True)
        parent.add_subapp(prefix, app)
    client = await aiohttp_client(parent)
    await Service(client, "/a/service").result("echo")
    for prefix, count in (("/a", 1), ("/b", 0)):
        counts = await scrape(Service(client), f"{prefix}/metrics")
        assert counts['toto_calls_total{code="ok",method="echo"}'] == count
    assert (await client.get("/metrics")).status == 404


async def test_off(serve: Serve) -> None:
    """They are off by default: there is no page, and the parts are the ones that do not count."""
    service = await serve(METHODS)
    assert (await service.client.get("/metrics")).status == 404
    lifespan = service.client.app[LIFESPAN]
    assert type(service.client.app[SERVICE]._dispatch) is Dispatcher
    assert type(lifespan.runtime.connection.sessions.store).__name__ == "MemoryStore"


def test_off_imports_nothing() -> None:
    """Without metrics, prometheus_client is not imported and need not be installed."""
    code = "import sys, toto_aio; toto_aio.create_app(method_module={'a': print}); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "prometheus_client" not in modules.stdout.split()


def test_without_the_library() -> None:
    """Without prometheus_client, the error says what to install."""
    code = "import sys; sys.modules['prometheus_client'] = None; import toto_aio; toto_aio.create_app("
    done = subprocess.run(
        [sys.executable, "-c", f"{code}method_module={{'a': print}}, metrics=True)"],
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1].endswith("pip install 'toto-aio[metrics]'")


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ({}, {}, 200),
        ({}, {"X-Forwarded-For": "203.0.113.9"}, 403),
        ({}, {"X-Real-IP": "127.0.0.1"}, 403),
        ({}, {"Via": "1.1 proxy"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {}, 200),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "203.0.113.9"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "nonsense"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "127.0.0.1"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "127.9.9.9"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "::1"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "unix"}, 403),
        ({"trusted_proxies": ["127.0.0.1"]}, {"X-Forwarded-For": "127.0.0.1, 203.0.113.9"}, 403),
        (
            {"trusted_proxies": ["127.0.0.1"], "metrics_clients": ["203.0.113.0/24"]},
            {"X-Forwarded-For": "203.0.113.9"},
            200,
        ),
        (
            {"trusted_proxies": ["127.0.0.1"], "metrics_clients": ["127.0.0.9"]},
            {"X-Forwarded-For": "127.0.0.9"},
            200,
        ),
        ({"metrics_clients": ["127.0.0.1"]}, {"X-Forwarded-For": "203.0.113.9"}, 403),
    ],
    ids=str,
)
async def test_who_sees_them(
    serve: Serve, options: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    """Programs on this machine, and ``metrics_clients``; nobody else through a proxy on this machine."""
    service = await serve(metrics=True, **options)
    response = await service.client.get("/metrics", headers=headers)
    assert response.status == status
    assert ("toto_calls" in await response.text()) is (status == 200)


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    """A client that connects by path is on this machine."""
    runner = web.AppRunner(create_app(method_module=METHODS, database="memory://", metrics=True))
    await runner.setup()
    path = short(tmp_path / "s")
    await web.UnixSite(runner, path).start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client:
        async with client.get("http://service/metrics") as response:
            assert response.status == 200
        async with client.get("http://service/metrics", headers={"X-Forwarded-For": "::1"}) as response:
            assert response.status == 403
    await runner.cleanup()


class Odd(MemoryStore):
    """A store with a pool that does not report its size."""

    pool = object()


async def test_what_cannot_be_measured(serve: Serve, errors: Callable[[], list[str]]) -> None:
    """It is logged once, and everything else is measured."""
    service = await serve(METHODS, metrics=True, database=Odd())
    for count in (1, 2):
        await service.result("echo")
        assert (await scrape(service))['toto_calls_total{code="ok",method="echo"}'] == count
    assert errors() == ["a sample failed, and is not taken any more"]


SHARED = """
import asyncio, sys
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from toto_aio import create_app

async def echo(handler, parameters):
    return parameters

async def main():
    parent = web.Application()
    for prefix in ("/a", "/b"):
        app = create_app(method_module={"echo": echo}, database="memory://", metrics=True)
        parent.add_subapp(prefix, app)
    async with TestClient(TestServer(parent)) as client:
        for prefix in ("/a", "/b", "/b"):
            await client.post(prefix + "/service/echo", json={})
        async with client.ws_connect("/a/service/websocket"), client.ws_connect("/b/service/websocket"):
            print(await (await client.get("/b/metrics")).text())
            await asyncio.sleep(1.2)
            print(await (await client.get("/b/metrics")).text())

asyncio.run(main())
"""


def test_a_folder_of_another_master(tmp_path: Path) -> None:
    """As under gunicorn: apps of one process count together, in the folder that the environment names."""
    folder = tmp_path / "measures"
    command = [sys.executable, "-c", SHARED]
    environment = {**ENVIRONMENT, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stderr.splitlines()[-1].endswith("which is not a folder: create it, or unset it")
    folder.mkdir()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    counts = parse(done.stdout[done.stdout.rindex("# HELP toto_calls_total") :])
    assert counts['toto_calls_total{code="ok",method="echo"}'] == 3
    assert "toto_sockets 2.0" in done.stdout
    assert re.findall(r"^toto_processes (.*)", done.stdout, re.MULTILINE) == ["1.0", "1.0"]


def test_wrong_options() -> None:
    """They are refused at start-up, with what to write."""
    with pytest.raises(SettingsError, match="metrics_clients: write addresses"):
        create_app(method_module=METHODS, metrics=True, metrics_clients=["prometheus.example"])
    with pytest.raises(SettingsError, match="metrics: /metrics is the method 'metrics' already"):
        create_app(method_module={"metrics": echo}, metrics=True, root="/")


TWO = (*SERVE, "--port=0", "--processes=2", "--metrics", "--shutdown-timeout=3")
WHO = """
import os
async def invoke(handler, parameters):
    return os.getpid()
"""
HELD = """
import asyncio, os, sys
async def invoke(handler, parameters):
    print("begun", os.getpid(), file=sys.stderr, flush=True)
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
"""
OWN = """
from prometheus_client import Counter
written = Counter("notes_written", "Notes that were written")
async def invoke(handler, parameters):
    written.inc()
"""
WHOS_CALLS = 'toto_calls_total{code="ok",method="who"}'


async def samples(server: Server) -> Samples:
    """The samples of one of the processes."""
    async with aiohttp.ClientSession() as client:
        async with client.get(server.address.replace("/service", "/metrics")) as response:
            assert response.status == 200, await response.text()
            return parse(await response.text())


async def until(server: Server, wanted: Samples) -> Samples:
    """Poll until the samples contain the wanted ones."""
    deadline = time.monotonic() + WATCHDOG
    while True:
        found = await samples(server)
        if {name: found.get(name) for name in wanted} == wanted:
            return found
        assert time.monotonic() < deadline, {name: found.get(name) for name in wanted}
        await asyncio.sleep(0.05)


@asynccontextmanager
async def socket_of(server: Server) -> AsyncIterator[int]:
    """An open WebSocket; yields the id of its process."""
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{server.address}/websocket") as frames:
        await frames.send_json({"id": 1, "method": "who"})
        yield int((await frames.receive_json())["result"])


def folder_of(pid: int) -> Path:
    """The folder in which a process counts."""
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    values = dict(variable.partition("=")[::2] for variable in variables)
    return Path(values["PROMETHEUS_MULTIPROC_DIR"])


def parent_of(pid: int) -> int:
    """The process that has started another one, or has adopted it."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_two_processes(tmp_path: Path) -> None:
    """Each reports the counts of all, including ended ones, but not the sockets of those."""
    write(tmp_path, methods__who=WHO, methods__own=OWN)
    async with serving(tmp_path, *TWO) as server:
        for _ in range(12):
            await server.call({"method": "who"})
        await server.call({"method": "own"})
        counts = await until(server, {WHOS_CALLS: 12, "toto_processes": 2, "notes_written_total": 1})
        assert counts["process_resident_memory_bytes"] > 2e7
        async with socket_of(server) as victim:
            folder = folder_of(victim)
            assert folder.stat().st_mode & 0o777 == 0o700
            await until(server, {"toto_sockets": 1, WHOS_CALLS: 13})
            os.kill(victim, signal.SIGKILL)
            await server.wait_for("replaces one that ended")
            await until(server, {"toto_sockets": 0, "toto_processes": 2, WHOS_CALLS: 13})
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        await until(server, {"toto_processes": 2, WHOS_CALLS: 13, "notes_written_total": 1})
        # The files of ended processes are merged into one.
        await eventually(lambda: len(list(folder.glob("counter_[0-9]*.db"))) == 2)
        assert len(list(folder.glob("counter_*.db"))) == 3
        cpu = (await samples(server))["process_cpu_seconds_total"]
        assert cpu > 0.2
        assert await server.end() == 0
        assert not folder.exists()


async def test_a_master_that_was_killed(tmp_path: Path) -> None:
    """The next start removes its folder, but not while its workers run, and no folder of anybody else."""
    write(tmp_path, methods__who=WHO, methods__held=HELD)
    folders = tmp_path / "folders"
    strangers = folders / "toto-aio-metrics-of-a-stranger"
    strangers.mkdir(parents=True)
    command, environment = (*TWO, "--shutdown-timeout=300"), {"TMPDIR": str(folders)}
    async with serving(tmp_path, *command, **environment) as server:
        call = asyncio.create_task(server.call({"method": "held"}))
        worker = int((await server.wait_for("begun")).split()[1])
        folder = folder_of(worker)
        server.process.kill()  # ``wait`` would wait for its workers, too
        await eventually(lambda: parent_of(worker) != server.process.pid)
        async with serving(tmp_path, *command, **environment) as second:
            assert folder.exists()
            (tmp_path / "go").touch()
            assert await call == {"result": None}
            await server.process.communicate()  # its workers have ended
            async with serving(tmp_path, *command, **environment) as third:
                assert any(f"removed {folder}" in line for line in third.lines)
                assert not folder.exists()
                assert (await samples(second))["toto_processes"] == 2
                assert await third.end() == 0
            assert await second.end() == 0
    assert os.listdir(folders) == [strangers.name]


async def test_counts_never_go_back(tmp_path: Path) -> None:
    """While processes start, end and are polled: Prometheus would read a decrease as a restart."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *TWO) as server:
        for _ in range(20):
            await server.call({"method": "who"})
        await until(server, {WHOS_CALLS: 20})
        seen: list[float] = []

        async def watch() -> None:
            while True:
                try:
                    seen.append((await samples(server))[WHOS_CALLS])
                except aiohttp.ClientError:  # it polled the one that was killed
                    await asyncio.sleep(0.01)

        watching = [asyncio.create_task(watch()) for _ in range(2)]
        for _ in range(3):
            async with socket_of(server) as victim:
                polled = len(seen)
                os.kill(victim, signal.SIGKILL)
                await server.wait_for("replaces one that ended")
                await eventually(lambda polled=polled: len(seen) > polled + 5)  # type: ignore[misc]
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        assert set(seen) <= {20, 21, 22, 23}
        assert (await samples(server))[WHOS_CALLS] == 23
        assert await server.end() == 0


async def test_a_start_without_the_library(tmp_path: Path) -> None:
    """With several processes, too, it is one line that says what to install."""
    write(tmp_path, methods__who=WHO, prometheus_client="raise ModuleNotFoundError(name='prometheus_client')")
    said = await failing(tmp_path, *TWO, PYTHONPATH=str(tmp_path))
    assert said.endswith("pip install 'toto-aio[metrics]'\n")


@pytest.fixture
def tally() -> Iterator[MetricsFolder]:
    """An open tally."""
    tally = MetricsFolder()
    tally.mark_process_dead(1)
    tally.close()
    tally.open()
    tally.open()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    yield tally
    tally.close()
    assert not folder.exists()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def counted(folder: Path) -> list[str]:
    """The names of the files with counts."""
    return sorted(file.name for file in folder.glob("*.db"))


def test_broken_files(tally: MetricsFolder, errors: Callable[[], list[str]]) -> None:
    """A file that a killed process left incomplete is lost, logged, and does no further harm."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    (folder / "counter_7.db").write_bytes(b"")
    tally.mark_process_dead(7)
    assert errors() == ["the metrics of process 7 are lost"]
    assert not list(folder.glob("*.db"))


async def test_who_reads_is_not_disturbed(tally: MetricsFolder) -> None:
    """No count changes its file during a read, and the master does not wait for it; counts add up."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    with locked(str(folder), exclusive=False) as is_ours:
        assert is_ours
        for pid in (7, 8):
            file = MmapedDict(str(folder / f"counter_{pid}.db"))  # type: ignore[no-untyped-call]
            file.write_value("notes", float(pid), 0.0)  # type: ignore[no-untyped-call]
            file.close()  # type: ignore[no-untyped-call]
            tally.mark_process_dead(pid)
        assert counted(folder) == ["counter_7.db", "counter_8.db"]
    await eventually(lambda: counted(folder) == ["counter_ended.db"])
    values = MmapedDict.read_all_values_from_file(str(folder / "counter_ended.db"))  # type: ignore[no-untyped-call]
    assert [(key.strip(), value) for key, value, _, _ in values] == [("notes", 15.0)]


async def test_the_table_and_the_dashboard(tmp_path: Path, servers: Callable[[str], Any]) -> None:
    """docs/metrics.md lists all metrics, and each panel of the dashboard uses existing ones."""
    write(tmp_path, methods__who=WHO)
    url = server_module("postgresql").fresh_url(servers("postgresql"))
    async with serving(tmp_path, *TWO, f"--database={url}") as server:
        await server.call({"method": "who"})
        names = {name.partition("{")[0] for name in await samples(server)}
        assert await server.end() == 0
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in names}
    table = set(re.findall(r"^\| `(\w+)", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    assert {name for name in table if name.startswith(("toto_", "process_"))} == families
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            found = set(re.findall(r"\b(?:toto|process)_\w+", target["expr"]))
            assert found, panel["title"]
            asked |= found
    assert asked <= names, asked - names
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in asked} == families
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert dashboard["schemaVersion"] >= 38
