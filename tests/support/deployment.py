"""Follows docs/deploy.md until its service can be reached, and provides clients for it.

Whatever on the page cannot be the same on a test machine is replaced here (``other_words``) and in
tests/support/servers/debian.py.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from markdown_it import MarkdownIt

from tests.support import ROOT
from tests.support.pages import Block, Reader
from tests.support.servers import Server, free_port, nginx, postgresql
from tests.support.servers.debian import Debian
from tests.support.service import eventually
from toto_aio.client import Client

PAGE = ROOT / "docs" / "deploy.md"
METHODS = {
    "address": "async def invoke(handler, parameters):\n    return handler.address\n",
    "listen": """
async def invoke(handler, room: str):
    handler.register_event_handler(f"room {room}", handler.send_message)
    return "listening"
""",
    "say": """
async def invoke(handler, room: str, name: str, text: str):
    await handler.events.send(f"room {room}", {"name": name, "text": text})
""",
    "wait": """
from toto_aio.invocation import asynchronous

@asynchronous
async def invoke(handler, room: str):
    handler.register_event_handler(f"room {room}", handler.respond)
""",
    "version": """
from toto_aio.invocation import safe

@safe
async def invoke(handler, parameters):
    return 1
""",
    "stream": """
import asyncio
from toto_aio.invocation import raw_response, safe

@safe
@raw_response
async def invoke(handler, parameters):
    said = asyncio.Event()
    handler.register_event_handler("room stream", lambda word: said.set())
    handler.set_header("X-Accel-Buffering", "no")
    handler.respond_raw(b"one", "text/plain", finish=False)
    await handler.drain()
    await said.wait()
    handler.respond_raw(b"two", "text/plain")
