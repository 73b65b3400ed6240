"""Tests of a service in several processes, as operators and clients see it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.programs import SERVE, Server, failing, serving, short, start, write
from tests.support.servers import free_port
from tests.support.service import eventually

TWO = (*SERVE, "--port=0", "--processes=2")
WHO = """
import os
async def invoke(handler, parameters):
    return os.getpid()
"""


def version_of(number: int) -> str:
    """A method that returns a number. Each has a different length: a file that is written
    twice within a second and keeps its size looks unchanged to Python."""
    return f"async def invoke(handler, parameters): return {number}" + "\n" * number


async def who(address: str) -> int:
    """The process that serves a new connection."""
    async with aiohttp.ClientSession() as client:
        async with client.post(address, json={"method": "who"}) as response:
            return int((await response.json())["result"])


async def everybody(address: str, number: int = 2) -> set[int]:
    """The processes that serve, of which there are ``number``."""
    found: set[int] = set()
    async with asyncio.timeout(20):
        while len(found) < number:
            found.update(await asyncio.gather(*(who(address) for _ in range(8))))
    assert len(found) == number
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(*pids: int) -> None:
    """Wait until these processes have ended."""
    await eventually(lambda: not any(map(is_alive, pids)))


async def version(server: Server) -> Any:
    """What the method ``version`` returns."""
    return (await server.call({"method": "version"})).get("result")


def has_aiohttp(pid: int) -> bool:
    """Whether a process has imported aiohttp."""
    return "aiohttp" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.cold  # a fork has what it was forked from
async def test_two_processes(tmp_path: Path) -> None:
    """Both serve the same address, which is announced once; TERM ends both with status 0 and no output."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *TWO) as server:
        assert server.lines[-1].endswith(" with 2 processes")
        workers = await everybody(server.address)
        assert server.process.pid not in workers
        # The import of aiohttp would delay the workers by as long as they take themselves.
        loaded = {pid: has_aiohttp(pid) for pid in (server.process.pid, *workers)}
        assert loaded == {server.process.pid: False, **dict.fromkeys(workers, True)}
        said = len(server.lines)
        assert await server.end() == 0
        assert server.lines[said:] == []
        await until_gone(*workers)


async def test_one_for_each_cpu(tmp_path: Path) -> None:
    """``processes=0`` uses the number of CPUs that are available to this process."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *SERVE, "--port=0", "--processes=0") as server:
        assert len(await everybody(server.address, len(os.sched_getaffinity(0)))) >= 1


async def test_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    """The others keep serving; the log names the process and how it ended."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *TWO) as server:
        victim, other = await everybody(server.address)
        server.process.send_signal(signal.SIGSTOP)  # so that there is no replacement yet
        os.kill(victim, signal.SIGKILL)
        assert await who(server.address) == other
        server.process.send_signal(signal.SIGCONT)
        assert f"process {victim} ended by SIGKILL" in await server.wait_for("starting its replacement")
        await server.wait_for("replaces one that ended")
        now = await everybody(server.address)
        assert other in now
        assert victim not in now


async def test_a_worker_that_keeps_dying_is_replaced_ever_more_slowly(tmp_path: Path) -> None:
    """0, 0.1, 0.2 seconds: a service that cannot run does not overload the machine."""
    write(tmp_path, methods__who=WHO, setup=FATAL, sitecustomize=LIVED)
    command = (*TWO, "--startup-function=setup.prepare")
    async with serving(tmp_path, *command, PYTHONPATH=str(tmp_path)) as server:
        (tmp_path / "fatal").touch()
        os.kill(await who(server.address), signal.SIGKILL)
        for pause in ("in 0 s", "in 0.1 s", "in 0.2 s"):
            assert (await server.wait_for("starting its replacement")).endswith(pause)
        (tmp_path / "fatal").unlink()
        await server.wait_for("replaces one that ended")
        await everybody(server.address)


LIVED = """
from toto_aio.server import generation

class Stable:
    judged = 0
    def __lt__(self, seconds):
        self.judged += 1
        return self.judged == 1

generation.STABLE_AFTER = Stable()
"""
"""The first process to end has lived for long, whenever that is, and no other has."""
FATAL = """
import os
def prepare(connection, application):
    if os.path.exists("fatal"):
        os._exit(5)
"""


