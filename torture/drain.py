"""TERM ends a service within ``shutdown_timeout``, whatever it is doing, and loses no response needlessly.

    python -m torture.drain [--clients N]

Clients bring a real service into a state and its process receives TERM. Then the drill measures how long it
takes until all processes have ended, and what each client gets. Each state is tried with one process and with
a master of two workers. Two states need their own server, a PostgreSQL and a Redis, which is frozen (STOP)
before.

A service that is cut off because its event loop or a thread is busy logs that, and exits with status 1 if it
is a single process; a master has done what it was asked to do, and exits with 0.

The control is the same service in aiohttp's own ``web.run_app``, with the same ``shutdown_timeout``: a method
that blocks the event loop must keep it running for longer.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import uvloop
from tests.support.servers import Server, free_port, postgresql, redis

from torture.drill import Failure, progress, run_drill
from torture.services import SERVE, running, serving, until
from torture.states import (
    ANSWERED,
    CUT_OFF,
    METHODS,
    REFUSED,
    STOPPING,
    TOLD_TO_CLOSE,
    Client,
    Target,
    call,
    call_and_another,
    half_a_request,
    idle,
    log_in,
    newcomer,
    one_after_the_other,
    slow_reader,
    socket,
)

SHUTDOWN_TIMEOUT = 5.0
LONG = 600.0
"""Seconds of a call that takes too long."""
SHORT, MEDIUM = 0.2, 0.4
"""Parts of ``shutdown_timeout`` within which a call completes: while connections are drained, and after."""
CLIENTS = 5
READY_LIMIT = 30.0
"""Seconds within which clients must bring a service into a state."""
SETTLE = 0.2
"""Seconds until a request that leaves no mark has certainly arrived where it waits."""
LAST_WORD = 5.0
"""Seconds after the end of a service within which its clients must have noticed it."""
UNAVAILABLE = "error 1011"
OWN_FAILURE = "error 1000"
"""The error if a method does not handle an exception of the driver."""
GONE_AWAY = "1001"

ALL_AT_ONCE = "most of these together"
BLOCKED = "a blocked event loop"

OURS = "toto_aio"
RUN_APP = "control, web.run_app"
SCRIPT = """
import sys
from aiohttp import web
from toto_aio import create_app
web.run_app(create_app(), host="127.0.0.1", port=int(sys.argv[1]), shutdown_timeout=float(sys.argv[2]))
"""
SERVERS: Mapping[str, ModuleType] = {"database": postgresql, "events": redis}
"""The server that an option names."""


@dataclass(frozen=True)
class State:
    """What a service is doing when it is stopped."""

    clients: Sequence[tuple[Client, set[str]]] = ()
    """Its clients, each of them several times, and what each may get."""
    once: Sequence[tuple[Client, set[str]]] = ()
    """Clients that exist only once."""
    frozen: str = ""
    """The option whose server is frozen."""
    busy: bool = False
    """Whether it cannot end by itself."""


@dataclass
class Result:
    """What was measured of a service in a state."""

    service: str
    state: str
    processes: int
    limit: float
    seconds: float = math.inf
    """From TERM until all processes had ended."""
    status: int | None = None
    got: Counter[str] = field(default_factory=Counter)
    """What clients got."""
    wrong: Counter[str] = field(default_factory=Counter)
    """The part of ``got`` that they should not have got."""

    @property
    def in_time(self) -> bool:
        """Whether it ended within its limit."""
        return self.seconds <= self.limit


def states(limit: float) -> dict[str, State]:
    """The states to try, for a limit in seconds."""
    answered = [
        (call("wait", seconds=SHORT * limit), {ANSWERED}),
        (call("wait", seconds=MEDIUM * limit), {ANSWERED}),
    ]
    long = [(call("wait", seconds=LONG), {UNAVAILABLE, CUT_OFF})]
    polls = [(call("poll"), {UNAVAILABLE})]
    kept: list[tuple[Client, set[str]]] = [
        (idle, {CUT_OFF}),
        (one_after_the_other, {TOLD_TO_CLOSE}),
        (call_and_another(SHORT * limit), {TOLD_TO_CLOSE}),
        (call_and_another(MEDIUM * limit), {TOLD_TO_CLOSE}),
    ]
    sockets = [
        (socket(), {GONE_AWAY}),
        (socket("wait", seconds=SHORT * limit), {GONE_AWAY}),
        (socket("wait", seconds=LONG), {GONE_AWAY}),
    ]
    thread = [(call("thread", seconds=SHORT * limit), {ANSWERED})]
    slow: list[tuple[Client, set[str]]] = [
        (slow_reader, {CUT_OFF}),
        (half_a_request, {CUT_OFF, "error 1003"}),
    ]
    database = [
        (call("who", marks=False), {UNAVAILABLE, CUT_OFF}),
        (call("query"), {OWN_FAILURE, CUT_OFF}),
    ]
    events = [(call("tell"), {UNAVAILABLE, CUT_OFF}), *polls]
    return {
        "nothing": State(),
        "calls that complete in time": State(answered),
        "calls that take too long": State(long),
        "long polls": State(polls),
        "kept-alive connections": State(kept),
        "WebSockets": State(sockets),
        "threads that end in time": State(thread),
        "threads that sleep for too long": State(
            [(call("thread", seconds=LONG), {UNAVAILABLE, CUT_OFF})], busy=True
        ),
        BLOCKED: State(once=[(call("block", seconds=LONG), {CUT_OFF})], busy=True),
        "stalled clients": State(slow),
        "clients that connect too late": State([(newcomer, {REFUSED})]),
        "a frozen PostgreSQL": State(database, frozen="database"),
        "a frozen Redis": State(events, frozen="events"),
        ALL_AT_ONCE: State([*answered, *long, *polls, *kept, *sockets, *thread, *slow]),
    }


def main() -> None:
    """Run the drill."""
    run_drill("drain", lambda: measure(plan(), read_options().clients), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="TERM ends a service in time, whatever it is doing.")
    parser.add_argument(
        "--clients", type=int, default=CLIENTS, metavar="N", help="of a kind; default %(default)s"
    )
    options = parser.parse_args(arguments)
    if options.clients < 1:
        parser.error("--clients: at least 1")
    return options


def plan(limit: float = SHUTDOWN_TIMEOUT) -> list[Result]:
    """The results to be measured: each state with one process and with two, and the control."""
    ours = [Result(OURS, name, processes, limit) for name in states(limit) for processes in (1, 2)]
    return [*ours, Result(RUN_APP, BLOCKED, 1, limit)]


def measure(results: Sequence[Result], clients: int, *, at_once: bool = False) -> Sequence[Result]:
    """Measure what is planned, one after another or all ``at_once``."""
    with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        frozen = {states(1)[result.state].frozen for result in results} - {""}
        servers = {option: stack.enter_context(SERVERS[option].server()) for option in frozen}
        ends = [
            end(result, states(result.limit)[result.state], clients, folder / str(number), servers)
            for number, result in enumerate(results)
        ]
        loop.run(run(ends, at_once=at_once))
    return results


async def run(ends: Sequence[Coroutine[Any, Any, None]], *, at_once: bool) -> None:
    """Run the measurements."""
    if at_once:
        await asyncio.gather(*ends)
    else:
        for each in ends:
            await each


async def end(
    result: Result, state: State, clients: int, folder: Path, servers: Mapping[str, Server]
) -> None:
    """Bring a service into a state, stop it, and wait for its end."""
    options = [f"--shutdown-timeout={result.limit}", f"--processes={result.processes}"]
    command: Sequence[str] = SERVE
    if state.frozen:
        options.append(f"--{state.frozen}={SERVERS[state.frozen].fresh_url(servers[state.frozen])}")
    if result.service == RUN_APP:
        command, options = [sys.executable, "-uc", SCRIPT], [str(free_port()), str(result.limit)]
    with ExitStack() as stack:
        started = serving(folder, METHODS, *options, command=command)
        service = await asyncio.to_thread(stack.enter_context, started)
        target = Target(service.port)
        target.session = await log_in(target)
        if state.frozen:
            servers[state.frozen].freeze()
            stack.callback(servers[state.frozen].thaw)
        wanted = [*state.clients] * clients + [*state.once]
        tasks = [asyncio.create_task(client(target), name="client") for client, _ in wanted]
        marks = folder / "marks"

        def is_ready() -> bool:
            for task in tasks:
                if task.done():
                    raise Failure(f"a client has ended too early: {task.result()}")
            made = marks.stat().st_size if marks.exists() else 0
            return target.ready == len(tasks) and made >= target.marks

        await until(is_ready, READY_LIMIT, f"{result.state} ({service.log.read_text()})")
        await asyncio.sleep(SETTLE)
        with ExitStack() as workers:
            left = [workers.enter_context(victim) for victim in running(service.workers())]
            (folder / STOPPING).touch()
            begun = time.monotonic()
            service.send(signal.SIGTERM)
            target.stopping.set()
            try:
                await until(
                    lambda: service.process.poll() is not None and all(victim.is_gone() for victim in left),
                    2 * result.limit,
                    "the end",
                )
                result.seconds = time.monotonic() - begun
            except Failure:
                service.process.kill()
            result.status = service.process.wait()
        target.stopped.set()
        done, late = await asyncio.wait(tasks, timeout=LAST_WORD) if tasks else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task, (_, expected) in zip(tasks, wanted, strict=True):
            got = task.result() if task in done else "NOTHING"
            result.got[got] += 1
            result.wrong[got] += got not in expected
    progress(f"{result.service}, {result.state}, processes {result.processes}: {result.seconds:.2f} s")


def verdict(results: Sequence[Result]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    for result in results:
        name = f"{result.state}, {result.processes} process{'es' * (result.processes > 1)}"
        if result.service == RUN_APP:
            continue
        if not result.in_time:
            return False, f"FAILED: the shutdown took {result.seconds:.2f} s: {name}"
        if result.wrong.total():
            return False, f"FAILED: clients got {shown(+result.wrong)}: {name}"
        if result.status != (1 if states(1)[result.state].busy and result.processes == 1 else 0):
            return False, f"FAILED: the exit status was {result.status}: {name}"
    if any(result.in_time for result in results if result.service == RUN_APP):
        return False, "FAILED: this proves nothing, the control ended in time"
    return True, "Passed: every shutdown was in time, no response was lost needlessly, the control was late"


def table(results: Sequence[Result]) -> str:
    """The results in Markdown."""
    lines = [
        "| service | state | processes | limit s | seconds | status | what clients got |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        seconds = "never" if math.isinf(result.seconds) else f"{result.seconds:.2f}"
        lines.append(
            f"| {result.service} | {result.state} | {result.processes} | {result.limit:g} | {seconds} "
            f"| {result.status} | {shown(result.got)} |"
        )
    return "\n".join(lines)


def shown(got: Counter[str]) -> str:
    """What clients got, in words."""
    return ", ".join(f"{count} {what}" for what, count in sorted(got.items())) or "-"


if __name__ == "__main__":
    main()
