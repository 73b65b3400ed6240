"""What ``restart`` knows of the start: the service comes back as it was, or the command says why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.test_background import Shell, shell
from tests.server.test_master import version_of, who
from tests.support.programs import write
from toto_aio.server import program
from toto_aio.server.pidfile import RunningProcess
from toto_aio.server.remembered import (
    BACKGROUND_VARIABLE,
    NOTHING,
    Start,
    inherited_descriptor,
    start_of,
    to_environment,
)
from toto_aio.settings import SettingsError
from toto_aio.settings.sources import Sources

__all__ = ["shell"]  # a fixture

ARGUMENTS = {"port": "1", "database": "redis://:secret@x/0"}
START = Start("/srv", None, "a.toml", ARGUMENTS, {"TOTO_AIO_ROOT": "/r"})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No options in the environment, except those that a test sets."""
    for name in os.environ:
        if name.startswith("TOTO_AIO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TOTO_AIO_ROOT", "/r")


def given(file: str | None = None, application: str | None = None, **arguments: str) -> Sources:
    """What a command line has."""
    return Sources({}, file, arguments, application, is_script=False)


DATABASE = "--database=redis://:secret@x/0"


@pytest.mark.parametrize(
    ("now", "command_line"),
    [
        (given(), ["start", "a.toml", "--port=1", DATABASE]),
        (given(port="2"), ["start", "a.toml", "--port=2", DATABASE]),
        (given("b.toml", database="mysql"), ["start", "b.toml", "--port=1", "--database=mysql"]),
        (given(application="a:b"), ["start", "a:b", "a.toml", "--port=1", DATABASE]),
        (given("-c.toml"), ["start", "./-c.toml", "--port=1", DATABASE]),
        (Sources({}, "x.toml", {"debug": "true"}), ["--start", "--port=1", DATABASE, "--debug=true"]),
    ],
)
def test_merged(now: Sources, command_line: list[str]) -> None:
    """What is given now replaces what was given at the start, one by one; a script names its own file."""
    merged = START.merged(now)
    assert merged.command_line == command_line
    assert merged.file == (now.file or "a.toml")


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the start count again, unless they are set now."""
    start = START._replace(environ={"TOTO_AIO_ROOT": "/old", "TOTO_AIO_DEBUG": "true"})
    monkeypatch.setenv("TOTO_AIO_DEBUG", "false")
    monkeypatch.delenv("TOTO_AIO_ROOT")
    settings = start._replace(file=None, arguments={}).merged(given()).read()
    assert (settings.root, settings.debug) == ("/old", False)


def test_a_rolling_restart_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is given now, nothing of the start needs to be known."""
    assert NOTHING.differing(given(pidfile="/run/pid")) == ["TOTO_AIO_ROOT"]
    monkeypatch.delenv("TOTO_AIO_ROOT")
    assert NOTHING.differing(given(pidfile="/run/pid")) == []


def test_names() -> None:
    """People read which options there were, and no secret."""
    assert START.names == "a.toml, --port, --database, TOTO_AIO_ROOT"
    assert Start("/", None, None, {}, {}).names == "nothing on the command line or in the environment"


@pytest.mark.parametrize(
    ("now", "names"),
    [
        (given(), []),
        (given("/srv/a.toml", port="1", pidfile="/run/pid"), []),
        (given("b.toml", port="2"), ["--port", "b.toml"]),
        (given(application="a:b", session_ttl="1d"), ["--session_ttl", "a:b"]),
        (Sources({}, "named by the script.toml", {"port": "1"}), []),
    ],
)
def test_differing(now: Sources, names: list[str]) -> None:
    """What a rolling restart would ignore is named; what is the same as at the start is not."""
    assert START.differing(now) == names


def test_a_variable_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named like an option of the command line."""
    monkeypatch.setenv("TOTO_AIO_ROOT", "/other")
    monkeypatch.setenv("TOTO_AIO_PIDFILE", "/run/pid")
    assert START.differing(given()) == ["TOTO_AIO_ROOT"]


def test_a_program_that_changes_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be run with others; any other program can."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "run.py", "--restart"])
    monkeypatch.setattr(sys, "argv", ["run.py", "--restart"])
    assert program.command(["--start", "--port=1"]) == [
        sys.executable,
        "-X",
        "dev",
        "run.py",
        "--start",
        "--port=1",
    ]
    monkeypatch.setattr(sys, "argv", ["run.py", "--other"])
    with pytest.raises(SettingsError, match="write stop, and then start"):
        program.command(["--start"])


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the environment of a service in the background."""
    environ = to_environment(5, given("a.toml", "a:b", port="1"))
    process = subprocess.Popen(["/bin/sleep", "600"], env=environ)
    yield process
    process.kill()
    process.wait()


