"""Tests of ``start``, ``stop``, ``restart`` and ``status``, as an operator types them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server.test_master import WHO, everybody, is_alive, until_gone, version_of, who
from tests.support.programs import ENVIRONMENT, serving, write

TOTO_AIO = ("-m", "toto_aio")
OPTIONS = ("--port=0", "--processes=2", "--events=off")
SCRIPT = "from toto_aio import TotoServer\nTotoServer(port=0, processes=2, events='off').run()"


@dataclass
class Done:
    """A command that has exited: its status and its output."""

    status: int
    said: str

    @property
    def address(self) -> str:
        """The address of the service in its output."""
        return self.said.rpartition("serving on ")[2].split()[0]

    @property
    def pid(self) -> int:
        """The id of the process that it named."""
        return int(self.said.partition("rocess ")[2].split()[0].rstrip(","))


class Shell:
    """Runs commands in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def run(self, *arguments: str) -> Done:
        """Run Python with these arguments until it exits."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=self.folder,
            env=ENVIRONMENT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, said.decode())

    async def toto_aio(self, *arguments: str) -> Done:
        """Run ``toto-aio`` with these arguments until it exits."""
        return await self.run(*TOTO_AIO, *arguments)


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    """A folder with methods; a service that was started in it is stopped at the end."""
    write(tmp_path, methods__who=WHO, methods__version=version_of(1), run=SCRIPT)
    shell = Shell(tmp_path)
    yield shell
    await shell.toto_aio("stop")


async def test_the_life_cycle(shell: Shell) -> None:
    """Started, called, restarted and stopped, with a status that scripts can use."""
    assert await shell.toto_aio("status") == Done(3, "Not running\n")
    started = await shell.toto_aio("start", *OPTIONS)
    assert started.status == 0
    assert started.said.startswith("Started process ")
    workers = await everybody(started.address)
    status = await shell.toto_aio("status")
    assert (status.status, status.pid) == (0, started.pid)
    assert status.address == started.address
    assert all(str(worker) in status.said for worker in workers)
    assert (shell.folder / "toto.pid").read_text() == f"{started.pid}\n"
    assert "Serving on " in (shell.folder / "toto.log").read_text()
    assert {(shell.folder / name).stat().st_mode & 0o777 for name in ("toto.log", "toto.pid")} == {0o600}
    restarted = await shell.toto_aio("restart", *OPTIONS)
    assert restarted.status == 0
    assert f"Stopped process {started.pid}\nStarted process " in restarted.said
    await until_gone(started.pid, *workers)
    pid = int((shell.folder / "toto.pid").read_text())
    assert await shell.toto_aio("stop") == Done(0, f"Stopped process {pid}\n")
    assert not (shell.folder / "toto.pid").exists()
    assert await shell.toto_aio("stop") == Done(0, "Not running\n")
    assert await shell.toto_aio("status") == Done(3, "Not running\n")


async def test_it_outlives_its_starter(shell: Shell) -> None:
    """It has its own session, and no terminal."""
    started = await shell.toto_aio("start", *OPTIONS)
    assert os.getsid(started.pid) == started.pid != os.getsid(0)
    assert os.readlink(f"/proc/{started.pid}/fd/0") == "/dev/null"


async def test_the_flags_of_toto(shell: Shell) -> None:
    """A script with ``TotoServer`` accepts them; so does ``serve``."""
    started = await shell.run("run.py", "--start")
    assert started.status == 0
    await everybody(started.address)
    assert (await shell.run("run.py", "--status")).pid == started.pid
    restarted = await shell.run("run.py", "--restart", "--rolling")
    assert restarted == Done(0, "Restarted\n")
    assert (await shell.toto_aio("serve", "--status")).pid == started.pid
    assert (await shell.run("run.py", "--restart")).status == 0
    assert (await shell.run("run.py", "--stop")).status == 0
    assert (await shell.run("run.py", "--status")).status == 3


async def test_a_file_of_toto(shell: Shell) -> None:
    """With ``daemon='start'`` in its file, a script starts in the background, unless told otherwise."""
    (shell.folder / "toto.conf").write_text("daemon='start'\nport=0\ndatabase='none'\nevent_mode='off'\n")
    write(shell.folder, run="from toto_aio import TotoServer\nTotoServer('toto.conf').run()")
    started = await shell.run("run.py")
    assert (started.status, started.said.partition(" process")[0]) == (0, "Started")
    assert await who(started.address) > 0
    assert await shell.run("run.py", "--stop") == Done(0, f"Stopped process {started.pid}\n")
    async with serving(shell.folder, "run.py", "--nodaemon") as server:
        assert await server.call({"method": "who"}) == {"result": server.process.pid}


async def test_two_starts(shell: Shell) -> None:
    """The second reports that it is already running; of two simultaneous ones, one starts."""
    first, second = await asyncio.gather(*(shell.toto_aio("start", *OPTIONS) for _ in range(2)))
    assert sorted([first.status, second.status]) == [0, 1]
    started, refused = (first, second) if first.status == 0 else (second, first)
    assert "already running" in refused.said.lower()
    assert await shell.toto_aio("start", *OPTIONS) == Done(1, f"Already running: process {started.pid}\n")
    await everybody(started.address)


@pytest.mark.parametrize("option", ["--database=sqlite:////nowhere/toto.db", "--host=256.0.0.1"])
async def test_a_start_that_fails(shell: Shell, option: str) -> None:
    """It shows the service's output, which is also in the log, and leaves nothing behind."""
    failed = await shell.toto_aio("start", *OPTIONS, option)
    assert failed.status == 1
    assert option.partition("=")[2].removeprefix("sqlite:///") in failed.said
    assert failed.said.count("\n") == 1
    assert (shell.folder / "toto.log").read_text() == failed.said
    assert not (shell.folder / "toto.pid").exists()


