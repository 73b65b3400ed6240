"""No pidfile, however old or wrong, makes a command signal a stranger or keeps a service from starting.

    python -m torture.pidfiles [--files N] [--rounds N]

The drill makes pidfiles with the ids of running strangers, which are its own processes that record each
signal they receive, and of dead ones; with garbage; empty; and files whose service has died and whose id now
belongs to a stranger: before a command reads the file, while it does, and after that but before it sends the
signal. ``status``, ``stop`` and ``restart --rolling`` are run on each file, by the functions that the command
line calls. They must signal no process and report that no service is running, and a start must get the file.

Then come rounds of real commands: several simultaneous ``start`` with an old file present, of which one must
serve while the others report that it does; and a master that is killed (KILL) while ``stop`` and
``restart --rolling`` run, with a stranger that gets its id as soon as it is free.

The control is what programs do all too often: read the id, send the signal. It must hit strangers. It is only
given files that name the drill's own strangers.

To choose the ids of its processes, the drill runs in its own pid namespace (pid_namespaces(7)), where it also
cannot hit any other process. If that is not possible, the files with reused ids are left out, and the table
says so.
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
from torture.services import ProcessHandle, environment
from torture.stale import KINDS
from torture.strangers import Forked, Stranger, stranger_with
from toto_aio.server import background
from toto_aio.server.pidfile import Pidfile
from toto_aio.settings import Settings
from toto_aio.settings.sources import Sources

INSIDE = "--inside"
"""The flag by which the drill knows that it is in the namespace."""
NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
WITH_INIT = ("sh", "-c", '"$@"; exit $?', "sh")
"""A shell that runs a command, and adopts processes whose parent has ended."""
STARTS = 3
"""The number of simultaneous starts."""
COMMAND_LIMIT = 120.0
"""Seconds within which a command must end."""
REPORT_EVERY = 250

EXPECTED = {"status": background.NOT_RUNNING, "stop": 0, "restart_rolling": background.NOT_RUNNING}
"""What each command returns if no service is running."""
ARGUMENTS = {"status": ["status"], "stop": ["stop"], "restart_rolling": ["restart", "--rolling"]}


@dataclass
class Row:
    """What was measured for one kind of file."""

    kind: str
    files: int = 0
    signalled: int = 0
    """Signals that strangers received."""
    wrong: int = 0
    """Commands that did not report that no service is running."""
    blocked: int = 0
    """Starts that did not get the file."""


@dataclass
class Figures:
    """All measurements."""

    rows: list[Row] = field(default_factory=list)
    naive: Row = field(default_factory=lambda: Row("control, read and kill"))
    services: list[int] = field(default_factory=list)
    """The number of services after some simultaneous starts."""
    failures: list[str] = field(default_factory=list)
    """Real commands that failed."""
    hits: int = 0
    """Signals that strangers received from real commands."""


def main() -> None:
    """Run the drill, in its own namespace if possible."""
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
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="No pidfile makes a command signal a stranger.")
    parser.add_argument("--files", type=int, default=1000, metavar="N", help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="default %(default)s")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.files < len(KINDS) + len(REUSED) or options.rounds < 1:
        parser.error(f"--files: at least {len(KINDS) + len(REUSED)}; --rounds: at least 1")
    return options


def namespace() -> Sequence[str]:
    """The command that runs another in its own pid namespace; empty if that is not possible."""
    for more in (["--user", "--map-root-user"], []):
        command = [*NAMESPACE, *more, *WITH_INIT]
        with suppress(OSError):
            if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:  # noqa: S603
                return command
    return []


def measure(files: int, rounds: int, *, inside: bool) -> Figures:
    """Try the files, and rounds of real commands; ``inside``: in a pid namespace."""
    figures = Figures([Row(kind) for kind in ({**KINDS, **REUSED} if inside else KINDS)])
    with tempfile.TemporaryDirectory() as folder, Stranger() as bystander:
        for number in range(files):
            row = figures.rows[number % len(figures.rows)]
            meet(row, Path(folder) / f"{number}.pid", bystander, number // len(figures.rows))
            if (number + 1) % REPORT_EVERY == 0:
                progress(f"{number + 1} of {files} files")
        for number in range(max(1, files // 100)):
            hit(figures.naive, Path(folder) / f"naive{number}.pid", bystander)
        for number in range(rounds):
            stranger = stranger_with if inside else lambda pid: Stranger()
            command_round(figures, Path(folder) / f"round{number}", bystander, number, stranger)
            progress(f"{number + 1} of {rounds} rounds of real commands")
    return figures


def meet(row: Row, path: Path, bystander: Stranger, number: int) -> None:
    """Run commands on a file, and then a start."""
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
    """Run a command on the file of a service that has died and whose id now belongs to a stranger."""
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
            raise Failure(f"{command} did not reach the moment when its service was to die")


def call(command: str, path: Path) -> int:
    """Run the function of a command; returns its status."""
    settings = Settings(pidfile=str(path), log_file=os.devnull, shutdown_timeout=1.0)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return background.COMMANDS[command](settings, Sources({}, None, {}))


def hold(path: Path, writing: int) -> None:
    """Hold a pidfile as a service does, until the end."""
    pidfile = Pidfile(path)
    os.write(writing, b"!")
    signal.sigwait(signal.valid_signals())
    pidfile.close()


@contextmanager
def just_before(module: Any, name: str, act: Callable[[], None]) -> Iterator[None]:
    """Do something immediately before a function of a module is called for the first time."""
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
    """Run the control on a file that names one of our strangers."""
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
    """Start several times with an old file present; then stop, or kill the service while others stop it."""
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
    """Start a real command."""
    return subprocess.Popen(  # noqa: S603  # this package
        [sys.executable, "-m", "toto_aio", *command, "--port=0", "--shutdown-timeout=2"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def expect(figures: Figures, commands: Sequence[subprocess.Popen[str]], statuses: list[int] | None) -> None:
    """Wait for commands, which may exit in any order, and with any status if ``statuses`` is None."""
    said = []
    for command in commands:
        try:
            said.append(command.communicate(timeout=COMMAND_LIMIT)[0])
        except subprocess.TimeoutExpired:
            command.kill()
            said.append(f"{command.communicate()[0]}, and it did not end")
            statuses = statuses or []
    found = sorted(command.returncode for command in commands)
    if statuses is not None and found != statuses:
        figures.failures.append(f"{commands[0].args!r} ended with {found}, not {statuses}: {said}")


def masters(folder: Path) -> list[int]:
    """The services that run in a folder: processes there whose parent is not there."""
    pids = in_folder(folder)
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
    return [pid for pid in pids if parents[pid] not in pids]


def in_folder(folder: Path) -> list[int]:
    """The processes whose working directory is the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "cwd") == str(folder.resolve()):
                found.append(int(process.name))
    return found


