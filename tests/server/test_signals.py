"""Signals that people and tools send: none cuts off a call."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.programs import SERVE, Server, serving, write

SLOW = """
import asyncio, os, sys
async def invoke(handler, parameters):
    print("begun", file=sys.stderr, flush=True)
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
    return os.getpid()
"""
WHO = "import os\nasync def invoke(handler, parameters): return os.getpid()"
IMPATIENT = """
import asyncio, os, signal
from pathlib import Path
import toto_aio.server.listeners as listeners

refuse = listeners.refuse

async def then_again(sockets):
    found = {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    for pid in found if os.environ["TO"] == "workers" else ():
        os.kill(pid, signal.SIGTERM)
    if os.environ["TO"] == "master":
        os.kill(os.getpid(), signal.SIGINT)
    while any(os.path.exists(f"/proc/{pid}") for pid in found):
        await asyncio.sleep(0.01)
    for _ in range(10):
        await asyncio.sleep(0)
    await refuse(sockets)

if "_TOTO_AIO_WORKER" not in os.environ:
    listeners.refuse = then_again
"""
"""Further signals as soon as the master begins to stop."""
LATE = """
import os, signal

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), numbers=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
        for number in numbers:
            kill(pid, number)

if "_TOTO_AIO_WORKER" not in os.environ:
    signal.late = Late()
"""
"""More when nothing is left but an interpreter that forgets its modules."""
PATIENT = ("--port=0", "--shutdown-timeout=300")


async def begin(server: Server, folder: Path) -> asyncio.Task[int]:
    """A call that runs until there is a file ``go``."""
    (folder / "go").unlink(missing_ok=True)

    async def call() -> int:
        return int((await server.call({"method": "slow"}))["result"])

    task = asyncio.create_task(call())
    await server.wait_for("begun")
    return task


@pytest.mark.parametrize("last", [signal.SIGQUIT, signal.SIGHUP], ids=lambda number: number.name)
async def test_one_process(tmp_path: Path, last: signal.Signals) -> None:
    """It ignores what means nothing to it, and ends well by QUIT and HUP: each call in flight is answered."""
    write(tmp_path, methods__slow=SLOW)
    async with serving(tmp_path, *SERVE, *PATIENT) as server:
        calls = []
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            calls.append(await begin(server, tmp_path))
            server.process.send_signal(number)
        call = await begin(server, tmp_path)
        ending = asyncio.create_task(server.end(last))
        await asyncio.sleep(0.2)
        assert not call.done()
        (tmp_path / "go").touch()
        assert [await each for each in (*calls, call)] == [server.process.pid] * 4
        assert await ending == 0


async def test_several_processes(tmp_path: Path) -> None:
    """The master does the same, and a worker that gets such a signal finishes its calls and is replaced."""
    write(tmp_path, methods__slow=SLOW, methods__who=WHO)
    arguments = (*SERVE, *PATIENT, "--processes=2", f"--database=sqlite:///{tmp_path}/toto.db")
    async with serving(tmp_path, *arguments) as server:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            server.process.send_signal(number)
        call = await begin(server, tmp_path)
        workers: set[int] = set()
        while len(workers) < 2:
            workers.add((await server.call({"method": "who"}))["result"])
        for worker in workers:
            os.kill(worker, signal.SIGUSR1)
            os.kill(worker, signal.SIGUSR2)
        gone = next(iter(workers))
        os.kill(gone, signal.SIGQUIT)
        (tmp_path / "go").touch()
        assert await call in workers
        await server.wait_for("replaces one that ended")
        call = await begin(server, tmp_path)
        ending = asyncio.create_task(server.end(signal.SIGQUIT))
        (tmp_path / "go").touch()
        assert await call not in (gone, server.process.pid)
        assert await ending == 0


@pytest.mark.parametrize("to", ["master", "workers"])
@pytest.mark.parametrize("arguments", ["--autoreload", "--processes=2"])
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_impatience(tmp_path: Path, first: signal.Signals, arguments: str, to: str) -> None:
    """Whatever signals follow that which ends a service, it ends with status 0 and replaces no process."""
    write(tmp_path, methods__who=WHO, sitecustomize=IMPATIENT + LATE)
    database = f"--database=sqlite:///{tmp_path}/toto.db"
    async with serving(
        tmp_path, *SERVE, *PATIENT, arguments, database, PYTHONPATH=str(tmp_path), TO=to
    ) as server:
        assert await server.end(first) == 0
        assert "Serving on " in server.lines[-1]


async def test_impatience_during_a_restart(tmp_path: Path) -> None:
    """New processes that have not started end as quietly."""
    waiting = """
import asyncio, os, sys
async def prepare(connection, application):
    if os.path.exists("wait"):
        print("waiting", file=sys.stderr, flush=True)
        await asyncio.sleep(300)
"""
    write(tmp_path, methods__who=WHO, sitecustomize=IMPATIENT + LATE, setup=waiting)
    options = ("--autoreload", "--startup-function=setup.prepare")
    async with serving(tmp_path, *SERVE, *PATIENT, *options, PYTHONPATH=str(tmp_path), TO="master") as server:
        (tmp_path / "wait").touch()
        server.process.send_signal(signal.SIGHUP)
        await server.wait_for("waiting")
        assert await server.end(signal.SIGINT) == 0
        assert "waiting" in server.lines[-1]


async def test_one_process_that_has_ended(tmp_path: Path) -> None:
    """A signal that comes when only the interpreter is left makes no failure of it."""
    write(tmp_path, methods__who=WHO, sitecustomize=LATE)
    async with serving(tmp_path, PYTHONPATH=str(tmp_path)) as server:
        assert await server.end(signal.SIGTERM) == 0
        assert "Serving on " in server.lines[-1]


async def test_handlers_of_an_author(tmp_path: Path) -> None:
    """A handler of a method's module stays, and programs that the service starts get the defaults."""
    own = """
import signal, subprocess, sys
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append("USR1"))
async def invoke(handler, parameters):
    signal.raise_signal(signal.SIGUSR1)
    code = "import signal; print(signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL)"
    return got + [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()]
"""
    write(tmp_path, methods__own=own)
    async with serving(tmp_path) as server:
        assert (await server.call({"method": "own"}))["result"] == ["USR1", "True"]
