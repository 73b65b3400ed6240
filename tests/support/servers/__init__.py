"""Private database servers for the tests: started on free ports, in temporary folders, and stopped again.

The module of each kind of server has two functions: ``server()`` returns a ``Server`` to enter, and
``fresh_url(server)`` returns the URL of an empty database on it. ``Server`` runs a command, and can stop,
kill and freeze the server, and start it again with the same port and data.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

START_LIMIT = 120.0
"""Seconds in which a server must accept connections."""
STOP_LIMIT = 20.0
"""Seconds in which a server must end before it is killed."""

BATCH = 25
"""How many databases are made at a time."""
_numbers = itertools.count(1)

Command = Callable[[Path, int], Sequence[str]]


class Server:
    """A server on ``port`` of 127.0.0.1, with its data in ``directory``: ``with Server(command) as server:``

    ``command(directory, port)`` prepares the folder, once, and returns the command to run there. ``user`` is
    the user of the server if the tests run as root, for servers that refuse root. ``is_ready`` returns
    whether the server serves; by default, whether it accepts a connection.
    """

    def __init__(
        self, command: Command, *, user: str | None = None, is_ready: Callable[[int], bool] | None = None
    ) -> None:
        self._prepare = command
        self._user = user if os.getuid() == 0 else None
        self._is_ready = is_ready or accepts
        self._process: subprocess.Popen[bytes] | None = None
        self._spare: list[str] = []

    def __enter__(self) -> Server:
        # Not below pytest's own folder, as another user must be able to pass every folder above it.
        self.directory = Path(tempfile.mkdtemp(prefix="toto-aio-test-"))
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        self.port = free_port()
        try:
            self._command = list(self._prepare(self.directory, self.port))
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.thaw()
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        assert self._process is not None
        return self._process.pid

    def spare(self, create: Callable[[list[str]], object]) -> str:
        """A name that ``create`` has made a database of, and no test has used.

        It makes many at a time, as its client costs ten times what a database does.
        """
        if not self._spare:
            self._spare = [f"toto_{next(_numbers)}" for _ in range(BATCH)]
            create(self._spare)
        return self._spare.pop()

    def start(self) -> None:
        """Start the server, and wait until it serves."""
        assert self._process is None
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                # One of the servers is in Python, and its coverage is nobody's concern.
                env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT
        while not self._is_ready(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} did not start:\n{self.log()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server as an administrator would, and wait until it has ended."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Kill the server and its children, as a crash would, and wait until all have ended.

        PostgreSQL does not start again on its data before they have.
        """
        assert self._process is not None
        self.freeze()  # so that it starts no child that nobody kills
        pids = self.pid, *descendants(self.pid)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process = None
        while not all(states(pid) <= {"Z", "X"} for pid in pids):
            time.sleep(0.001)

    def freeze(self) -> None:
        """Suspend the server and its children, while their connections stay open."""
        self._signal(signal.SIGSTOP)
        while not all(is_stopped(pid) for pid in (self.pid, *descendants(self.pid))):
            time.sleep(0.001)
            self._signal(signal.SIGSTOP)  # also to a child that was started meanwhile

    def thaw(self) -> None:
        """Resume the server and its children."""
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        """The end of what the server wrote."""
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def _signal(self, number: signal.Signals) -> None:
        for pid in (self.pid, *descendants(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def descendants(pid: int) -> Iterator[int]:
    """The children of a process, and their descendants.

    They need not be in one process group: the processes of PostgreSQL are not.
    """
    for child in children(pid):
        yield child
        yield from descendants(child)


def children(pid: int) -> Iterator[int]:
    """The children of all threads of a process, without its spare (tests/support/mould.py)."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended in the meantime
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            with suppress(FileNotFoundError, ProcessLookupError):
                found = list(map(int, (task / "children").read_text().split()))
                yield from (child for child in found if not is_spare(child))


def is_spare(pid: int) -> bool:
    """Whether a process is the spare of its parent."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text() == "mould\n"
    return False


def is_stopped(pid: int) -> bool:
    """Whether every thread of a process has stopped; a running thread continues for a moment."""
    return states(pid) <= {"T", "Z", "X"}


def states(pid: int) -> set[str]:
    """The states of the threads of a process, as ps shows them; none if it has ended."""
    found = set()
    with suppress(FileNotFoundError, ProcessLookupError):  # while its folder was read
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found.add((task / "stat").read_text().rpartition(")")[2].split()[0])
    return found


def run(command: Sequence[str], user: str | None = None) -> None:
    """Run a program to its end, as ``user`` if the tests run as root. Raises ``RuntimeError`` if it fails."""
    user = user if os.getuid() == 0 else None
    done = subprocess.run(command, capture_output=True, user=user, cwd="/", text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr}{done.stdout}")


def free_port() -> int:
    """A free port, which can be opened, closed and opened again.

    Neither the system nor another process of pytest uses it in the meantime. Runs of the tests at the same
    time start at different ports.
    """
    for port in itertools.islice(_PORTS, 1_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# The system's own choice starts at 32768, see /proc/sys/net/ipv4/ip_local_port_range.
_RANGE = range(12_000 + 1_000 * _WORKER, 13_000 + 1_000 * _WORKER)
_START = os.getpid() % len(_RANGE)
_PORTS: Iterator[int] = itertools.cycle((*_RANGE[_START:], *_RANGE[:_START]))


def accepts(port: int) -> bool:
    """Whether a server accepts connections on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def make_certificate(certificate: Path, key: Path) -> None:
    """Write a self-signed certificate for localhost, and its key."""
    command = f"""openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key}
        -out {certificate} -subj /CN=localhost -addext subjectAltName=DNS:localhost"""
    subprocess.run(command.split(), check=True, capture_output=True)
