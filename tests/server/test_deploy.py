"""Tests of the service of docs/deploy.md, behind nginx, as clients see it through every step of the page."""

from __future__ import annotations

import asyncio
import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.deployment import (
    METHODS,
    PAGE,
    SECTIONS,
    Deployment,
    answers,
    calling,
    client,
    deployed,
    nobody_noticed,
    visiting,
)
from tests.support.servers import Server, descendants
from tests.support.service import eventually
from toto_aio.cli.new import FOLDER
from toto_aio.client import Client
from toto_aio.exceptions import InvalidCredentials

JSON = {"Content-Type": "application/json"}
WORD = {"room": "hall", "name": "Ada", "text": "hello"}
SAID = {"name": "Ada", "text": "hello"}


@pytest.fixture(scope="module")
def deployment(
    servers: Callable[[str], Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The service after the first half of the page."""
    with deployed(servers("postgresql"), tmp_path_factory.mktemp) as place:
        yield place


async def test_the_way_in(deployment: Deployment) -> None:
    """Health is served, HTTP is redirected to HTTPS, and the service itself refuses what is too large."""
    async with visiting(deployment) as http:
        async with http.get("/health/ready") as response:
            assert response.status == 200
            ready = {"status": "ok", "database": "ok", "sessions": "ok", "events": "ok"}
            assert await response.json() == ready
        async with http.get(
            f"http://notes.example:{deployment.plain}/service/hello?name=Ada", allow_redirects=False
        ) as response:
            assert response.status == 301
            assert response.headers["location"] == "https://notes.example/service/hello?name=Ada"
        for size, is_ours in ((1_500_000, True), (3_000_000, False)):
            body = io.BytesIO(b'{"name": "' + b"a" * size + b'"}')
            async with http.post("/service/hello", data=body, headers=JSON) as response:
                assert response.status == 413
                assert (response.content_type == "application/json") == is_ours
                if is_ours:
                    assert (await response.json())["error"]["code"] == 1003


async def test_accounts(deployment: Deployment) -> None:
    """A login is valid by header, and by cookie only for pages of the service."""
    async with visiting(deployment) as http:
        ada = client(http, deployment)
        await ada.create_account("ada", "correct horse")
        assert [await ada.call("count") for _ in range(2)] == [1, 2]
        account = {"user_id": "ada", "password": "correct horse"}
        own = {"Origin": f"https://notes.example:{deployment.tls}"}
        async with http.post("/service/account/login", json=account, headers=own) as response:
            cookie = response.cookies["__Host-toto-session"]
            assert cookie["secure"]
            assert cookie["httponly"]
        named = {"Cookie": f"{cookie.key}={cookie.value}"}
        for origin, result in ((own, 1), ({"Origin": "https://evil.example"}, None)):
            async with http.post("/service/count", json={}, headers={**named, **origin}) as response:
                answer = await response.json()
                assert (answer.get("result"), "error" in answer) == (result, result is None)


async def test_addresses(deployment: Deployment) -> None:
    """A client has the address that it connects from, whatever it claims."""
    async with visiting(deployment, "198.51.100.5") as http:
        for claimed in (None, "203.0.113.9", "unix", "127.0.0.1, unix", "203.0.113.9, 127.0.0.1"):
            headers = {} if claimed is None else {"X-Forwarded-For": claimed, "X-Real-IP": claimed}
            async with http.post("/service/address", json={}, headers=headers) as response:
                assert await response.json() == {"result": "198.51.100.5"}, claimed
            async with http.ws_connect("/service/websocket", headers=headers) as frames:
                await frames.send_json({"id": 1, "method": "address"})
                assert await frames.receive_json() == {"id": 1, "result": "198.51.100.5"}


async def test_events(deployment: Deployment) -> None:
    """What is said in any process arrives over WSS, and at a call that has waited for seconds."""
    async with visiting(deployment) as http:
        ada = client(http, deployment)
        waiting = asyncio.create_task(ada.call("wait", {"room": "hall"}))
        await asyncio.sleep(3.2)
        assert not waiting.done()
        await all_hear(ada)
        assert await waiting == SAID


async def all_hear(visitor: Client) -> None:
    """What is said on one of several sockets arrives on each; they are spread over the processes."""
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(visitor.socket()) for _ in range(4)]
        for frames in sockets:
            assert await frames.call("listen", {"room": "hall"}) == "listening"
        await sockets[0].call("say", WORD)
        assert [await frames.receive() for frames in sockets] == [SAID] * 4


async def test_streams(deployment: Deployment) -> None:
    """The first part of a response arrives before the last exists."""
    async with visiting(deployment) as http, http.get("/service/stream") as response:
        assert await response.content.readany() == b"one"
        await client(http, deployment).call("say", {**WORD, "room": "stream"})
        assert await response.read() == b"two"


def test_who_may_connect(deployment: Deployment) -> None:
    """Only the service and nginx's group may use the socket; only the service the database and the key."""
    root = deployment.one.root
    modes = {
        "run/notes": 0o750,
        "var/lib/notes": 0o700,
        "etc/notes.env": 0o600,
        "etc/ssl/notes/privkey.pem": 0o600,
    }
    for name, mode in modes.items():
        assert (root / name).stat().st_mode & 0o777 == mode, name
    assert (root / "run/notes/socket").stat().st_mode & 0o007 == 0
    assert (root / "var/lib/notes/toto.db").stat().st_mode & 0o007 == 0


async def test_new_code(deployment: Deployment) -> None:
    """It is served after a reload, and clients that keep calling notice nothing else."""
    version = deployment.homes["one"] / "methods" / "version.py"
    version.write_text(METHODS["version"].replace("return 1", "return 22"))
    main = deployment.one.systemd.process("notes").pid
    before = set(descendants(main))
    async with visiting(deployment) as http:
        assert await client(http, deployment).call("version") == 1
        async with calling(http) as got:
            await asyncio.to_thread(deployment.follow, "New code")
            await eventually(lambda: not before & set(descendants(main)))
            assert await client(http, deployment).call("version") == 22
        assert nobody_noticed(got), got


async def test_broken_code(deployment: Deployment) -> None:
    """If code or options cannot be served, the old processes keep serving."""
    root = deployment.one.root / "srv/notes"
    options = (root / "toto.toml").read_text()
    (root / "toto.toml").write_text(options + "debug = true\n")
    async with visiting(deployment) as http:
        with pytest.raises(AssertionError, match="grave: debug"):
            await asyncio.to_thread(deployment.one.systemd.reload, "notes")
        (root / "toto.toml").write_text(options)
        (root / "methods" / "broken.py").write_text("import nothing_of_that_name\n")
        await asyncio.to_thread(deployment.one.systemd.reload, "notes")
        await eventually(lambda: "the restart failed" in deployment.one.systemd.journal.read_text())
        (root / "methods" / "broken.py").unlink()
        assert await client(http, deployment).call("version") in (1, 22)


async def test_metrics_and_a_new_toto_aio(deployment: Deployment) -> None:
    """While the service is replaced nginx responds. Then there are metrics, for the client that is named."""
    await asyncio.to_thread(deployment.follow, "Health and metrics")
    before = deployment.one.systemd.process("notes").pid
    async with visiting(deployment) as http:
        await answers(404, http, "/metrics")
        following = asyncio.create_task(asyncio.to_thread(deployment.follow, "A new toto_aio"))
        await answers(502, http)
        await following
        await answers(200, http)
        assert deployment.one.systemd.process("notes").pid != before
        for claimed in ({}, {"X-Forwarded-For": "127.0.0.9"}, {"X-Forwarded-For": "unix"}):
            async with http.get("/metrics", headers=claimed) as response:
                assert response.status == 403
                assert "toto_" not in await response.text()
    async with visiting(deployment, "127.0.0.9") as http, http.get("/metrics") as response:
        assert response.status == 200
        assert "toto_calls_total" in await response.text()


async def test_backups(deployment: Deployment) -> None:
    """A copy is made while the service runs, and restoring it restores what was there then."""
    async with visiting(deployment) as http:
        visitor = client(http, deployment)
        await visitor.create_account("bob", "battery staple")
        await asyncio.to_thread(deployment.follow, "Backups", slice(2))
        await visitor.create_account("eve", "battery staple")
        await asyncio.to_thread(deployment.follow, "Backups", slice(2, None))
        await answers(200, http)
        folder = deployment.one.root / "var/lib"
        copies = list((folder / "notes-backup").iterdir())
        assert [copy.stat().st_mode & 0o777 for copy in (*copies, folder / "notes-backup")] == [0o600, 0o700]
        assert (folder / "notes/toto.db").stat().st_mode & 0o777 == 0o600
        await visitor.login("bob", "battery staple")
        with pytest.raises(InvalidCredentials):
            await visitor.login("eve", "battery staple")


async def test_logs(deployment: Deployment) -> None:
    """They are in the journal, with the client's address."""
    async with visiting(deployment, "2001:db8::6") as http, http.post("/service/nothing", json={}):
        pass
    await asyncio.to_thread(deployment.follow, "Logs")
    assert "call failed: unknown with 1001" in deployment.one.systemd.journal.read_text()
    assert "from 2001:db8::6 " in deployment.one.systemd.journal.read_text()


async def test_a_second_machine(deployment: Deployment) -> None:
    """Both have the same accounts and events, and when one is stopped no client notices."""
    one, two = deployment.one, deployment.two
    await asyncio.to_thread(deployment.follow, "On the first machine")
    shutil.copy(one.root / "etc/notes.env", two.root / "etc")  # "has the lines of the first"
    for heading in ("The machine", "The project", "On the second machine"):
        blocks = slice(heading == "The project", None)  # which already exists
        await asyncio.to_thread(deployment.follow, heading, blocks, "two")
    await asyncio.to_thread(deployment.follow, "In front of both")
    async with visiting(deployment) as http:
        await answers(200, http)
        ada = client(http, deployment)
        await ada.create_account("ada", "correct horse")
        assert [await ada.call("count") for _ in range(6)] == [1, 2, 3, 4, 5, 6]
        assert {await ada.call("address") for _ in range(4)} == {"203.0.113.7"}
        await all_hear(ada)
        async with calling(http) as got:
            await asyncio.to_thread(two.systemd.stop, "notes")
            await asyncio.sleep(0.3)
        assert nobody_noticed(got), got


def test_the_page() -> None:
    """Every section with commands is tested here, and the lines that the page quotes are in the files."""
    here = "".join(
        path.read_text() for path in (Path(__file__), ROOT / "tests" / "support" / "deployment.py")
    )
    for heading, written in SECTIONS.items():
        assert f'"{heading}"' in here or all(block.language != "sh" for block in written), heading
    made = "".join(
        (FOLDER / "common/deploy" / f"project_name.{kind}").read_text() for kind in ("service", "nginx")
    )
    directive = (
        r"`((?:TOTO_AIO_|Exec|Group|DynamicUser|EnvironmentFile|proxy_|keepalive|client_max_|limit_)[^`]*)`"
    )
    named = re.findall(directive, PAGE.read_text().replace("\n", " "))
    assert len(named) > 10
    for text in named:
        assert text in made.replace("project_name", "notes"), text
