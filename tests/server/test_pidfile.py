"""Tests of the pidfile: which process holds it, and that no other is taken for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from toto_aio.server import pidfile as pidfile_module
from toto_aio.server.pidfile import AlreadyRunning, Pidfile, find_running
from toto_aio.settings import SettingsError

HOLD = """
import sys
from pathlib import Path
from toto_aio.server.pidfile import Pidfile
pidfile = Pidfile(Path(sys.argv[1]))
pidfile.write_state({"processes": 2})
print("held", flush=True)
sys.stdin.read()
pidfile.close()
"""


READ_LOCK = """
import fcntl, sys
with open(sys.argv[1]) as file:
    fcntl.lockf(file, fcntl.LOCK_SH)
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a pidfile, and releases it when its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def is_running(path: Path) -> bool:
    """Whether a process holds the file."""
    with find_running(path) as running:
        return running is not None


def test_a_running_process(tmp_path: Path) -> None:
    """It is found by its file, with the state that it wrote, and so is its end."""
    path = tmp_path / "toto.pid"
    with holding(path) as process:
        assert path.read_text() == f"{process.pid}\n"
        with find_running(path) as running:
            assert running is not None
            assert running.pid == process.pid
            assert running.read_state() == {"processes": 2}
            assert not running.exits_within(0)
            running.send_signal(signal.SIGTERM)
            assert running.exits_within(5)
            running.send_signal(signal.SIGTERM)  # which reaches no process
        assert process.wait(20) == -signal.SIGTERM
    assert not is_running(path)
    assert path.exists()


def test_it_is_removed_at_the_end(tmp_path: Path) -> None:
    """Nothing is left of it."""
    with holding(tmp_path / "toto.pid") as process:
        process.communicate("")
        assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_only_one_process_holds_it(tmp_path: Path) -> None:
    """A second one learns which process is first; once that has been killed, the second can hold it."""
    path = tmp_path / "toto.pid"
    with holding(path) as process:
        with pytest.raises(AlreadyRunning, match=f"already running, as process {process.pid} "):
            Pidfile(path)
        process.kill()
        process.wait(20)
        with closing(Pidfile(path)):
            assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    "content", ["", "1\n", f"{os.getppid()}\n", "999999999\n", "nonsense", "-1", "x" * 100_000], ids=repr
)
def test_the_content_of_a_file_does_not_matter(tmp_path: Path, content: str) -> None:
    """A file without a holder belongs to no process, whatever its content, and blocks no start."""
    path = tmp_path / "toto.pid"
    path.write_text(content)
    (tmp_path / "toto.pid.json").write_text('{"processes": 1}')
    assert not is_running(path)
    with closing(Pidfile(path)):
        assert path.read_text() == f"{os.getpid()}\n"
        assert [entry.name for entry in tmp_path.iterdir()] == ["toto.pid"]


def test_no_file(tmp_path: Path) -> None:
    """Without a file nothing is running, and asking does not make one."""
    assert not is_running(tmp_path / "toto.pid")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    """The error names the option and the path."""
    os.mkfifo(tmp_path / "pipe")
    assert not is_running(tmp_path / "pipe")
    for path in (tmp_path / "nowhere" / "toto.pid", tmp_path, tmp_path / "pipe"):
        with pytest.raises(SettingsError, match=f"pidfile: {path}: "):
            Pidfile(path)


def test_a_file_that_was_removed_by_hand(tmp_path: Path) -> None:
    """Another process can make its own, which the first leaves alone when it ends."""
    path = tmp_path / "toto.pid"
    with holding(path) as first:
        path.unlink()
        with holding(path) as second:
            first.communicate("")
            assert path.read_text() == f"{second.pid}\n"
            assert is_running(path)


def test_the_files_are_their_owners(tmp_path: Path) -> None:
    """Nobody else can read or lock them."""
    with closing(Pidfile(tmp_path / "pid")) as pidfile:
        pidfile.write_state({})
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_state_is_not_written_through_a_link(tmp_path: Path) -> None:
    """What somebody has put in its place stays as it is."""
    precious = tmp_path / "precious"
    precious.write_text("kept")
    path = tmp_path / "toto.pid"
    (tmp_path / "toto.pid.new").symlink_to(precious)
    with closing(Pidfile(path)) as pidfile:
        pidfile.write_state({"processes": 2})
        assert json.loads((tmp_path / "toto.pid.json").read_text()) == {"processes": 2}
    assert precious.read_text() == "kept"


def test_the_lock_of_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes nobody a service that could be stopped; a start says what to do."""
    monkeypatch.setattr(pidfile_module, "LOCK_PAUSE", 0.0)
    path = tmp_path / "toto.pid"
    path.touch(0o644)
    with subprocess.Popen(
        [sys.executable, "-c", READ_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        assert not is_running(path)
        with pytest.raises(SettingsError, match="remove the file"):
            Pidfile(path)
        process.communicate("")
    Pidfile(path).close()


def test_a_state_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The service keeps running, and the log says so."""
    (tmp_path / "toto.pid.new").mkdir()
    with closing(Pidfile(tmp_path / "toto.pid")) as pidfile:
        pidfile.write_state({"processes": 1})
    assert "toto.pid.json could not be written" in caplog.text
