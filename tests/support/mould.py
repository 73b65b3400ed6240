"""The process that tests/support/warm.py forks: it has imported what ``serve`` needs, and nothing runs in it.

It is run as a program, with the numbers of two sockets. On the first the tests ask it. A fork is a child of
theirs (CLONE_PARENT): they send it signals and wait for it as for any other. On the second, which listens, it
is asked by shells that the tests have started (tests/support/warm_command.py). Such a fork is the child of a
keeper, which says how it has ended, and kills it if whoever asked for it was killed.
"""

from __future__ import annotations

import ctypes
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
from contextlib import suppress
from pathlib import Path
from typing import Any

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
CLONE = {"x86_64": 56, "aarch64": 220}
"""The number of clone(2)."""
CLONE_PARENT = 0x8000
SYSCALL = ctypes.PyDLL(None).syscall  # not CDLL, which lets go of the lock of the interpreter
LARGEST = 100_000


def main() -> None:
    """Fork for each request. Returns in a fork that has become what was asked for."""
    channel, door = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end it
    for module in MODULES:
        importlib.import_module(module)
    own_path = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [each for each in sys.path if os.path.realpath(each) != own_path]
    gc.collect()
    gc.freeze()  # so that a collection in a fork does not copy what they share
    while True:
        ready, _, _ = select.select([channel, door], [], [])
        reap()
        if channel in ready and serve_tests(channel, interrupted):
            door.close()
            return
        if door in ready:
            connection, _ = door.accept()
            if not os.fork():
                channel.close()
                door.close()
                keep(connection, interrupted)
                return
            connection.close()


def serve_tests(channel: socket.socket, interrupted: Any) -> bool:
    """Fork for a request of the tests. Returns in both processes: whether it is the fork."""
    message, descriptors, _, _ = socket.recv_fds(channel, LARGEST, 3)
    if not message:
        os._exit(0)
    pid = fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        if pid < 0:
            channel.send(json.dumps({"failed": "clone", "pid": 0}).encode())
        return False
    signal.signal(signal.SIGINT, interrupted)
    try:
        become(json.loads(message), descriptors)
    except BaseException as exc:
        channel.send(json.dumps({"failed": repr(exc), "pid": os.getpid()}).encode())
        os._exit(1)
    channel.send(json.dumps({"pid": os.getpid()}).encode())
    channel.close()
    return True


def keep(connection: socket.socket, interrupted: Any) -> None:
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
    signal.signal(signal.SIGINT, interrupted)
    try:
        command, folder, environment, umask, ignored = marshal.loads(message)  # noqa: S302 of a program of ours
        variables = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
        request = {"command": command, "cwd": folder, "environment": variables, "session": True}
        become(request, descriptors)
        os.umask(umask)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
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


def fork() -> int:
    """Fork this process, as a child of its parent: 0 in the child, below 0 if it fails."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = int(SYSCALL(CLONE[platform.machine()], CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
    if pid:
        python.PyOS_AfterFork_Parent()
    else:
        python.PyOS_AfterFork_Child()
    return pid


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Make this process what a new interpreter would be. Raises ``RuntimeError`` if it would differ."""
    if request["session"]:
        os.setsid()
    elif request["group"] != -1:
        os.setpgid(0, request["group"])
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    for descriptor in set(descriptors) - {0, 1, 2}:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    shadowing = {path.stem for path in Path().iterdir()} & {name.partition(".")[0] for name in sys.modules}
    if shadowing:
        raise RuntimeError(f"a new interpreter would import {shadowing} from the folder")
    importlib.invalidate_caches()
    sys.orig_argv[:] = request["command"]
    sys.argv[:] = sys.orig_argv[1:] if is_script() else ["-m", *sys.orig_argv[3:]]
    sys.path.insert(0, os.path.dirname(sys.argv[0]) if is_script() else os.getcwd())
    sys.modules["__main__"] = types.ModuleType("__main__")


def is_script() -> bool:
    """Whether it is asked for the installed script, and not for the module."""
    return sys.orig_argv[1] != "-m"


if __name__ == "__main__":
    main()
    if is_script():
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy._run_module_as_main(sys.orig_argv[2])  # type: ignore[attr-defined]
