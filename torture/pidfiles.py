"""No pidfile, however old or wrong, makes a command signal a stranger or keeps a service from starting.

    python -m torture.pidfiles [--files N] [--rounds N]

The drill makes pidfiles with the ids of living strangers, which are processes of its own that record each
signal they get, and of dead ones, with garbage and with nothing, and files whose service has died and whose
id a stranger has got: before a command looks, while it looks, and after it has looked but before it sends the
signal. ``status``, ``stop`` and ``restart --rolling`` meet each file, by the functions that the command line
calls. They must signal nobody and say that nothing runs, and a start must get the file.

Then rounds of real commands: some ``start`` at once beside an old file, of which one must get to serve while
the others say that it does; and a master that is killed (KILL) while ``stop`` and ``restart --rolling`` run,
with a stranger that has its id as soon as it is free.

The control is what is written all too often: read the id, send the signal. It has to hit strangers. It is
given only files that name strangers of the drill's own.

To choose the ids of its processes the drill runs in a pid namespace of its own (pid_namespaces(7)), where
also nobody else can be hit. Where there can be none the files with ids that are used again are left out, and
the table says so.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torture.drill import Failure, progress, run_drill
from torture.services import Victim, environment
from torture.stale import KINDS
from torture.strangers import Forked, Stranger, stranger_with
from toto_aio.server import background
from toto_aio.server.pidfile import Pidfile
from toto_aio.settings import Settings

INSIDE = "--inside"
"""How the drill knows that it is in the namespace."""
NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
WITH_INIT = ("sh", "-c", '"$@"; exit $?', "sh")
"""A shell that runs a command, and is there for processes whose parent has died."""
STARTS = 3
"""Starts at once."""
COMMAND_LIMIT = 120.0
"""Seconds in which a command has to end."""
SAY_EVERY = 250

EXPECTED = {"status": background.NOT_RUNNING, "stop": 0, "restart_rolling": background.NOT_RUNNING}
"""What each command returns when nothing runs."""
ARGUMENTS = {"status": ["status"], "stop": ["stop"], "restart_rolling": ["restart", "--rolling"]}


@dataclass
class Row:
    """What was seen of one kind of file."""

    kind: str
    files: int = 0
    signalled: int = 0
    """Signals that strangers got."""
    wrong: int = 0
    """Commands that did not say that nothing runs."""
    blocked: int = 0
    """Starts that did not get the file."""


@dataclass
class Figures:
    """What was seen in all."""

    rows: list[Row] = field(default_factory=list)
    naive: Row = field(default_factory=lambda: Row("control, read and kill"))
    services: list[int] = field(default_factory=list)
    """How many services there were after some starts at once."""
    failures: list[str] = field(default_factory=list)
    """Real commands that did not do what they should."""
    hits: int = 0
    """Signals that strangers got from real commands."""


def main() -> None:
    """Run the drill, in a namespace of its own if there can be one."""
    options = read_options()
    if not options.inside and (command := namespace()):
        program = [sys.executable, "-m", "torture.pidfiles", INSIDE, *sys.argv[1:]]
        sys.exit(subprocess.call([*command, *program]))  # noqa: S603  # this program
    run_drill(
        "pidfiles",
        lambda: measure(options.files, options.rounds, inside=options.inside),
        table,
        verdict,
    )


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="No pidfile makes a command signal a stranger.")
    parser.add_argument("--files", type=int, default=1000, metavar="N", help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="default %(default)s")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.files < len(KINDS) + len(REUSED) or options.rounds < 1:
        parser.error(f"--files: at least {len(KINDS) + len(REUSED)}; --rounds: at least 1")
    return options


def namespace() -> Sequence[str]:
    """The command that runs another in a pid namespace of its own; empty if there can be none."""
    for more in (["--user", "--map-root-user"], []):
        command = [*NAMESPACE, *more, *WITH_INIT]
        with suppress(OSError):
            if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:  # noqa: S603
                return command
    return []


def measure(files: int, rounds: int, *, inside: bool) -> Figures:
    """What comes of the files, and of rounds of real commands; ``inside``: in a namespace of its own."""
    figures = Figures([Row(kind) for kind in ({**KINDS, **REUSED} if inside else KINDS)])
    with tempfile.TemporaryDirectory() as folder, Stranger() as bystander:
        for number in range(files):
            row = figures.rows[number % len(figures.rows)]
            meet(row, Path(folder) / f"{number}.pid", bystander, number // len(figures.rows))
            if (number + 1) % SAY_EVERY == 0:
                progress(f"{number + 1} of {files} files")
        for number in range(max(1, files // 100)):
            hit(figures.naive, Path(folder) / f"naive{number}.pid", bystander)
        for number in range(rounds):
            stranger = stranger_with if inside else lambda pid: Stranger()
            command_round(figures, Path(folder) / f"round{number}", bystander, number, stranger)
            progress(f"{number + 1} of {rounds} rounds of real commands")
    return figures


def meet(row: Row, path: Path, bystander: Stranger, number: int) -> None:
    """Let commands meet a file, and then a start."""
    row.files += 1
    if row.kind in KINDS:
        KINDS[row.kind](path, bystander.pid)
        row.wrong += sum(call(command, path) != status for command, status in EXPECTED.items())
    else:
        meet_reused(row, path, number)
    row.signalled += bystander.hits()
    try:
        Pidfile(path).close()
    except Exception:
        row.blocked += 1


def meet_reused(row: Row, path: Path, number: int) -> None:
    """Let a command meet the file of a service that has died, whose id a stranger has got."""
    moment, expected = REUSED[row.kind]
    command, status = sorted(expected.items())[number % len(expected)]
    with Forked(partial(hold, path)) as holder, ExitStack() as stack:
        holder.wait()
        strangers = []

        def die() -> None:
            holder.kill()
            strangers.append(stack.enter_context(stranger_with(holder.pid)))

        if moment is None:
            die()
            row.wrong += call(command, path) != status
        else:
            with just_before(*moment, die):
                row.wrong += call(command, path) != status
        row.signalled += sum(stranger.hits() for stranger in strangers)
        if not strangers:
            raise Failure(f"{command} has not come to the moment when its service was to die")


def call(command: str, path: Path) -> int:
    """Run the function of a command; its status."""
    settings = Settings(pidfile=str(path), log_file=os.devnull, shutdown_timeout=1.0)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return background.COMMANDS[command](settings)


def hold(path: Path, writing: int) -> None:
    """Hold a pidfile as a service does, until the end."""
    pidfile = Pidfile(path)
    os.write(writing, b"!")
    signal.sigwait(signal.valid_signals())
    pidfile.close()


@contextmanager
def just_before(module: Any, name: str, act: Callable[[], None]) -> Iterator[None]:
    """Do something right before a function of a module is called for the first time."""
    function = getattr(module, name)

    def acting(*arguments: Any) -> Any:
        setattr(module, name, function)
        act()
        return function(*arguments)

    setattr(module, name, acting)
    try:
        yield
    finally:
        setattr(module, name, function)


def hit(row: Row, path: Path, stranger: Stranger) -> None:
    """Let the control meet a file that names a stranger of ours."""
    row.files += 1
    path.write_text(f"{stranger.pid}\n")
    os.kill(int(path.read_text()), signal.SIGTERM)
    row.signalled += stranger.hits()


def command_round(
    figures: Figures,
    folder: Path,
    bystander: Stranger,
    number: int,
    stranger_for: Callable[[int], Stranger],
) -> None:
    """Start some times at once beside an old file, then stop, or kill the service while others stop it."""
    folder.mkdir()
    kinds = list(KINDS.values())
    kinds[number % len(kinds)](folder / "toto.pid", bystander.pid)
    expect(figures, [run(folder, "status")], [background.NOT_RUNNING])
    try:
        expect(figures, [run(folder, "start") for _ in range(STARTS)], [0] + [1] * (STARTS - 1))
        found = masters(folder)
        figures.services.append(len(found))
        expect(figures, [run(folder, "status")], [0])
        if number % 2 == 0 and len(found) == 1:
            others = [run(folder, "stop"), run(folder, "restart", "--rolling")]
            time.sleep(random.uniform(0, 0.5))  # noqa: S311  # no secret
            end(found[0])
            with stranger_for(found[0]) as stranger:
                expect(figures, others, None)
                figures.hits += stranger.hits()
                expect(figures, [run(folder, "start")], [0])
                figures.hits += stranger.hits()
        expect(figures, [run(folder, "stop")], [0])
    finally:
        for pid in in_folder(folder):
            end(pid)
    figures.hits += bystander.hits()


def run(folder: Path, *command: str) -> subprocess.Popen[str]:
    """Begin a real command."""
    return subprocess.Popen(  # noqa: S603  # this package
        [sys.executable, "-m", "toto_aio", *command, "--port=0", "--shutdown-timeout=2"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def expect(figures: Figures, commands: Sequence[subprocess.Popen[str]], statuses: list[int] | None) -> None:
    """Wait for commands, which may have any order, and any status if there are no ``statuses``."""
    said = []
    for command in commands:
        try:
            said.append(command.communicate(timeout=COMMAND_LIMIT)[0])
        except subprocess.TimeoutExpired:
            command.kill()
            said.append(f"{command.communicate()[0]}, and did not end")
            statuses = statuses or []
    found = sorted(command.returncode for command in commands)
    if statuses is not None and found != statuses:
        figures.failures.append(f"{commands[0].args!r} ended with {found}, not {statuses}: {said}")


def masters(folder: Path) -> list[int]:
    """The services that run in a folder: processes there that no other one there has started."""
    pids = in_folder(folder)
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
    return [pid for pid in pids if parents[pid] not in pids]


def in_folder(folder: Path) -> list[int]:
    """The processes whose current folder it is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "cwd") == str(folder.resolve()):
                found.append(int(process.name))
    return found


