"""Tests of the nginx site of a new project, with nginx itself: its limits, and what stays open behind it."""

from __future__ import annotations

import asyncio
import re
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import chdir
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.http.test_event_streams import Stream
from tests.support.limits import WATCHDOG, limits
from tests.support.rooms import ROOMS
from tests.support.servers import free_port, make_certificate, nginx
from tests.support.service import eventually
from toto_aio import create_app
from toto_aio.cli.new import make_project
from toto_aio.http import event_writer

NAME = "my-notes"


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """The port of the site, and the port to which it forwards.

    Its rates are so low that hardly anything but the burst is allowed, however long a test takes.
    """
    with tempfile.TemporaryDirectory(prefix="toto-aio-test-") as folder:
        top = Path(folder)
        top.chmod(0o755)
        with chdir(top):
            make_project(NAME)
        make_certificate(top / "fullchain.pem", top / "privkey.pem")
        port, service = free_port(), free_port()
        text = (top / NAME / "deploy" / f"{NAME}.nginx").read_text()
        text = re.sub(r"listen \[::\]:.*\n", "", text)
        text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
        text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
        text = text.replace(f"/etc/ssl/{NAME}", str(top))
        text = text.replace(f"unix:/run/{NAME}/socket", f"127.0.0.1:{service}")
        text = re.sub(r"rate=\d+r/s", "rate=1r/m", text)
        (top / "sites").mkdir()
        (top / "sites" / NAME).write_text(text)
        with nginx.server(top / "sites"):
            yield port, service


class Service:
    """Answers with status 204, ``/hold`` only once it is released."""

    def __init__(self) -> None:
        self.held = 0
        self.release = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/hold":
            self.held += 1
            await self.release.wait()
        return web.Response(status=204)


@pytest.fixture
async def service(ports: tuple[int, int]) -> AsyncIterator[Service]:
    """The service behind the site."""
    service = Service()
    runner = web.ServerRunner(web.Server(service))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", ports[1]).start()
    yield service
    await runner.cleanup()


@pytest.fixture
async def http(ports: tuple[int, int], service: Service) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the site."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(f"https://127.0.0.1:{ports[0]}", connector=connector) as http:
        yield http


async def accepted(http: aiohttp.ClientSession, path: str, *addresses: str, times: int = 250) -> int:
    """How many of these requests, from the addresses in turn, are not refused; the others have status 429."""
    count = 0
    for number in range(times):
        headers = {nginx.FROM: addresses[number % len(addresses)]}
        async with http.get(path, headers=headers) as response:
            assert response.status in (204, 429)
            count += response.status == 204
            if response.status == 429:
                assert response.content_type == "text/html"
                assert "nginx" in await response.text()
    return count


async def test_one_address(http: aiohttp.ClientSession) -> None:
    """What one client sends above the limit is refused, and nobody else's requests are."""
    assert 201 <= await accepted(http, "/service/hello", "198.51.100.1") < 250
    assert await accepted(http, "/service/hello", "198.51.100.2", times=5) == 5


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("198.51.100.11", "/service/account/login"),
        ("198.51.100.12", "/service/account.login"),
        ("198.51.100.13", "/api/service/account/create"),
        ("198.51.100.14", "/service/%61ccount/login"),
    ],
)
async def test_methods_of_accounts(http: aiohttp.ClientSession, address: str, path: str) -> None:
    """They have a lower limit, which leaves the other methods alone."""
    assert 21 <= await accepted(http, path, address, times=40) < 40
    assert await accepted(http, "/service/accounting", address, times=40) == 40


@pytest.mark.parametrize("start", ["2001:db8:1:2:", "2001:db8:1::", "2001:db8::"])
async def test_a_network_of_ipv6(http: aiohttp.ClientSession, start: str) -> None:
    """The addresses of a /64 network are one client, however they are written; the next is another."""
    end = "{0:x}:{0:x}:1:{0:x}" if start.count(":") == 4 else "{0:x}:{0:x}"
    addresses = [start + end.format(number) for number in range(1, 50)]
    assert 201 <= await accepted(http, "/service/hello", *addresses) < 250
    assert await accepted(http, "/service/hello", "2001:db8:1:3::1", times=5) == 5


async def test_requests_in_progress(http: aiohttp.ClientSession, service: Service) -> None:
    """One client has at most 200, and others are not affected."""
    headers = {nginx.FROM: "198.51.100.21"}

    async def hold() -> int:
        async with http.get("/hold", headers=headers) as response:
            return response.status

    holding = [asyncio.create_task(hold()) for _ in range(200)]
    await eventually(lambda: service.held == 200)
    assert await hold() == 429
    assert await accepted(http, "/service/hello", "198.51.100.22", times=1) == 1
    service.release.set()
    assert await asyncio.gather(*holding) == [204] * 200


async def test_channels(ports: tuple[int, int]) -> None:
    """Publications arrive at once on event streams and sockets, and comments keep a silent stream open."""
    application = create_app(method_module=ROOMS, database="memory://", root="/service")
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", ports[1]).start()
    headers = {nginx.FROM: "198.51.100.31"}
    site = f"https://127.0.0.1:{ports[0]}"
    connector = aiohttp.TCPConnector(ssl=False)
    try:
        async with asyncio.timeout(WATCHDOG), aiohttp.ClientSession(site, connector=connector) as http:
            with limits(event_writer, HEARTBEAT=0.05):
                response = await http.get("/service/events?channel=room:1", headers=headers)
                stream = Stream(response)
                assert "retry" in await stream.block()
                assert (await stream.event())[0] == "subscribed"
                for _ in range(2):
                    assert await response.content.readline() + await response.content.readline() == b":\n\n"
                async with http.ws_connect("/service/websocket", headers=headers) as socket:
                    await socket.send_json({"id": 1, "subscribe": "room:1"})
                    assert (await socket.receive_json())["result"]["channel"] == "room:1"
                    for n in range(2):
                        said = {"method": "publish", "parameters": {"channel": "room:1", "data": n}}
                        async with http.post("/service", json=said, headers=headers) as found:
                            assert (await found.json())["result"]["offset"] == n + 1
                        assert await stream.messages(1) == [n]
                        assert (await socket.receive_json())["data"] == n
                # The stream ends with the service: TLS that the client ends would outlive its loop.
                await runner.cleanup()
                await response.read()
    finally:
        await runner.cleanup()
