"""Tests of processes whose event loop stands still, as operators see them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.server.test_master import TWO, WHO, everybody, until_gone, who
from tests.support.programs import SERVE, Server, serving, write
from tests.support.servers import free_port

BEGIN = """
import os, re, sys, time
async def invoke(handler, parameters):
    print("begun", os.getpid(), file=sys.stderr, flush=True)
    """
STUCK = {
    "python": "while True: pass",
    "sleep": "time.sleep(3600)",
    "keeps the GIL": 're.match("(a+)+$", "a" * 64 + "b")',
}
"""How a method stands still: in Python, in C without the GIL, and in C with it."""
SOON = """
import signal
from toto_aio.server import orphans

orphans._orphan_signal = lambda: signal.SIGTRAP
"""
"""A worker that keeps the GIL ends five seconds after its master, and not 34: the number of the signal."""

how = pytest.mark.parametrize("how", STUCK)


async def stick(server: Server) -> tuple[int, asyncio.Task[Any]]:
    """Have a process stand still; its id, and the call that waits for it."""
    call = asyncio.create_task(server.call({"method": "stuck"}))
    return int((await server.wait_for("begun")).split()[1]), call


@how
async def test_a_stuck_worker_is_replaced(tmp_path: Path, how: str) -> None:
    """The log has its process id and its stack, and another process serves."""
    write(tmp_path, methods__who=WHO, methods__stuck=BEGIN + STUCK[how])
    async with serving(tmp_path, *TWO, "--stuck-after=3") as server:
        stuck, call = await stick(server)
        assert f"process {stuck} has been stuck for 3 s" in await server.wait_for("has been stuck for")
        await server.wait_for("methods/stuck.py")
        await server.wait_for("replaces one that ended")
        assert stuck not in await everybody(server.address)
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_the_only_worker_of_a_master(tmp_path: Path) -> None:
    """It is replaced, too."""
    write(tmp_path, methods__who=WHO, methods__stuck=BEGIN + STUCK["python"])
    (tmp_path / "toto.toml").write_text("port = 0\nprocesses = 2")
    async with serving(tmp_path, *SERVE, "toto.toml", "--stuck-after=3") as server:
        (tmp_path / "toto.toml").write_text("port = 0\nprocesses = 1")
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        stuck, call = await stick(server)
        await server.wait_for(f"process {stuck} has been stuck for 3 s")
        await server.wait_for("replaces one that ended")
        assert await who(server.address) != stuck
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_a_stopped_worker_is_not_stuck(tmp_path: Path) -> None:
    """Who stops a process, or looks at it in a debugger, finds it again; the log says what it waits for."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *TWO, "--stuck-after=2") as server:
        stopped, _ = await everybody(server.address)
        os.kill(stopped, signal.SIGSTOP)
        await server.wait_for(f"process {stopped} is stopped by a signal or a debugger")
        await asyncio.sleep(4)  # in which it would be killed
        os.kill(stopped, signal.SIGCONT)
        assert stopped in await everybody(server.address)


async def test_a_master_that_was_stopped(tmp_path: Path) -> None:
    """It takes its own pause for nobody's silence."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *TWO, "--stuck-after=2") as server:
        workers = await everybody(server.address)
        server.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(4)
        server.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(1)  # in which it would kill them
        assert await everybody(server.address) == workers


@how
async def test_a_stuck_worker_ends_with_its_master(tmp_path: Path, how: str) -> None:
    """A master that is killed leaves no process behind, and the service can be started again."""
    write(tmp_path, methods__who=WHO, methods__stuck=BEGIN + STUCK[how], sitecustomize=SOON)
    environment = {"PYTHONPATH": str(tmp_path)} if how == "keeps the GIL" else {}
    two = (*SERVE, "--processes=2", f"--port={free_port()}")
    async with serving(tmp_path, *two, "--shutdown-timeout=2", **environment) as server:
        workers = await everybody(server.address)
        stuck, call = await stick(server)
        assert stuck in workers
        assert await server.end(signal.SIGKILL) == -signal.SIGKILL
        await until_gone(*workers)
        with pytest.raises(aiohttp.ClientError):
            await call
        assert how == "keeps the GIL" or any("methods/stuck.py" in line for line in server.lines)
    async with serving(tmp_path, *two) as server:
        assert await who(server.address) > 0


@how
async def test_a_stuck_worker_that_is_to_end(tmp_path: Path, how: str) -> None:
    """It is killed within ``shutdown_timeout``, and the log has its stack."""
    write(tmp_path, methods__who=WHO, methods__stuck=BEGIN + STUCK[how])
    async with serving(tmp_path, *TWO, "--shutdown-timeout=2") as server:
        _, call = await stick(server)
        assert await server.end() == 0
        # Both have the same time, the worker and its master; one that keeps the GIL cannot tell.
        said = ["does not end and is killed"] + ["was still busy"] * (how != "keeps the GIL")
        assert any(each in line for line in server.lines for each in said)
        assert any("methods/stuck.py" in line for line in server.lines)
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_without_a_master(tmp_path: Path) -> None:
    """The stack is shown while the loop stands still, and the log says afterwards how long that was."""
    write(tmp_path, methods__stuck=BEGIN + 'while not os.path.exists("go"): time.sleep(0.01)')
    async with serving(tmp_path, *SERVE, "--port=0", "--stuck-after=1") as server:
        stuck, call = await stick(server)
        assert stuck == server.process.pid
        await server.wait_for("methods/stuck.py")
        (tmp_path / "go").touch()
        assert await call == {"result": None}
        await server.wait_for("the event loop stood still for ")
        assert await server.end() == 0
