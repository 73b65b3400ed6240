"""Tests of a service that stops, or whose start fails, as clients see it that call at that moment."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.server.test_listeners import can_connect
from tests.server.test_master import HELD
from tests.support.programs import SERVE, Server, serving, short, start, write
from tests.support.servers import descendants
from tests.support.service import eventually

TWO = (*SERVE, "--processes=2")
ONE_STARTS = """
import os, time
def prepare(connection, application):
    try:
        os.mkdir("one")
    except FileExistsError:
        while not os.path.exists("fatal"):
            time.sleep(0.02)
        os._exit(5)
"""
"""The first process to start serves. The second is still starting until it fails."""
LATE = """
import errno, os, socket
from toto_aio.server.acceptor import Acceptor

accept_one = Acceptor._accept_one

def then_connect(self, listening):
    accepted = accept_one(self, listening)
    if not accepted:
        with socket.socket(listening.family) as client:
            number = client.connect_ex(listening.getsockname())
        os.write(2, f"late: {errno.errorcode.get(number, 'accepted')}\\n".encode())
    return accepted

Acceptor._accept_one = then_connect
"""
"""A client connects after the last connection was accepted, and before the socket is closed."""
REQUEST = (
    b"POST /service HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)


async def held(path: Path) -> Any:
    """The response to a call of the method ``held``."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(short(path))) as client:
        async with client.post("http://localhost/service", json={"method": "held"}) as response:
            return await response.json()


@asynccontextmanager
async def started(folder: Path, *arguments: str, **environment: str) -> AsyncIterator[Server]:
    """A server that may not have reported anything yet; it is stopped at the end."""
    server = await start(folder, *arguments, **environment)
    try:
        yield server
    finally:
        if server.process.returncode is None:
            server.process.kill()
            await server.process.communicate()


async def test_a_stop_during_the_start(tmp_path: Path) -> None:
    """A process that is ready completes its calls, although another one is not."""
    write(tmp_path, methods__held=HELD, setup=ONE_STARTS)
    patient = ("--shutdown-timeout=300", "--startup-function=setup.prepare", "--unix-socket=s")
    async with started(tmp_path, *TWO, *patient) as server:
        await eventually(lambda: can_connect(tmp_path / "s"))
        call = asyncio.create_task(held(tmp_path / "s"))
        await server.wait_for("begun")
        end = asyncio.create_task(server.end())
        await eventually(lambda: not (tmp_path / "s").exists())
        (tmp_path / "go").touch()
        assert await call == {"result": 1}
        assert await end == 0


async def test_a_restart_that_fails_halfway(tmp_path: Path) -> None:
    """A new process that was ready completes its calls, although the others do not start."""
    write(tmp_path, methods__held=HELD, setup=ONE_STARTS)
    settings = tmp_path / "toto.toml"
    settings.write_text("unix_socket = 's'\nprocesses = 2\nshutdown_timeout = 300")
    async with serving(tmp_path, *SERVE, "toto.toml") as server:
        options = {"unix_socket": "t", "startup_function": "setup.prepare"}
        settings.write_text("processes = 2\nshutdown_timeout = 300\n")
        with settings.open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in options.items())
        server.process.send_signal(signal.SIGHUP)
        await eventually(lambda: can_connect(tmp_path / "t"))
        call = asyncio.create_task(held(tmp_path / "t"))
        await server.wait_for("begun")
        (tmp_path / "fatal").touch()
        await server.wait_for("the restart failed, the old processes keep serving")
        await eventually(lambda: not (tmp_path / "t").exists())
        (tmp_path / "go").touch()
        assert await call == {"result": 1}
        assert await held(tmp_path / "s") == {"result": 1}


async def test_processes_that_have_not_stopped_yet(tmp_path: Path) -> None:
    """From TERM on nobody can connect, also if they come to it later; who has connected gets a response."""
    write(tmp_path, methods__held=HELD)
    (tmp_path / "go").touch()
    async with serving(tmp_path, *TWO, "--port=0", "--shutdown-timeout=300") as server:
        workers = list(descendants(server.process.pid))
        address = ("127.0.0.1", int(server.address.split(":")[2].split("/")[0]))
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        with socket.create_connection(address, timeout=60) as client:
            body = b'{"method": "held"}'
            client.sendall(REQUEST % (len(body), body))
            end = asyncio.create_task(server.end())
            await eventually(lambda: is_refused(address))
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
            assert (await asyncio.to_thread(client.recv, 1000)).startswith(b"HTTP/1.1 200 ")
        assert await end == 0


def is_refused(address: tuple[str, int]) -> bool:
    """Whether nobody can connect."""
    with socket.socket() as client:
        try:
            client.connect(address)
        except ConnectionRefusedError:
            return True
        return False


@pytest.mark.parametrize("where", ["--port=0", "--unix-socket=s"])
@pytest.mark.parametrize(
    ("processes", "number"),
    [(1, signal.SIGTERM), (2, signal.SIGTERM), (2, signal.SIGKILL)],
    ids=["one, TERM", "two, TERM", "two, KILL"],
)
async def test_the_last_moment(tmp_path: Path, processes: int, where: str, number: signal.Signals) -> None:
    """Who connects when a process accepts no more is refused, not reset; so too if the master is killed."""
    write(tmp_path, methods__held=HELD, sitecustomize=LATE)
    arguments = (*SERVE, f"--processes={processes}", where)
    async with serving(tmp_path, *arguments, PYTHONPATH=str(tmp_path)) as server:
        await server.end(number)
        late = [line for line in server.lines if line.startswith("late: ")]
        assert len(late) >= processes
        assert set(late) <= {"late: ECONNREFUSED", "late: ENOENT"}