def end(pid: int) -> None:
    """Kill a process, and wait for its end."""
    with suppress(ProcessLookupError), Victim(pid) as victim:
        victim.send(signal.SIGKILL)
        deadline = time.monotonic() + COMMAND_LIMIT
        while not victim.is_gone() and time.monotonic() < deadline:
            time.sleep(0.001)


LATE = {"stop": 0, "restart_rolling": 1}
REUSED: dict[str, tuple[tuple[Any, str] | None, dict[str, int]]] = {
    "an id used again": (None, EXPECTED),
    "an id used again while a command looks": ((os, "pidfd_open"), EXPECTED),
    "an id used again before the signal": ((signal, "pidfd_send_signal"), LATE),
}
"""Files whose service has died, by the moment when a stranger got its id: before the command, or right before
a function is called. With it is what the commands return."""


def verdict(figures: Figures) -> tuple[bool, str]:
    """Whether the drill was passed, and what to say of it."""
    signalled = sum(row.signalled for row in figures.rows) + figures.hits
    if signalled:
        return False, f"FAILED: strangers got {signalled} signals"
    if blocked := sum(row.blocked for row in figures.rows):
        return False, f"FAILED: {blocked} starts did not get their file"
    if wrong := sum(row.wrong for row in figures.rows):
        return False, f"FAILED: {wrong} commands did not say that nothing runs"
    if set(figures.services) != {1}:
        return False, f"FAILED: starts at once did not give one service each time, but {figures.services}"
    if figures.failures:
        return False, f"FAILED: {figures.failures[0]}"
    if not figures.naive.signalled:
        return False, "FAILED: this proves nothing, the control has hit no stranger"
    return True, "Passed: no stranger got a signal, every start got its file, the control was found out"


def table(figures: Figures) -> str:
    """What was seen, in Markdown."""
    lines = [
        "| file | files | signals to strangers | commands that were wrong | starts that were blocked |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in (*figures.rows, figures.naive):
        lines.append(f"| {row.kind} | {row.files} | {row.signalled} | {row.wrong} | {row.blocked} |")
    if len(figures.rows) == len(KINDS):
        lines.append("\nIds that are used again were left out: there can be no pid namespace here.")
    lines.append(
        f"\n{len(figures.services)} times {STARTS} starts at once gave {sum(figures.services)} services; "
        f"{figures.hits} signals to strangers, {len(figures.failures)} commands that were wrong."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
