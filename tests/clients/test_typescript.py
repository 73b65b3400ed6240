"""The npm package ``toto-client``: its own tests in Node, and a page of another origin in Chromium."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

import toto_aio
import toto_aio.methods.account.api_keys
from tests.support.service import Serve
from tests.support.thirty import METHODS
from toto_aio.invocation import authenticated, channel, idempotent, optionally_authenticated
from toto_aio.members import Admission

if TYPE_CHECKING:
    from tests.support.browser import Browser
    from tests.support.node import Node

pytest_plugins = ["tests.support.node", "tests.support.browser"]

SCHEMES = ("user_id", "toto1", "session", "off")
LIMIT = 300.0
"""Seconds that the package's tests may take on a busy machine, and each of them."""
PATIENT = f"--testTimeout={LIMIT * 1000:.0f}"

counts: Counter[str] = Counter()
released = asyncio.Event()
orders: defaultdict[str, list[int]] = defaultdict(list)


@authenticated
async def count(handler: Any, name: str) -> int:
    """Count the calls with a name."""
    counts[name] += 1
    return counts[name]


@optionally_authenticated
@idempotent
async def count_once(handler: Any, name: str) -> int:
    """Count the calls with a name, and repeats once."""
    counts[name] += 1
    return counts[name]


async def counted(handler: Any, name: str) -> int:
    """The calls with a name so far."""
    return counts[name]


async def ordered(handler: Any, batch: str, index: int) -> list[int]:
    """The numbers in the order in which they came."""
    orders[batch].append(index)
    return orders[batch]


async def slow(handler: Any) -> None:
    """Take longer than anyone waits."""
    await asyncio.wait_for(released.wait(), LIMIT)


@channel("room:{room}", history=100)
@authenticated
async def room(handler: Any, room: int) -> dict[str, Any]:
    """Admit users to rooms."""
    return {"room": room, "user": handler.session.user_id}


@channel("news")
@optionally_authenticated
async def news(handler: Any) -> dict[str, str]:
    """Admit everybody to the news."""
    return {"user": "" if handler.session is None else handler.session.user_id}


@channel("crowd:{crowd}", history=10, presence=True, join_leave=True, publish="chatter")
async def crowd(handler: Any, crowd: str) -> Admission:
    """Admit everybody, and say who is there."""
    return Admission({"topic": crowd}, info={"colour": "green"})


async def chatter(handler: Any, crowd: str, text: str) -> None:
    """Publish to a crowd."""
    await handler.events.publish(f"crowd:{crowd}", {"text": text})


async def hail(handler: Any) -> None:
    """Send a message."""
    handler.send_message({"hello": "there"})


async def say(handler: Any, channel: str, text: str) -> None:
    """Publish to a channel."""
    await handler.events.publish(channel, {"text": text})


OWN = {
    "account.api_keys": toto_aio.methods.account.api_keys,
    "chatter": chatter,
    "count": count,
    "count_once": count_once,
    "counted": counted,
    "crowd": crowd,
    "hail": hail,
    "news": news,
    "ordered": ordered,
    "room": room,
    "say": say,
    "slow": slow,
}


