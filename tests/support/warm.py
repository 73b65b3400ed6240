"""Starts of ``toto-aio`` that cost a tenth: forks of an interpreter that has imported it before.

Most tests of a service in its own process look at what it does, and the imports are nine tenths of what its
start costs. ``subprocess`` and ``asyncio`` both start processes through ``subprocess._fork_exec``. During the
tests a function of ours is in its place, which asks a mould (tests/support/mould.py) for a fork, so that the
tests, and the code that they test, start processes in the ordinary way and know nothing of it.

What a test sees is as with a new interpreter: pid, parent, signals, group, status, output and open files. The
original function starts what could tell the difference: other flags or programs, an environment that Python
or a library reads when it starts, a terminal, inherited descriptors, what is measured for coverage, and tests
marked ``cold``; and everything if the mould can't be asked, on other systems than Linux, and on a Python that
has no such function. Only the command line of a process and its first environment, as /proc shows them, are
those of the mould.

What a shell starts is not a child of the tests. ``Mould.commands`` is a folder for the beginning of its PATH,
whose ``toto-aio`` (tests/support/warm_command.py) asks the mould too and stands for the fork, which has
another id, a session of its own, and a keeper as its parent.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PYTHON = os.fsencode(sys.executable)
SCRIPT = os.path.join(os.path.dirname(PYTHON), b"toto-aio")
READ_AT_THE_START = (
    *("PYTHON", "COV", "LC_", "LANG", "LD_", "SSL_", "TZ", "MALLOC_"),
    *("AIOHTTP_", "FROZENLIST_", "MULTIDICT_", "PROPCACHE_", "YARL_"),
)
"""The beginnings of the names of variables that must be those with which the mould was started."""
LARGEST = 100_000
"""Bytes of a request, which a socket takes at once."""


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

    def fork(self, command: Sequence[bytes], request: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        """The id of a new process, which is a child of this one.

        ``request`` has ``cwd``, ``environment``, ``session`` and ``group``, as ``subprocess`` has them.
        ``descriptors`` become 0, 1 and 2. Raises ``OSError`` if it cannot be forked.
        """
        message = json.dumps({"command": [os.fsdecode(each) for each in command], **request}).encode()
        if len(message) > LARGEST:
            raise OSError("the request is too large")
        with self._lock:
            channel = self._opened()
            socket.send_fds(channel, [message], list(descriptors))
            answer = json.loads(channel.recv(LARGEST) or b"{}")
        if not answer:
            raise OSError("the mould has ended")
        if "failed" in answer:
            if answer["pid"]:
                os.waitpid(answer["pid"], 0)
            raise OSError(answer["failed"])
        self.forks += 1
        return int(answer["pid"])

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a new interpreter with this environment would start as the mould did, and unmeasured."""
        return read_at_the_start(environment) == read_at_the_start(self._environment)

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
                    [sys.executable, Path(__file__).with_name("mould.py"), *map(str, numbers)],
                    cwd="/",
                    stdin=nothing,
                    stdout=nothing,
                    stderr=None,
                    pass_fds=numbers,
                    env=self._environment,
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


def read_at_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are read while Python starts, or a library is imported."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_THE_START)}


@contextlib.contextmanager
def forking(mould: Mould) -> Iterator[None]:
    """Let ``subprocess`` take processes from a mould where that makes no difference."""
    original = getattr(subprocess, "_fork_exec", None)
    if original is None or not sys.platform.startswith("linux"):  # another Python: all is started as always
        yield
        return

    def start(*arguments: Any) -> int:
        try:
            return _fork(mould, *arguments)
        except OSError:  # also: not suitable
            return int(original(*arguments))

    spawns = subprocess._USE_POSIX_SPAWN
    subprocess._fork_exec = start  # type: ignore[attr-defined]
    subprocess._USE_POSIX_SPAWN = False  # type: ignore[misc]  # the other way to start a process, which Python 3.13 often takes
    try:
        yield
    finally:
        subprocess._fork_exec = original  # type: ignore[attr-defined]
        subprocess._USE_POSIX_SPAWN = spawns  # type: ignore[misc]
        mould.close()


class Unsuitable(OSError):
    """The process must be a new interpreter."""


def _fork(
    mould: Mould,
    command: Sequence[bytes | str],
    programs: Sequence[bytes],
    close_fds: bool,
    kept: Sequence[int],
    cwd: str | bytes | None,
    environment: Sequence[bytes] | None,
    stdin: int,
    _stdin_end: int,
    _stdout_end: int,
    stdout: int,
    _stderr_end: int,
    stderr: int,
    _error_end: int,
    errors: int,
    _restores_signals: bool,
    session: bool,
    group: int,
    gid: object,
    gids: object,
    uid: object,
    umask: int,
    preexec_fn: object,
    *_: object,
) -> int:
    """The arguments are those of ``_posixsubprocess.fork_exec``."""
    arguments = [os.fsencode(each) for each in command]
    if list(programs) == [SCRIPT]:
        arguments, programs = [PYTHON, SCRIPT, *arguments[1:]], [PYTHON]
    descriptors = [given if given != -1 else number for number, given in enumerate((stdin, stdout, stderr))]
    variables = environment if environment is not None else [b"=".join(each) for each in os.environb.items()]
    named = dict(os.fsdecode(each).split("=", 1) for each in variables)
    suits = (
        mould.is_enabled
        and list(programs) == [PYTHON]
        and (arguments[1:3] == [b"-m", b"toto_aio"] or arguments[1:2] == [SCRIPT])
        and close_fds
        and set(kept) == {errors}
        and (gid, gids, uid, umask, preexec_fn) == (None, None, None, -1, None)
        and not any(map(os.isatty, descriptors))
        and mould.suits(named)
    )
    if not suits:
        raise Unsuitable
    folder = os.path.abspath(os.fsdecode(cwd or os.curdir))
    request = {"cwd": folder, "environment": named, "session": bool(session), "group": group}
    return mould.fork(arguments, request, descriptors)
