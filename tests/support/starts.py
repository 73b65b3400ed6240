"""Starts of ``toto-aio`` by ``subprocess``, and by ``asyncio``, for which a fork may stand.

Both start processes through ``subprocess._fork_exec``. A function of ours in its place describes the process
in a request to a mould (tests/support/mould.py), or leaves it to the original function. The tests have it
there (tests/support/warm.py), and so do the processes that are forks, for what they start themselves.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

PYTHON = os.fsencode(sys.executable)
SCRIPT = os.path.join(os.path.dirname(PYTHON), b"toto-aio")
READ_AT_THE_START = (
    *("PYTHON", "COV", "LC_", "LANG", "LD_", "SSL_", "TZ", "MALLOC_"),
    *("AIOHTTP_", "FROZENLIST_", "MULTIDICT_", "PROPCACHE_", "YARL_"),
)
"""The beginnings of the names of variables that must be those with which the mould was started."""
OF_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""The signals that Python ignores, and does not want its children to ignore."""
LARGEST = 100_000
"""Bytes of a request, which a socket takes at once."""
MOST = 250
"""Descriptors of a request, of which a socket takes no more than 253."""

Fork = Callable[[bytes, Sequence[int]], int]
"""The id of a fork for a request and its descriptors. Raises ``OSError`` if there can be none."""


class Unsuitable(OSError):
    """The process must be a new interpreter."""


def read_at_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are read while Python starts, or a library is imported."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_THE_START)}


def replace(fork: Fork, suits: Callable[[Mapping[str, str]], bool]) -> Callable[[], None]:
    """Ask for forks from now on, where that makes no difference. Returns what ends it.

    ``suits`` is whether a new interpreter with this environment would start as the mould did.
    """
    original = getattr(subprocess, "_fork_exec", None)
    if original is None or not sys.platform.startswith("linux"):  # another Python: all is started as always
        return lambda: None

    def start(*arguments: Any) -> int:
        try:
            return fork(*described(suits, *arguments))
        except OSError:  # also: not suitable
            return int(original(*arguments))

    spawns = subprocess._USE_POSIX_SPAWN
    subprocess._fork_exec = start  # type: ignore[attr-defined]
    subprocess._USE_POSIX_SPAWN = False  # type: ignore[misc]  # the other way to start a process, which Python 3.13 often takes

    def restore() -> None:
        subprocess._fork_exec = original  # type: ignore[attr-defined]
        subprocess._USE_POSIX_SPAWN = spawns  # type: ignore[misc]

    return restore


def described(
    suits: Callable[[Mapping[str, str]], bool],
    command: Sequence[bytes | str],
    programs: Sequence[bytes],
    close_fds: bool,
    kept: Collection[int],
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
    gid: int | None,
    gids: object,
    uid: object,
    umask: int,
    preexec_fn: object,
    *_: object,
) -> tuple[bytes, list[int]]:
    """The request for a fork, and the descriptors to send with it. Raises ``Unsuitable``.

    The arguments after the first are those of ``_posixsubprocess.fork_exec``.
    """
    arguments = [os.fsencode(each) for each in command]
    if len(programs) == 1 and is_script(programs[0]):
        arguments, programs = [PYTHON, programs[0], *arguments[1:]], [PYTHON]
    streams = {
        number: given if given != -1 else number for number, given in enumerate((stdin, stdout, stderr))
    }
    descriptors = {**{number: number for number in sorted(kept) if number != errors}, **streams}
    variables = environment if environment is not None else [b"=".join(each) for each in os.environb.items()]
    named = dict(os.fsdecode(each).split("=", 1) for each in variables)
    if not (
        list(programs) == [PYTHON]
        and (arguments[1:3] == [b"-m", b"toto_aio"] or any(map(is_script, arguments[1:2])))
        and close_fds
        and len(descriptors) <= MOST
        and (gids, uid, preexec_fn) == (None, None, None)
        and not any(map(os.isatty, streams.values()))
        and suits(named)
    ):
        raise Unsuitable
    request = {
        "command": [os.fsdecode(each) for each in arguments],
        "cwd": os.path.abspath(os.fsdecode(cwd or os.curdir)),
        "environment": named,
        "session": bool(session),
        "group": group,
        "gid": gid,
        "umask": umask,
        "numbers": list(descriptors),
        "ignored": [
            int(number)
            for number in signal.valid_signals() - OF_PYTHON
            if signal.getsignal(number) is signal.SIG_IGN
        ],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    }
    message = json.dumps(request).encode()
    if len(message) > LARGEST:
        raise Unsuitable
    return message, list(descriptors.values())


def is_script(program: bytes) -> bool:
    """Whether a program is the installed script, or a link to it."""
    return program.endswith(b"/toto-aio") and os.path.realpath(program) == os.path.realpath(SCRIPT)


def ask(mould: socket.socket, message: bytes, descriptors: Sequence[int]) -> int:
    """The id of a fork, which is a child of this process. Raises ``OSError`` if there is none."""
    socket.send_fds(mould, [message], list(descriptors))
    answer = json.loads(mould.recv(LARGEST) or b"{}")
    if not answer:
        raise OSError("the mould has ended")
    if "failed" in answer:
        if answer["pid"]:
            os.waitpid(answer["pid"], 0)
        raise OSError(answer["failed"])
    return int(answer["pid"])