async def test_in_node(node: Node, serve: Serve) -> None:
    """The package's tests pass against a service of each signature scheme."""
    urls = {}
    for signing in SCHEMES:
        service = await serve({**METHODS, **OWN}, signing=signing, events="memory://")
        urls[signing] = str(service.client.make_url("/service"))
    process = await asyncio.create_subprocess_exec(
        *node.command("vitest", "vitest.mjs", "run", "--no-color", "--no-file-parallelism", PATIENT),
        cwd=node.folder,
        env={**os.environ, "TOTO_SERVICES": json.dumps(urls)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIMIT):
            output, _ = await process.communicate()
    finally:
        released.set()
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()


async def test_in_a_page(
    node: Node, serve: Serve, browser: Browser, aiohttp_server: AiohttpServer, tmp_path: Path
) -> None:
    """A page of another origin signs, uploads and hears a channel, with a key or with a cookie.

    No script has the id of a session in a cookie. The package and its tests compile.
    """
    arguments = ("--noEmit", "false", "--rootDir", ".", "--outDir", str(tmp_path))
    await asyncio.to_thread(node.run, "typescript", "bin/tsc", *arguments)
    app = web.Application()
    app.router.add_static("/src", tmp_path / "src")
    app.router.add_static("/centrifuge", node.folder / "node_modules" / "centrifuge" / "build")
    app.router.add_get("/", page_of_the_app)
    server = await aiohttp_server(app)
    origin = f"http://127.0.0.1:{server.port}"
    for cookies, signing in ((False, "session"), (True, "off")):
        options = {"use_cookies": True, "secure_cookies": False} if cookies else {}
        service = await serve(
            {**METHODS, **OWN}, signing=signing, allow_origin=[origin], events="memory://", **options
        )
        page = await browser.open(f"{origin}/")
        found = await page.run(
            "use(url, options)",
            url=str(service.client.make_url("/service")),
            options={"signing": signing, "cookies": cookies},
        )
        assert found["user"] == "ada"
        assert found["size"] == 300_000
        assert found["progress"] == sorted(found["progress"])
        assert found["progress"][-1] > 300_000
        assert found["aborted"] == "AbortError"
        assert found["after"] == 1004
        assert bool(found["session"]["session_id"]) is not cookies
        assert ("toto-session" in found["kept"]) is True
        heard = [{"room": 7, "user": "ada"}, {"text": "hello"}]
        assert found["heard"] == {"centrifuge": heard, "toto-client/channels/protobuf": heard}
        assert found["ends"] == [3503, 3503], "with the session"


async def page_of_the_app(request: web.Request) -> web.Response:
    """A page that uses the client."""
    return web.Response(text=PAGE, content_type="text/html")


PAGE = """<!doctype html>
<script type="importmap">
{"imports": {
  "centrifuge": "/centrifuge/index.mjs",
  "centrifuge/build/protobuf": "/centrifuge/protobuf/index.mjs",
  "toto-client/channels/protobuf": "/src/protobuf.js"
}}
</script>
<script type="module">
import { channel, connect } from "/src/channels.js";
import { Client, inWebStorage } from "/src/index.js";

const next = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

window.use = async (url, options) => {
  const client = new Client(url, { ...options, storage: inWebStorage(sessionStorage) });
  const session = await client.createAccount("ada", "correct horse");
  const user = await client.call("notes.mine");
  const progress = [];
  const file = new File([new Uint8Array(300_000)], "zeros");
  const { size } = await client.call("data.upload", { file }, { onProgress: (sent) => progress.push(sent) });
  const control = new AbortController();
  const stopped = { signal: control.signal, onProgress: () => control.abort() };
  const aborted = await client.call("data.upload", { file }, stopped).catch((error) => error.name);
  const kept = Object.keys(sessionStorage);
  const heard = {}, connections = [];
  for (const name of ["centrifuge", "toto-client/channels/protobuf"]) {
    const connection = await connect(client, await import(name));
    const room = channel(connection, "room:{room}", { room: 7 });
    const [subscribed, published] = [next(room, "subscribed"), next(room, "publication")];
    room.subscribe();
    const { data } = await subscribed;
    await client.call("say", { channel: "room:7", text: "hello" });
    heard[name] = [data, (await published).data];
    connections.push(next(connection, "disconnected"));
  }
  await client.logout();
  const ends = (await Promise.all(connections)).map(({ code }) => code);
  const after = await client.call("notes.mine").catch((error) => error.code);
  return { session, user, size, progress, aborted, kept, heard, ends, after };
};
</script>
"""


def test_the_version(node: Node) -> None:
    """The package has the version of the service that it belongs to, and its lock file names no host."""
    package = json.loads((node.folder / "package.json").read_text())
    assert package["version"] == toto_aio.__version__
    assert "resolved" not in (node.folder / "package-lock.json").read_text()
