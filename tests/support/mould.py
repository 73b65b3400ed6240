"""The process that tests/support/warm.py forks: it has imported what ``serve`` needs, and nothing runs in it.

It is run with the numbers of two sockets. On the first the tests ask it. A fork is a child of theirs
(CLONE_PARENT): they send it signals and wait for it as for any other. On the second, which listens, it is
asked by shells that the tests have started (tests/support/warm_command.py). Such a fork is the child of a
keeper, which says how it has ended, and kills it if whoever asked for it was killed.

A fork that will start processes itself, as a master does its workers, is forked once more before it becomes
the program. That is its spare: a mould for this process alone, and a child of it, so that the forks of the
spare are its children, too. It listens at a path with the id of the process, beside the socket for shells, so
that the process has no file which a new interpreter has not. Its name is ``mould``, and it ends with the
process.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import importlib
import json
import marshal
import os
import platform
import runpy
import select
import signal
import socket
import sys
import types
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support import ROOT
from tests.support.starts import LARGEST, MOST, ask, read_at_the_start, replace

MODULES = (
    "toto_aio.cli.entry",
    "toto_aio.cli.main",
    "toto_aio.server.launcher",
    "toto_aio.server.serving",
    "toto_aio.stores.memory",
    "toto_aio.stores.sqlite",
    "toto_aio.brokers.memory",
    "encodings.idna",
    "uvloop",
)
"""What a service imports, whatever it serves; no method, and no database that needs another library."""
WORKER, BACKGROUND = "_TOTO_AIO_WORKER", "_TOTO_AIO_BACKGROUND"
"""The variables of a worker, and of a service in the background, which is a master."""
CLONE = {"x86_64": 56, "aarch64": 220}
"""The number of clone(2)."""
CLONE_PARENT = 0x8000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.PyDLL(None)  # not CDLL, which lets go of the lock of the interpreter
NAME = Path("/proc/self/comm")


def main() -> None:
    """Fork for each request. Returns in a fork that has become what was asked for."""
    channel, door = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end it
    os.chdir("/")
    sys.path[:] = [each for each in sys.path if os.path.realpath(each) != os.path.realpath(ROOT)]
    for name in [each for each in sys.modules if each.partition(".")[0] == "tests"]:
        del sys.modules[name]  # a project has some of its own
    for module in MODULES:
        importlib.import_module(module)
    folder = os.path.dirname(door.getsockname())
    path, started = tuple(sys.path), read_at_the_start(os.environ)
    replace(
        lambda message, descriptors: ask_spare(folder, message, descriptors),
        lambda environment: read_at_the_start(environment) == started,
    )
    gc.collect()
    gc.freeze()  # so that a collection in a fork does not copy what they share
    serve(channel, door, path)
    while starts_processes() and leave_spare(folder, path):
        pass


def serve(channel: socket.socket, door: socket.socket, path: Sequence[str]) -> None:
    """Fork for the tests and for shells. Returns in a fork."""
    while True:
        ready, _, _ = select.select([channel, door], [], [])
        reap()
        if channel in ready:
            message, descriptors, _, _ = socket.recv_fds(channel, LARGEST, MOST)
            if not message:
                os._exit(0)
            if became(channel, message, descriptors, path, [door]):
                return
        if door in ready:
            connection, _ = door.accept()
            if not os.fork():
                channel.close()
                door.close()
                keep(connection, path)
                return
            connection.close()


def became(
    channel: socket.socket,
    message: bytes,
    descriptors: Sequence[int],
    path: Sequence[str],
    others: Sequence[socket.socket],
) -> bool:
    """Fork for a request, and answer it. Returns in both processes: whether it is the fork."""
    pid = fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        if pid < 0:
            channel.send(json.dumps({"failed": "clone", "pid": 0}).encode())
        return False
    for other in others:
        other.close()
    request = json.loads(message)
    channel = socket.socket(fileno=above(channel.detach(), request["numbers"]))
    try:
        become(request, descriptors, path)
    except BaseException as exc:
        channel.send(json.dumps({"failed": repr(exc), "pid": os.getpid()}).encode())
        os._exit(1)
    channel.send(json.dumps({"pid": os.getpid()}).encode())
    channel.close()
    return True


def keep(connection: socket.socket, path: Sequence[str]) -> None:
    """Fork for a request of a shell, and stay as the keeper. Returns in the fork only."""
    message, descriptors, _, _ = socket.recv_fds(connection, LARGEST, 3)
    if not message:
        os._exit(0)
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        watch(pid, connection)
        os._exit(0)
    try:
        command, folder, environment, umask, ignored = marshal.loads(message)  # noqa: S302 of a program of ours
        request = {
            "command": command,
            "cwd": folder,
            "environment": {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()},
            "session": True,
            "gid": None,
            "umask": umask,
            "numbers": range(3),
            "ignored": ignored,
            "blocked": (),
        }
        become(request, descriptors, path)
    except BaseException:
        connection.send(b"0")
        os._exit(1)
    connection.send(str(os.getpid()).encode())
    connection.close()


def watch(pid: int, connection: socket.socket) -> None:
    """Wait until a child ends, and say how; kill it if who asked for it was killed."""
    ending = os.pidfd_open(pid)
    ready, _, _ = select.select([ending, connection.fileno()], [], [])
    if ending not in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):  # who asked was killed, or starts a new interpreter
        connection.send(str(status).encode())


def reap() -> None:
    """Wait for the keepers that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def starts_processes() -> bool:
    """Whether what this process has become starts others, as far as its arguments and environment show it.

    A spare that is not used costs a third of what a fork does; without one they are new interpreters.
    """
    command, *options = sys.argv[1:] or [""]
    if command != "serve":
        return command in ("start", "restart")
    given = " ".join((*options, *os.environ, *map(text_of, options))).lower()
    return WORKER not in os.environ and ("processes" in given or BACKGROUND in os.environ)