""",
}


def sections() -> dict[str, list[Block]]:
    """The code blocks of the page by heading."""
    found: dict[str, list[Block]] = {}
    heading = ""
    tokens = MarkdownIt().parse(PAGE.read_text())
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[number + 1].content
        elif token.type == "fence":
            place = f"{PAGE.name}, line {(token.map or [0])[0] + 1}"
            found.setdefault(heading, []).append(Block(token.info, token.content, place))
    return found


SECTIONS = sections()


@dataclass
class Deployment:
    """Two machines: ``one`` has nginx, ``two`` is still empty. The project of each is in ``homes``."""

    one: Debian
    two: Debian
    homes: dict[str, Path]
    tls: int
    plain: int

    def follow(self, heading: str, blocks: slice = slice(None), on: str = "one") -> None:
        """Follow a section of the page, or some of its blocks."""
        {"one": self.one, "two": self.two}[on].follow(SECTIONS[heading][blocks])


@contextmanager
def deployed(database: Server, folder: Callable[[str], Path]) -> Iterator[Deployment]:
    """The page followed until its service can be reached: the machine, the project, the service, nginx.

    ``folder`` creates a new one.
    """
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toto-aio-test-")))
        top.chmod(0o755)  # for the workers of nginx
        redis = stack.enter_context(redis_of(top / "one/etc/redis/redis.conf"))
        proxy = nginx.server(top / "one/etc/nginx/sites-enabled")
        stack.enter_context(proxy)
        stack.callback(drop, database)
        tls, plain = free_port(), free_port()
        words = other_words(tls, plain, redis.port, database.port)
        variables = {"tls": tls, "nginx": " ".join(nginx.command(proxy.directory))}
        variables |= postgresql_variables(database)
        others = {
            "nginx": proxy.reload,
            "redis-server": lambda: restart(redis),
            "postgresql": lambda: None,  # shared by all tests: a role with a password may connect
        }
        machines, homes = {}, {}
        for name in ("one", "two"):
            reader = Reader(folder(name), str)
            machine = machines[name] = Debian(top / name, reader, words, variables, others)
            stack.callback(machine.systemd.close)
            machine.follow(SECTIONS["The project"][:1])
            homes[name] = prepared(reader.folder / "notes", machine)
        place = Deployment(**machines, homes=homes, tls=tls, plain=plain)
        place.follow("The machine")
        place.follow("The project", slice(1, None))
        place.follow("The service")
        place.follow("nginx")
        stack.callback(proxy.stop)  # before the others, as a service waits for its connections
        yield place


def other_words(tls: int, plain: int, redis: int, database: int) -> dict[str, str]:
    """The ports and addresses of the page, and their replacements here."""
    return {
        r"listen \[::\]:.*\n": "",
        r"listen 80;": f"listen 127.0.0.1:{plain};",
        r"listen 443 ssl;": f"listen 127.0.0.1:{tls} ssl;",
        r"https://notes\.example/": f"https://notes.example:{tls}/",
        r"notes\.example:443:": f"notes.example:{tls}:",
        r"redis://localhost/0": f"redis://localhost:{redis}/0",
        r"@10\.0\.0\.1/notes": f"@127.0.0.1:{database}/notes",
        r"@10\.0\.0\.1/0": f"@127.0.0.1:{redis}/0",
        r"bind 127\.0\.0\.1 10\.0\.0\.1": "bind 127.0.0.1 127.0.0.3",
        r"\b10\.0\.0\.(\d)\b": r"127.0.0.\1",
        r"\b8888\b": f"{free_port()}",
        r"keepalive_timeout 2s;": "keepalive_timeout 200ms;",  # so that a stop takes less time
        r"rate=100r/s;": "rate=1000r/s;",  # for tests that call all the time
        r"/usr/bin/python3": str(Path(sys.executable)),
    }


def postgresql_variables(server: Server) -> dict[str, object]:
    """Environment variables with which psql and createdb work without being the user postgres."""
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": server.port,
        "PGUSER": postgresql.USER,
        "PGPASSWORD": postgresql.PASSWORD,
        "PGDATABASE": "postgres",
    }


def redis_of(configuration: Path) -> Server:
    """A Redis with a configuration to which the page appends."""
    configuration.parent.mkdir(parents=True)
    configuration.write_text('bind 127.0.0.1\nsave ""\n')
    return Server(lambda folder, port: ["redis-server", str(configuration), "--port", str(port)])


def restart(server: Server) -> None:
    """Restart it, with its current configuration."""
    server.stop()
    server.start()


def drop(database: Server) -> None:
    """Remove what the page has created on a server that it does not own."""
    postgresql.sql(database, "DROP DATABASE IF EXISTS notes WITH (FORCE)")
    postgresql.sql(database, "DROP ROLE IF EXISTS notes")


def prepared(project: Path, machine: Debian) -> Path:
    """A new project, with the paths and ports of the test, some additional methods, and cookies."""
    for path in (*(project / "deploy").iterdir(), project / "toto.toml"):
        path.write_text(machine.adapt(path.read_text()))
    with (project / "toto.toml").open("a") as options:
        options.write("use_cookies = true\n")
    for name, code in METHODS.items():
        (project / "methods" / f"{name}.py").write_text(code)
    return project


class Loopback(AbstractResolver):
    """Resolves every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def visiting(place: Deployment, address: str = "203.0.113.7") -> AsyncIterator[aiohttp.ClientSession]:
    """A client with an address, which trusts the certificate that the page has created."""
    before = open_sockets()
    context = ssl.create_default_context(cafile=place.one.root / "etc/ssl/notes/fullchain.pem")
    try:
        async with aiohttp.ClientSession(
            f"https://notes.example:{place.tls}",
            connector=aiohttp.TCPConnector(ssl=context, resolver=Loopback(), limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={nginx.FROM: address},
            timeout=aiohttp.ClientTimeout(20),
        ) as http:
            yield http
    finally:
        await eventually(lambda: open_sockets() <= before)  # aiohttp does not wait until TLS is closed


def open_sockets() -> int:
    """How many sockets this process has."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    return found


def client(http: aiohttp.ClientSession, place: Deployment) -> Client:
    """A client of the service that uses this session and need not be closed."""
    return Client(f"https://notes.example:{place.tls}/service", signing="off", http=http)


@asynccontextmanager
async def calling(http: aiohttp.ClientSession) -> AsyncIterator[Counter[Any]]:
    """Clients that keep calling, by GET and POST; yields counts of their responses by status or error."""
    got: Counter[Any] = Counter()
    done = asyncio.Event()

    async def call(number: int) -> None:
        while not done.is_set():
            try:
                verb = "GET" if number % 2 else "POST"
                async with http.request(
                    verb, "/service/version", json={} if verb == "POST" else None
                ) as response:
                    await response.read()
                    got[verb, response.status] += 1
            except aiohttp.ClientError as exc:
                got[repr(exc)] += 1
            await asyncio.sleep(0.02 * (1 + number % 4))

    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(call(number))
        try:
            await eventually(lambda: got.total() > 10)
            yield got
            before = got.total()
            await eventually(lambda: got.total() > before + 40)
        finally:
            done.set()


def nobody_noticed(got: Counter[Any]) -> bool:
    """Whether there were many calls, and all of them succeeded."""
    return set(got) == {("GET", 200), ("POST", 200)} and got.total() > 50


async def answers(status: int, http: aiohttp.ClientSession, path: str = "/health/ready") -> None:
    """Wait until a page has this status."""
    async with asyncio.timeout(20):
        while True:
            async with http.get(path) as response:
                if response.status == status:
                    return
            await asyncio.sleep(0.05)
