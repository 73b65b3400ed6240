"""Programs that a test starts, talks to and ends, reading their output line by line."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TOTO_AIO_")}
SERVE = ("-m", "toto_aio", "serve")
CALL = {"method": "hello", "parameters": {"name": "Ada"}}
HELLO = '''
async def invoke(handler, parameters):
    """Greet."""
    return f"Hello, {parameters['name']}"
'''


class Server:
    """A process that serves, and its output so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    @property
    def addresses(self) -> list[str]:
        """The addresses that it has last reported."""
        line = next(line for line in reversed(self.lines) if "Serving on " in line)
        return re.sub(r" with \d+ processes$", "", line.partition("Serving on ")[2]).split(", ")

    @property
    def address(self) -> str:
        """The first address."""
        return self.addresses[0]

    async def wait_for(self, text: str) -> str:
        """Read its output until a new line contains ``text``; return that line."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while True:
                line = await self.process.stderr.readline()
                assert line, f"It ended before it said {text!r}: {self.lines}"
                self.lines.append(line.decode().rstrip("\n"))
                if text in self.lines[-1]:
                    return self.lines[-1]

    async def call(self, body: Any, address: str | None = None) -> Any:
        """The response to a call."""
        async with aiohttp.ClientSession() as client:
            async with client.post(address or self.address, json=body) as response:
                return await response.json()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit; return the status. ``lines`` then has the last output."""
        self.process.send_signal(number)
        async with asyncio.timeout(60):
            _, rest = await self.process.communicate()
        self.lines += rest.decode().splitlines()
        assert self.process.returncode is not None
        return self.process.returncode


async def start(folder: Path, *arguments: str, **environment: str) -> Server:
    """Start Python with these arguments, in its own process group, as a shell does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )
    return Server(process)


@asynccontextmanager
async def serving(folder: Path, *arguments: str, **environment: str) -> AsyncIterator[Server]:
    """A server that has reported its address; it is stopped at the end."""
    server = await start(folder, *(arguments or (*SERVE, "--port=0")), **environment)
    try:
        await server.wait_for("Serving on ")
        yield server
    finally:
        if server.process.returncode is None:
            server.process.kill()
            await server.process.communicate()


async def failing(folder: Path, *arguments: str, **environment: str) -> str:
    """The output of a start that must fail."""
    server = await start(folder, *arguments, **environment)
    try:
        async with asyncio.timeout(60):
            _, said = await server.process.communicate()
    finally:
        if server.process.returncode is None:
            server.process.kill()
            await server.process.communicate()
    assert server.process.returncode == 1
    return said.decode()


FORKS = """
import os, sys
import toto_aio.app, toto_aio.lifespan, toto_aio.server.serving, toto_aio.stores.sqlite  # what takes longest
from toto_aio.cli.main import main

for number, sys.argv[1:] in enumerate(map(str.split, sys.argv[1:])):
    if not (child := os.fork()):
        os.dup2(os.open(f"said{number}", os.O_CREAT | os.O_WRONLY), 2)
        main()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1, sys.argv
"""


async def failing_each(folder: Path, *starts: str) -> list[str]:
    """The output of starts of ``toto-aio`` that must fail: forks of one interpreter, to save time."""
    assert await failing(folder, "-c", f"{FORKS}\nsys.exit('all failed')", *starts) == "all failed\n"
    return [(folder / f"said{number}").read_text() for number, _ in enumerate(starts)]


def write(folder: Path, **files: str) -> None:
    """Write Python files below a folder, ``a__b`` for ``a/b.py``; packages get an empty ``__init__.py``.

    Each is there in one step, and nothing else changes: ``autoreload`` may look at any moment.
    """
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent != folder and not (package := path.parent / "__init__.py").exists():
            package.touch()
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)


def short(path: Path) -> str:
    """The relative path: a socket's path is limited to 107 bytes."""
    return os.path.relpath(path)