def running(process: subprocess.Popen[bytes]) -> RunningProcess:
    """A process as its pidfile gives it."""
    return RunningProcess(Path("toto.pid"), process.pid, os.pidfd_open(process.pid))


def test_start_of(sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from the environment of the process, which only its owner can read, and nobody write."""
    assert start_of(running(sleeper)) == Start(
        program.working_directory(), "a:b", "a.toml", {"port": "1"}, {"TOTO_AIO_ROOT": "/r"}
    )
    assert os.stat(f"/proc/{sleeper.pid}/environ").st_mode & 0o077 == 0
    monkeypatch.setenv(BACKGROUND_VARIABLE, json.dumps({"descriptor": 5}))
    assert (inherited_descriptor(), inherited_descriptor()) == (5, None)


def test_the_service_of_another_user(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root could read how it was started, but would then run whatever that user's process says."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SettingsError, match=f"process {sleeper.pid} belongs to another user"):
        start_of(running(sleeper))


@pytest.mark.parametrize("variable", [None, "7", "{}", "no JSON"])
def test_a_start_that_cannot_be_known(variable: str | None) -> None:
    """One that another version has made: nothing is guessed, as it could be another database."""
    environ = {} if variable is None else {BACKGROUND_VARIABLE: variable}
    process = subprocess.Popen(["/bin/sleep", "600"], env=environ)
    try:
        with pytest.raises(SettingsError, match=f"process {process.pid} .* write stop, and then start"):
            start_of(running(process))
    finally:
        process.kill()
        process.wait()


async def test_restart(shell: Shell, tmp_path: Path) -> None:
    """Without arguments it serves the same, also from another folder; an option given now replaces one."""
    write(tmp_path, methods__version=version_of(1))
    (tmp_path / "own.toml").write_text("database = 'sqlite:///own.db'\nroot = '/own'\nprocesses = 1\n")
    started = await shell.toto_aio("start", "own.toml", "--port=0", "--events=off")
    assert started.address.endswith("/own")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Shell(elsewhere)

    restarted = await other.toto_aio("restart", f"--pidfile={tmp_path}/toto.pid")
    assert restarted.status == 0
    assert "Restarting with what it was started with: own.toml, --port, --events\n" in restarted.said
    assert f"Stopped process {started.pid}\n" in restarted.said
    assert restarted.address.endswith("/own")
    assert await who(restarted.address) > 0
    assert not (elsewhere / "toto.db").exists()
    assert not (elsewhere / "own.db").exists()

    again = await shell.toto_aio("restart", "--root=/new", f"--pidfile={tmp_path}/toto.pid")
    assert again.address.endswith("/new")
    assert await who(again.address) > 0

    wrong = await shell.toto_aio("restart", "--port=http")
    assert (wrong.status, wrong.said) == (1, "toto-aio: --port: expected int, not 'http'\n")
    (tmp_path / "own.toml").write_text("nonsense = 1\n")
    wrong = await shell.toto_aio("restart")
    assert (wrong.status, wrong.said.count("\n")) == (1, 1)
    assert wrong.said.startswith("toto-aio: own.toml: nonsense: no such option")
    assert await who(again.address) > 0  # nothing was stopped

    refused = await shell.toto_aio("restart", "--rolling", "--port=9")
    kept = "a rolling restart keeps what the service was started with, and reads own.toml again"
    assert (refused.status, refused.said) == (
        1,
        f"toto-aio: --port: {kept}: write restart without --rolling\n",
    )
    assert await who(again.address) > 0


async def test_restart_of_nothing(shell: Shell) -> None:
    """It says that it starts with what is given now."""
    started = await shell.toto_aio("restart", "--port=0", "--events=off")
    assert started.said.startswith("Not running: it is started with what is given now\nStarted process ")
    assert await who(started.address) > 0