def text_of(argument: str) -> str:
    """What a file says, if an argument names one."""
    with suppress(OSError):
        if os.path.isfile(argument):
            return Path(argument).read_text(errors="replace")
    return ""


def leave_spare(folder: str, path: Sequence[str]) -> bool:
    """Fork this process into its spare. Returns in it and the spare's forks: whether it is one of these."""
    own = os.getpid()
    place = f"{folder}/{own}"
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with suppress(FileNotFoundError):
            os.unlink(place)  # of an earlier process with this id
        door.bind(place)
        door.listen()
    except OSError:  # the tests have ended
        door.close()
        return False
    if os.fork():
        door.close()
        return False
    LIBC.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != own:
        os._exit(0)
    os.setpgid(0, 0)  # signals to the process's group are not for it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    name = NAME.read_bytes().strip()
    NAME.write_bytes(b"mould")
    with open(os.devnull, "r+b") as nothing:
        for number in range(3):
            os.dup2(nothing.fileno(), number)
    for number in set(map(int, os.listdir("/proc/self/fd"))) - {0, 1, 2, door.fileno()}:
        with suppress(OSError):  # that of the listing
            os.close(number)  # somebody may wait until all ends of it are closed
    while True:
        connection, _ = door.accept()
        message, descriptors, _, _ = socket.recv_fds(connection, LARGEST, MOST)
        if message and became(connection, message, descriptors, path, [door]):
            NAME.write_bytes(name)
            return True
        connection.close()


def ask_spare(folder: str, message: bytes, descriptors: Sequence[int]) -> int:
    """The id of a fork of this process's spare. Raises ``OSError``, also if it has none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(f"{folder}/{os.getpid()}")
        return ask(connection, message, descriptors)


def fork() -> int:
    """Fork this process, as a child of its parent: 0 in the child, below 0 if it fails."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = int(LIBC.syscall(CLONE[platform.machine()], CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
    if pid:
        python.PyOS_AfterFork_Parent()
    else:
        python.PyOS_AfterFork_Child()
    return pid


def become(request: dict[str, Any], descriptors: Sequence[int], path: Sequence[str]) -> None:
    """Make this process what a new interpreter would be. Raises ``RuntimeError`` if it would differ."""
    if request["session"]:
        os.setsid()
    else:
        os.setpgid(0, request["group"] if request["group"] != -1 else os.getpgid(os.getppid()))
    if request["gid"] is not None:
        os.setregid(request["gid"], request["gid"])
    if request["umask"] != -1:
        os.umask(request["umask"])
    moved = [above(descriptor, request["numbers"]) for descriptor in descriptors]
    for number, descriptor in zip(request["numbers"], moved, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    if signal.SIGINT not in request["ignored"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    os.environ.clear()
    os.environ.update(request["environment"])
    show_environment()
    os.chdir(request["cwd"])
    shadowing = {path.stem for path in Path().iterdir()} & {name.partition(".")[0] for name in sys.modules}
    if shadowing:
        raise RuntimeError(f"a new interpreter would import {shadowing} from the folder")
    importlib.invalidate_caches()
    sys.orig_argv[:] = request["command"]
    sys.argv[:] = sys.orig_argv[1:] if is_script() else ["-m", *sys.orig_argv[3:]]
    sys.path[:] = [os.path.dirname(os.path.realpath(sys.argv[0])) if is_script() else os.getcwd(), *path]
    sys.modules["__main__"] = types.ModuleType("__main__")


def show_environment() -> None:
    """Show the environment in /proc as the first of this process. Raises ``RuntimeError`` if it's too large.

    It is written over that of the mould, which was made large for this (tests/support/warm.py): commands read
    there how a service in the background was started.
    """
    begin, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47:49])
    shown = b"".join(name + b"=" + value + b"\0" for name, value in os.environb.items())
    if len(shown) > end - begin:
        raise RuntimeError("there is no room to show the environment")
    ctypes.memmove(begin, shown.ljust(end - begin, b"\0"), end - begin)


def above(descriptor: int, numbers: Sequence[int]) -> int:
    """Move a file to a number above these, and out of their way."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(numbers) + 1)
    os.close(descriptor)
    return moved


def is_script() -> bool:
    """Whether it is asked for the installed script, and not for the module."""
    return sys.orig_argv[1] != "-m"


if __name__ == "__main__":
    main()
    if is_script():
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy._run_module_as_main(sys.orig_argv[2])  # type: ignore[attr-defined]