async def test_files_that_cannot_be_written(shell: Shell) -> None:
    """The option is named."""
    for option in ("--log-file=nowhere/x", "--pidfile=nowhere/x"):
        failed = await shell.toto_aio("start", *OPTIONS, option)
        assert failed.status == 1
        assert f"{option[2:].partition('=')[0].replace('-', '_')}: nowhere/x: No such file" in failed.said


async def test_a_rolling_restart(shell: Shell) -> None:
    """New code is served when the command ends; if it cannot start, that is reported and the old serves."""
    started = await shell.toto_aio("start", *OPTIONS)
    old = await everybody(started.address)
    write(shell.folder, methods__version="async def invoke(")
    failed = await shell.toto_aio("restart", "--rolling")
    assert failed.status == 1
    assert "the old processes keep serving" in failed.said
    assert "SyntaxError" in failed.said
    assert await everybody(started.address) == old
    assert "the last restart failed" in (await shell.toto_aio("status")).said
    write(shell.folder, methods__version=version_of(2))
    assert await shell.toto_aio("restart", "--rolling") == Done(0, "Restarted\n")
    assert not await everybody(started.address) & old
    assert "failed" not in (await shell.toto_aio("status")).said


async def test_a_rolling_restart_of_one_process(shell: Shell) -> None:
    """In the background even a single process has a master, which replaces it."""
    started = await shell.toto_aio("start", "--port=0")
    old = await who(started.address)
    assert (await shell.toto_aio("restart", "--rolling")).status == 0
    assert await who(started.address) != old


async def test_rolling_restart_of_nothing(shell: Shell) -> None:
    """There is nothing to restart, and the command says what to write instead."""
    assert await shell.toto_aio("restart", "--rolling") == Done(3, "Not running: write start\n")
    wrong = await shell.run("run.py", "--rolling")
    assert wrong == Done(1, "run.py: --rolling: write it with restart\n")


async def test_a_service_that_was_killed(shell: Shell) -> None:
    """It is not running, whatever its file says, and can be started."""
    started = await shell.toto_aio("start", *OPTIONS)
    workers = await everybody(started.address)
    os.kill(started.pid, signal.SIGKILL)
    await until_gone(started.pid)
    assert (await shell.toto_aio("status")).status == 3
    await until_gone(*workers)
    again = await shell.toto_aio("start", *OPTIONS)
    assert again.status == 0
    assert is_alive(again.pid)


async def test_a_missing_folder(shell: Shell) -> None:
    """A restart that cannot even start a process leaves the old ones running."""
    started = await shell.toto_aio("start", *OPTIONS)
    renamed = shell.folder.with_name("renamed")
    shell.folder.rename(renamed)
    shell.folder = renamed
    failed = await shell.toto_aio("restart", "--rolling")
    assert failed.status == 1
    assert "no process could be started" in failed.said
    assert await who(started.address) > 0
