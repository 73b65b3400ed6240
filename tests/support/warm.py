"""Starts of ``toto-aio`` that cost a tenth: forks of an interpreter that has imported it before.

Most tests of a service in its own process look at what it does, and the imports are nine tenths of what its
start costs. During the tests ``subprocess`` asks a mould (tests/support/mould.py) for a fork in the place of
a start (tests/support/starts.py), so that the tests, and the code that they test, start processes in the
ordinary way and know nothing of it. Forks do the same: the workers of a master are forks, too.

What a test sees is as with a new interpreter: pid, parent, signals, group, status, output and open files. The
original function starts what could tell the difference: other flags or programs, an environment that Python
or a library reads when it starts, a terminal, what is measured for coverage, and tests marked ``cold``; and
everything if the mould can't be asked, on other systems than Linux, and on a Python that has no such
function. Only the command line of a process, as /proc shows it, is that of the mould; and a process that
starts others has one more child, its spare, whose name is ``mould``.

What a shell starts is not a child of the tests. ``Mould.commands`` is a folder for the beginning of its PATH,
whose ``toto-aio`` (tests/support/warm_command.py) asks the mould too and stands for the fork, which has
another id, a session of its own, and a keeper as its parent.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support import ROOT
from tests.support.starts import LARGEST, READ_AT_THE_START, SCRIPT, ask, read_at_the_start, replace


class Mould:
    """The process that is forked, from the first start that it can do until the end of the tests."""

    def __init__(self) -> None:
        self.is_enabled = True
        """Whether the current test may use it."""
        self.forks = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def fork(self, message: bytes, descriptors: Sequence[int]) -> int:
        """The id of a fork, which is a child of this process. Raises ``OSError`` if there can be none."""
        with self._lock:
            pid = ask(self._opened(), message, descriptors)
        self.forks += 1
        return pid

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a new interpreter with this environment would start as the mould did, and unmeasured."""
        return self.is_enabled and read_at_the_start(environment) == read_at_the_start(self._environment)

    @property
    def pid(self) -> int | None:
        """The id of its process, if it has started."""
        return None if self._process is None else self._process.pid

    @property
    def commands(self) -> str:
        """The folder of a ``toto-aio`` for shells, which is a fork if that makes no difference."""
        self.open()
        assert self._folder is not None
        return self._folder.name

    def close(self) -> None:
        """End it; its forks go on."""
        if self._channel is not None and self._process is not None:
            self._channel.close()
            self._process.wait(60)
            self._process = self._channel = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def open(self) -> None:
        """Start it, unless it was started."""
        with self._lock:
            self._opened()

    def _opened(self) -> socket.socket:
        if self._channel is None:
            self._folder = tempfile.TemporaryDirectory(prefix="toto-aio-")  # a socket's path must be short
            write_command(Path(self._folder.name), self._environment)
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs, door, open(os.devnull, "r+b") as nothing:
                door.bind(f"{self._folder.name}/mould")
                door.listen()
                numbers = [theirs.fileno(), door.fileno()]
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.mould", *map(str, numbers)],
                    cwd=ROOT,
                    stdin=nothing,
                    stdout=nothing,
                    stderr=None,
                    pass_fds=numbers,
                    env={**self._environment, "ROOM": "-" * LARGEST},  # for the environments of forks
                )
        return self._channel


def write_command(folder: Path, environment: Mapping[str, str]) -> None:
    """Write the program of tests/support/warm_command.py and what it reads."""
    names = tuple(os.fsencode(each) for each in READ_AT_THE_START)
    read = read_at_the_start(environment)
    expected = {os.fsencode(name): os.fsencode(value) for name, value in read.items()}
    (folder / "suits").write_bytes(marshal.dumps((names, expected)))
    (folder / "cold").symlink_to(os.fsdecode(SCRIPT))
    program = folder / "toto-aio"
    source = Path(__file__).with_name("warm_command.py").read_text()
    program.write_text(f"#!{sys.executable} -IS\n{source}")
    program.chmod(0o700)


@contextlib.contextmanager
def forking(mould: Mould) -> Iterator[None]:
    """Let ``subprocess`` take processes from a mould where that makes no difference."""
    restore = replace(mould.fork, mould.suits)
    try:
        yield
    finally:
        restore()
        mould.close()