@pytest.mark.parametrize(
    ("arguments", "files", "said"),
    [
        (("--database=sqlite:////nowhere/toto.db",), {}, "/nowhere/toto.db"),
        (("--signing=nonsense",), {}, "signing: write one of"),
        (("--database=memory://",), {}, "database: each process would have a memory:// of its own"),
        (("--session-store=memory://",), {}, "session_store: each process would have a memory:// of its own"),
        (("--unix-socket=s", "--ports=sequential"), {}, "ports: write ports=shared"),
        (("--port=65535", "--ports=sequential"), {}, "port: 2 processes need the ports from 65535 on"),
        (("--startup-function=setup.prepare",), {"setup": FATAL, "fatal": ""}, "ended before it was ready"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
async def test_a_start_that_fails(
    tmp_path: Path, arguments: tuple[str, ...], files: dict[str, str], said: str
) -> None:
    """It ends with one line and status 1, whichever process fails, and is not tried again."""
    write(tmp_path, methods__who=WHO, **{name: text for name, text in files.items() if text})
    if "fatal" in files:
        (tmp_path / "fatal").touch()
    whole = await failing(tmp_path, *TWO, *arguments)
    assert whole.startswith("toto-aio: ")
    assert said in whole
    assert whole.count("\n") == 1


async def test_a_broken_module_ends_the_start(tmp_path: Path) -> None:
    """Its traceback is shown once, however many processes raise it."""
    write(tmp_path, methods__broken="1 / 0")
    whole = await failing(tmp_path, *TWO)
    assert whole.count("ZeroDivisionError: division by zero") == 1
    assert "methods/broken.py" in whole


async def test_events_that_reach_one_process_only(tmp_path: Path) -> None:
    """The start says so, and what to write instead."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *TWO) as server:
        assert any("write events=redis://" in line for line in server.lines)
    async with serving(tmp_path, *TWO, "--events=off") as server:
        assert not any("events=" in line for line in server.lines)


async def test_sequential_ports(tmp_path: Path) -> None:
    """Each process has its own port, as in Toto."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *TWO, "--ports=sequential") as server:
        one, two = server.addresses
        assert one != two
        assert await who(one) != await who(two)
        assert {await who(one) for _ in range(4)} == {await who(one)}


async def test_a_unix_socket(tmp_path: Path) -> None:
    """Both listen on it, and it is removed afterwards."""
    write(tmp_path, methods__who=WHO)
    async with serving(tmp_path, *TWO, "--unix-socket=s") as server:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(short(tmp_path / "s"))) as client:
            async with client.post("http://localhost/service", json={"method": "who"}) as response:
                assert (await response.json())["result"] > 0
        assert await server.end() == 0
    assert not (tmp_path / "s").exists()


async def test_a_restart_takes_new_code(tmp_path: Path) -> None:
    """HUP replaces all processes; a call in flight is completed by the old one."""
    write(tmp_path, methods__who=WHO, methods__version=version_of(1), methods__slow=SLOW)
    async with serving(tmp_path, *TWO) as server:
        old = await everybody(server.address)
        slow = asyncio.create_task(server.call({"method": "slow"}))
        await server.wait_for("begun")
        write(tmp_path, methods__version=version_of(2))
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        assert [await version(server) for _ in range(8)] == [2] * 8
        assert await slow == {"result": 1}
        await until_gone(*old)
        assert not await everybody(server.address) & old


SLOW = """
import asyncio, sys
from methods import version
async def invoke(handler, parameters):
    print("begun", file=sys.stderr, flush=True)
    await asyncio.sleep(1.5)
    return await version.invoke(handler, parameters)
"""


async def test_a_restart_with_broken_code(tmp_path: Path) -> None:
    """The old processes keep serving, the log says why, and the next restart succeeds."""
    write(tmp_path, methods__who=WHO, methods__version=version_of(1))
    async with serving(tmp_path, *TWO) as server:
        old = await everybody(server.address)
        write(tmp_path, methods__version="async def invoke(")
        server.process.send_signal(signal.SIGHUP)
        failed = await server.wait_for("the restart failed, the old processes keep serving")
        assert f"serving: {tmp_path}/methods/version.py, line 1: SyntaxError" in failed
        assert await everybody(server.address) == old
        assert await version(server) == 1
        write(tmp_path, methods__version=version_of(3))
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        assert await version(server) == 3


async def test_a_restart_takes_new_settings(tmp_path: Path) -> None:
    """They include the number of processes and the address; a wrong setting changes nothing."""
    write(tmp_path, methods__who=WHO)
    settings = tmp_path / "toto.toml"
    settings.write_text("port = 0\nprocesses = 2")
    async with serving(tmp_path, *SERVE, "toto.toml") as server:
        before = server.address
        settings.write_text("port = 0\nprocesses = 1\nroot = '/other'")
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        assert server.address == before.replace("/service", "/other")
        await everybody(server.address, 1)
        settings.write_text("processes = 'many'")
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("toto.toml: processes: expected int")
        assert await who(server.address) > 0
        settings.write_text("unix_socket = 's'")
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on s ")
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(short(tmp_path / "s"))) as client:
            async with client.post("http://localhost/service", json={"method": "who"}) as response:
                assert (await response.json())["result"] > 0
        with pytest.raises(aiohttp.ClientConnectorError):
            await who(before)


async def test_a_shorter_limit_is_for_the_new_processes(tmp_path: Path) -> None:
    """The old ones have the time that they were started with, and complete calls in flight."""
    write(tmp_path, methods__who=WHO, methods__version=version_of(1), methods__slow=SLOW)
    settings = tmp_path / "toto.toml"
    settings.write_text("port = 0\nprocesses = 2")
    async with serving(tmp_path, *SERVE, "toto.toml") as server:
        slow = asyncio.create_task(server.call({"method": "slow"}))
        await server.wait_for("begun")
        settings.write_text("port = 0\nprocesses = 2\nshutdown_timeout = 0.3")
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        assert await slow == {"result": 1}


async def test_a_restart_enters_the_folder_again(tmp_path: Path) -> None:
    """If the folder is a link that now names a newer folder, the newer one is served."""
    for number in (1, 2):
        write(tmp_path / f"release{number}", methods__version=version_of(number))
    current = tmp_path / "current"
    current.symlink_to("release1")
    async with serving(current, *TWO, PWD=str(current)) as server:
        assert await version(server) == 1
        (tmp_path / "new").symlink_to("release2")
        (tmp_path / "new").replace(current)
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        assert await version(server) == 2


async def test_sockets_are_closed_with_1001(tmp_path: Path) -> None:
    """By a restart and by a shutdown, neither of which waits for them."""
    write(tmp_path, methods__who=WHO)
    patient = (*TWO, "--shutdown-timeout=300")  # longer than the end may take
    async with serving(tmp_path, *patient) as server, aiohttp.ClientSession() as client:
        async with client.ws_connect(f"{server.address}/websocket") as socket:
            server.process.send_signal(signal.SIGHUP)
            assert (await socket.receive(20)).data == 1001
        await server.wait_for("Serving on ")
        async with client.ws_connect(f"{server.address}/websocket") as socket:
            end = asyncio.create_task(server.end())
            assert (await socket.receive(20)).data == 1001
            assert await end == 0


async def test_connections_during_shutdown_are_refused(tmp_path: Path) -> None:
    """No client waits for a service that is draining: a load balancer tries the next one immediately."""
    write(tmp_path, methods__who=WHO, methods__held=HELD)
    async with serving(tmp_path, *TWO, "--shutdown-timeout=300") as server:
        held = asyncio.create_task(server.call({"method": "held"}))
        await server.wait_for("begun")
        end = asyncio.create_task(server.end())
        with pytest.raises(aiohttp.ClientConnectorError):
            async with asyncio.timeout(20):
                while True:
                    await who(server.address)
        assert not held.done()
        (tmp_path / "go").touch()
        assert await held == {"result": 1}
        assert await end == 0


HELD = """
import asyncio, os, sys
async def invoke(handler, parameters):
    print("begun", file=sys.stderr, flush=True)
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
    return 1
"""


async def test_ctrl_c(tmp_path: Path) -> None:
    """A terminal sends INT to all processes of a group; calls in flight are completed nevertheless."""
    write(tmp_path, methods__who=WHO, methods__version=version_of(1), methods__slow=SLOW)
    server = await start(tmp_path, *TWO)
    await server.wait_for("Serving on ")
    slow = asyncio.create_task(server.call({"method": "slow"}))
    await server.wait_for("begun")
    os.killpg(server.process.pid, signal.SIGINT)
    assert await slow == {"result": 1}
    assert await server.process.wait() == 0


async def test_workers_end_with_their_master(tmp_path: Path) -> None:
    """A master that is killed leaves no process behind, and its port is free."""
    write(tmp_path, methods__who=WHO)
    two = (*SERVE, "--processes=2", f"--port={free_port()}")
    async with serving(tmp_path, *two) as server:
        workers = await everybody(server.address)
        assert await server.end(signal.SIGKILL) == -signal.SIGKILL
        await until_gone(*workers)
    async with serving(tmp_path, *two) as server:
        assert await who(server.address) > 0


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """``shutdown_timeout`` holds even for a worker whose method blocks its event loop."""
    stuck = (
        "import sys, time\nasync def invoke(h, p):\n    print('begun', file=sys.stderr)\n    time.sleep(60)"
    )
    write(tmp_path, methods__who=WHO, methods__stuck=stuck)
    async with serving(tmp_path, *TWO, "--shutdown-timeout=1") as server:
        workers = await everybody(server.address)
        call = asyncio.create_task(server.call({"method": "stuck"}))
        await server.wait_for("begun")
        assert await server.end() == 0
        await until_gone(*workers)
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_a_script(tmp_path: Path) -> None:
    """``TotoServer`` in a script does the same, and each process runs the script."""
    script = (
        "from toto_aio import TotoServer\nTotoServer(port=0, processes=2, database='sqlite:///x.db').run()"
    )
    write(tmp_path, run=script, methods__who=WHO)
    async with serving(tmp_path, "run.py") as server:
        old = await everybody(server.address)
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("Serving on ")
        await until_gone(*old)
        await everybody(server.address)
    assert (tmp_path / "x.db").exists()
