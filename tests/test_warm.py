"""Forks that tests start in place of new interpreters: the same to whoever looks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MOULD
from tests.support import programs
from tests.support.pages import answers
from tests.support.programs import HELLO, SERVE, serving, write
from tests.support.servers import children, free_port
from tests.support.service import eventually
from tests.support.warm import Mould, forking

pytestmark = pytest.mark.slow

TELL = """
import asyncio, json, os, random, re, secrets, signal, sys, threading

def ways(number):
    return re.sub(r"( object)? at 0x.*", "", str(signal.getsignal(number)))

async def invoke(handler, parameters):
    return {
        "parent": os.getppid(), "group": os.getpgid(0) == os.getpid(), "session": os.getsid(0),
        "folder": os.getcwd(), "path": sys.path, "arguments": sys.argv, "command": sys.orig_argv,
        "main": str(sys.modules["__main__"].__spec__).partition("(")[0],
        "flags": str(sys.flags), "options": str(sys._xoptions),
        "environment": {name: os.environ[name] for name in ("TOTO_AIO_ROOT", "OF_A_TEST")},
        "absent": "PYTEST_XDIST_WORKER_COUNT_OF_NOBODY" in os.environ,
        "signals": [ways(number) for number in range(1, signal.NSIG)],
        "blocked": str(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "threads": [each.name for each in threading.enumerate()],
        "encodings": [sys.stdout.encoding, sys.stderr.encoding, sys.stderr.errors],
        "buffered": [sys.stdout.line_buffering, sys.stderr.line_buffering],
        "open": sorted(kind_of(int(number)) for number in os.listdir("/proc/self/fd")),
        "numbers": sorted(map(int, os.listdir("/proc/self/fd"))),
        "first": first_environment(), "mask": open("/proc/self/status").read().partition("Umask:")[2][:6],
        "pid": os.getpid(), "name": open("/proc/self/comm").read(),
        "chance": [random.random(), secrets.token_hex(), hash("text of a test")],
    }

def kind_of(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}").partition(":")[0]
    except OSError:
        return "-"

def first_environment():
    with open("/proc/self/environ") as file:
        names = {entry.partition("=")[0] for entry in file.read().split("\\0") if entry}
    return sorted(names - {"PYTEST_CURRENT_TEST"})
"""
ENVIRONMENT = {"TOTO_AIO_ROOT": "/own", "OF_A_TEST": "grüße"}


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start nothing whose coverage is measured, as that would be no fork."""
    for environment in (os.environ, programs.ENVIRONMENT):
        for name in [name for name in environment if name.startswith("COV")]:
            monkeypatch.delitem(environment, name)


async def told(folder: Path, *command: str) -> tuple[dict[str, Any], int]:
    """What a service says of its process, and its status after TERM."""
    async with serving(folder, *command, "--port=0", "--database=memory://", **ENVIRONMENT) as server:
        said = (await server.call({"method": "tell"}))["result"]
        assert said["parent"] == os.getpid()
        return said, await server.end()


@pytest.mark.parametrize("command", [SERVE, (str(Path(sys.executable).with_name("toto-aio")), "serve")])
async def test_what_a_service_sees(
    command: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own process it sees what it sees in a new interpreter, and chance differs each time."""
    write(tmp_path, methods__tell=TELL)
    before = MOULD.forks
    monkeypatch.setattr(MOULD, "is_enabled", False)
    cold, status = await told(tmp_path, *command)
    assert (MOULD.forks, status) == (before, 0)
    monkeypatch.setattr(MOULD, "is_enabled", True)
    warm = [(await told(tmp_path, *command))[0] for _ in range(2)]
    assert MOULD.forks == before + 2
    assert not set(warm[0]["chance"][:2]) & set(warm[1]["chance"][:2])
    assert_same(cold, *warm)


def assert_same(cold: dict[str, Any], *warm: dict[str, Any]) -> None:
    """What forks see is what a new interpreter sees, except for chance and ids."""
    for name in cold.keys() - {"chance", "pid", "parent"}:
        assert [each[name] for each in warm] == [cold[name]] * len(warm), name


async def test_what_a_worker_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a fork of its master's spare, and sees what it sees in a new interpreter, down to its files."""
    write(tmp_path, methods__tell=TELL)
    shared = ("--port=0", "--processes=2", "--database=sqlite:///toto.db")
    said = {}
    for is_warm in (False, True):
        monkeypatch.setattr(MOULD, "is_enabled", is_warm)
        async with serving(tmp_path, *SERVE, *shared, **ENVIRONMENT) as server:
            said[is_warm] = (await server.call({"method": "tell"}))["result"]
            assert said[is_warm]["parent"] == server.process.pid
            assert said[is_warm]["pid"] in children(server.process.pid)
            assert is_fork(said[is_warm]["pid"]) == is_warm
            assert await server.end() == 0
    assert_same(said[False], said[True])


def is_fork(pid: int) -> bool:
    """Whether a process is a fork of a mould."""
    return b"tests.support.mould" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_master_that_ends(number: signal.Signals, tmp_path: Path) -> None:
    """It leaves neither workers nor a spare, killed or not."""
    write(tmp_path, methods__hello=HELLO)
    shared = ("--port=0", "--processes=2", "--database=sqlite:///toto.db")
    async with serving(tmp_path, *SERVE, *shared) as server:
        pid = server.process.pid
        workers, everything = list(children(pid)), below(pid)
        assert (len(workers), len(everything)) == (2, 3)
        assert await server.end(number) == (-number if number == signal.SIGKILL else 0)
    await eventually(lambda: not any(map(is_running, everything)))


def below(pid: int) -> list[int]:
    """The children of a process with one thread, and its spare."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether a process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_service_in_the_background(tmp_path: Path) -> None:
    """It is a fork of what has started it, and its worker a fork of its own spare."""
    write(tmp_path, methods__hello=HELLO)
    command = [sys.executable, "-m", "toto_aio"]
    run = partial(subprocess.run, cwd=tmp_path, check=True, stderr=subprocess.PIPE, text=True)
    started = run([*command, "start", "--port=0", "--database=memory://"]).stderr
    try:
        pid = int(started.partition("Started process ")[2].partition(",")[0])
        assert list(map(is_fork, [pid, *children(pid)])) == [True, True]
    finally:
        run([*command, "stop"])
    assert not is_running(pid)


HELD = """
import os

async def invoke(handler, parameters):
    files = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            files[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass
    return {number: name for number, name in files.items() if "/held/" in name}
"""


def test_inherited_files(own_mould: Mould, tmp_path: Path) -> None:
    """They keep their numbers, whichever the mould uses itself."""
    write(tmp_path, methods__held=HELD)
    (tmp_path / "held").mkdir()
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((tmp_path / "held" / str(each)).open("w")) for each in range(60)]
        expected = {str(file.fileno()): file.name for file in files}
        command = [sys.executable, "-m", "toto_aio", "call", ".", "held", "--json"]
        kept = [file.fileno() for file in files]
        done = subprocess.run(command, cwd=tmp_path, pass_fds=kept, stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout) == expected
    assert own_mould.forks == 1


@pytest.fixture
def own_mould(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mould]:
    """A mould of this test, which has started."""
    monkeypatch.setattr(MOULD, "is_enabled", False)
    mould = Mould()
    with forking(mould):
        mould.open()
        yield mould


def version(*flags: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A run of ``toto-aio --version``."""
    command = [sys.executable, *flags, "-m", "toto_aio", "--version"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, **options)


def test_when_it_forks(own_mould: Mould, tmp_path: Path) -> None:
    """What could tell the difference is a new interpreter; so is everything once the mould has died."""
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "aiohttp.py").touch()
    first, second = os.openpty()
    inherited, other = socket.socketpair()
    with inherited, other, os.fdopen(first), os.fdopen(second) as terminal:
        cases: list[tuple[str, bool, tuple[str, ...], Mapping[str, Any]]] = [
            ("as usual", True, (), {}),
            ("its own session and folder", True, (), {"start_new_session": True, "cwd": tmp_path}),
            ("a group and a mask", True, (), {"group": os.getgid(), "umask": 0o027}),
            ("an environment", True, (), {"env": {**os.environ, "HOME": "/"}}),
            ("flags", False, ("-X", "dev"), {}),
            ("what Python reads", False, (), {"env": {**os.environ, "PYTHONPATH": str(tmp_path)}}),
            ("what is measured", False, (), {"env": {**os.environ, "COVERAGE_PROCESS_CONFIG": "{}"}}),
            ("inherited descriptors", True, (), {"pass_fds": [inherited.fileno()]}),
            ("a terminal", False, (), {"stderr": terminal}),
            ("a function", False, (), {"preexec_fn": lambda: None}),
            ("a module of the folder", False, (), {"cwd": tmp_path / "shadow"}),
            ("a long environment", False, (), {"env": {**os.environ, "LONG": "x" * 120_000}}),
        ]
        for name, forks, flags, options in cases:
            before = own_mould.forks
            done = version(*flags, **options)
            assert (done.returncode, done.stdout[:2], own_mould.forks - before) == (0, "0.", forks), name
    with pytest.raises(FileNotFoundError, match="absent"):
        version(cwd=tmp_path / "absent")
    assert own_mould.forks == 5
    assert own_mould.pid is not None
    os.kill(own_mould.pid, signal.SIGKILL)
    assert [version().returncode for _ in range(2)] == [0, 0]
    assert own_mould.forks == 5


async def test_what_a_test_sees(own_mould: Mould, tmp_path: Path) -> None:
    """Statuses, output and signals are those of a child; the descriptors of this process stay the same."""
    command = [sys.executable, "-m", "toto_aio"]
    before = sorted(os.listdir("/proc/self/fd"))
    for arguments, given, expected in (
        (["serve", "--prot=1"], None, (1, "", "toto-aio: --prot: no")),
        (["completion", "bash", "--line=toto-aio user-i"], None, (0, "user-ids\n", "")),
        (["login", f"http://127.0.0.1:{free_port()}/", "ada"], "a password\n", (6, "", "toto-aio: ")),
    ):
        done = await asyncio.to_thread(
            partial(subprocess.run, [*command, *arguments], input=given, capture_output=True, text=True)
        )
        assert (done.returncode, done.stdout, done.stderr[: len(expected[2])]) == expected
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = await asyncio.create_subprocess_exec(
            *(*command, "serve", "--port=0"), cwd=tmp_path, stderr=subprocess.PIPE, process_group=0
        )
        assert process.stderr is not None
        while b"Serving on " not in await process.stderr.readline():
            pass
        os.killpg(process.pid, number)
        assert await process.wait() == (-number if number == signal.SIGKILL else 0)
        del process
    assert own_mould.forks == 5
    await asyncio.sleep(0)
    assert sorted(os.listdir("/proc/self/fd")) == before


TELL_A_SHELL = """
import os, signal, sys

async def invoke(handler, parameters):
    mask = os.umask(0)
    os.umask(mask)
    with open(f"/proc/{os.getppid()}/stat") as file:
        above = int(file.read().rpartition(")")[2].split()[1])
    return {
        "above": above, "mask": mask, "folder": os.getcwd(), "input": sys.stdin.read(),
        "path": [each for each in os.environ["PATH"].split(":") if "/toto-aio-" not in each],
        "environment": os.environ["OF_A_TEST"], "arguments": sys.argv[1:], "command": sys.orig_argv,
        "signals": [str(signal.getsignal(number)).partition(" object at ")[0] for number in range(1, 32)],
    }
"""
TOLD = "cd below; umask 027; trap '' HUP; echo some | OF_A_TEST=grüße toto-aio call . tell --json & wait $!"
SERVED = """
rm -f log  # the child empties it a moment later, and until then the lines in it are those of the last one
(sleep 0.3; exec toto-aio serve --port=0 --database=memory:// 2>log) & pid=$!
until grep -qs "Serving on" log; do kill -0 $pid; sleep 0.02; done
kill -{number} $pid
wait $pid || status=$?
echo ${{status:-0}}
while kill -0 $pid 2>/dev/null; do sleep 0.02; done
"""


async def test_what_a_shell_starts(own_mould: Mould, tmp_path: Path) -> None:
    """A fork is to a shell what a new interpreter is, whether it ends by itself, by TERM or by KILL."""
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", methods__tell=TELL_A_SHELL)
    usual = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    mixed = {**usual, "PATH": f"{own_mould.commands}:{usual['PATH']}"}

    def shell(script: str, environment: Mapping[str, str] = mixed, **options: Any) -> str:
        command = ["bash", "-eu", "-c", script]
        given = {"stdin": subprocess.DEVNULL, "cwd": tmp_path, "env": environment, **options}
        done = subprocess.run(command, capture_output=True, timeout=120, **given)
        assert done.returncode == 0, done.stderr
        return str(done.stdout.decode())

    cold, warm = (json.loads(shell(TOLD, environment)) for environment in (usual, mixed))
    assert (warm.pop("above"), cold.pop("above") == own_mould.pid) == (own_mould.pid, False)
    for name, expected in cold.items():
        assert warm[name] == expected, name
    assert shell("toto-aio serve --prot=1 2>&1 || echo $?").endswith("\n1\n")
    for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, 128 + signal.SIGKILL)):
        assert shell(SERVED.format(number=int(number))) == f"{status}\n", number
        address = (tmp_path / "log").read_text().rpartition("Serving on http://")[2].partition("/")[0]
        async with asyncio.timeout(60):  # its keeper kills it a moment later
            while answers(int(address.rpartition(":")[2])):
                await asyncio.sleep(0.02)

    assert own_mould.pid is not None
    os.kill(own_mould.pid, signal.SIGSTOP)  # what asks it now waits for ever
    first, second = os.openpty()
    with os.fdopen(first), os.fdopen(second) as terminal:
        own: list[tuple[str, str, dict[str, Any]]] = [
            ("what Python reads", "PYTHONHASHSEED=1 toto-aio --version", {}),
            ("an inherited descriptor", "exec 5</dev/null; toto-aio --version", {}),
            ("a terminal", "toto-aio --version", {"stdin": terminal}),
            ("a long environment", "LONG=$(printf %0120000d 0) toto-aio --version", {}),
        ]
        for name, script, options in own:
            assert shell(script, **options).startswith("0."), name
    os.kill(own_mould.pid, signal.SIGCONT)
    assert shell("touch below/aiohttp.py; cd below; toto-aio --version").startswith("0.")
    os.kill(own_mould.pid, signal.SIGKILL)
    assert [shell("toto-aio --version")[:2] for _ in range(2)] == ["0.", "0."]