def end(pid: int) -> None:
    """Kill a process, and wait for its end."""
    with suppress(ProcessLookupError), ProcessHandle(pid) as victim:
        victim.send(signal.SIGKILL)
        deadline = time.monotonic() + COMMAND_LIMIT
        while not victim.is_gone() and time.monotonic() < deadline:
            time.sleep(0.001)


LATE = {"stop": 0, "restart_rolling": 1}
REUSED: dict[str, tuple[tuple[Any, str] | None, dict[str, int]]] = {
    "a reused id": (None, EXPECTED),
    "an id that is reused while a command reads": ((os, "pidfd_open"), EXPECTED),
    "an id that is reused before the signal": ((signal, "pidfd_send_signal"), LATE),
}
"""Files whose service has died, by the moment when a stranger gets its id: before the command, or immediately
before a function is called; and what the commands return."""


def verdict(figures: Figures) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    signalled = sum(row.signalled for row in figures.rows) + figures.hits
    if signalled:
        return False, f"FAILED: strangers got {signalled} signals"
    if blocked := sum(row.blocked for row in figures.rows):
        return False, f"FAILED: {blocked} starts did not get their file"
    if wrong := sum(row.wrong for row in figures.rows):
        return False, f"FAILED: {wrong} commands did not report that no service is running"
    if set(figures.services) != {1}:
        return False, f"FAILED: simultaneous starts did not always give one service, but {figures.services}"
    if figures.failures:
        return False, f"FAILED: {figures.failures[0]}"
    if not figures.naive.signalled:
        return False, "FAILED: this proves nothing, the control hit no stranger"
    return True, "Passed: no stranger got a signal, every start got its file, the control hit strangers"


def table(figures: Figures) -> str:
    """The measurements in Markdown."""
    lines = [
        "| file | files | signals to strangers | wrong commands | blocked starts |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in (*figures.rows, figures.naive):
        lines.append(f"| {row.kind} | {row.files} | {row.signalled} | {row.wrong} | {row.blocked} |")
    if len(figures.rows) == len(KINDS):
        lines.append("\nReused ids were left out: a pid namespace is not possible here.")
    lines.append(
        f"\n{len(figures.services)} times {STARTS} simultaneous starts: {sum(figures.services)} services; "
        f"{figures.hits} signals to strangers, {len(figures.failures)} wrong commands."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
