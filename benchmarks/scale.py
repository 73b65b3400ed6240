"""Whether a request costs the same for any number of sessions, methods, idle sockets and processes.

    python -m benchmarks.scale [--cycles N] [--seconds N]

Each service has more of one thing than the plain one that runs at the same time, with one worker and with
two. All workers share one core, so that their total time counts. The memory is measured too, and the cost of
an event in a process in which nobody waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.support.servers import redis

from benchmarks.figures import Goal, Report, markdown, ratio, spread
from benchmarks.harness import (
    BODY,
    DONE,
    PARAMETERS,
    Server,
    Slice,
    check,
    cost,
    costs,
    cpu_ns,
    family,
    in_turns,
    load,
    peer,
    pinned,
    print_table,
    progress,
    running,
    serving,
    toto_aio,
    two_cores,
)
from benchmarks.sessions import ECHO as WITH_SESSION
from benchmarks.sockets import more_files
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.brokers.redis import RedisBroker
from toto_aio.events.manager import EventManager
from toto_aio.models import Account
from toto_aio.settings import Settings
from toto_aio.stores import open_store

WORKERS = (1, 2)
FEW, MANY = 1000, 100_000
"""The number of sessions."""
SOCKETS = 10_000
PACKAGES, IN_PACKAGE = 100, 100
USERS = 1000
AT_ONCE = 200
"""Sessions that are created at the same time."""
EVENTS = 3000
FLAT = 1.1
"""The maximum cost, as a multiple of the plain service's."""
PLAIN, SESSIONS, METHODS, IDLE = "plain", f"{MANY:,} sessions", "10,000 methods", f"{SOCKETS:,} idle sockets"
ECHO = "async def invoke(handler, parameters):\n    return parameters\n"
SCRIPT = """local lines, requests = {{}}, {{}}
function init()
    math.randomseed(os.time())
    for line in io.lines("{given}") do
        lines[#lines + 1] = line
    end
    for i = 1, {sample} do
        local first, second = lines[math.random(#lines)]:match("(%S+) ?(%S*)")
        requests[i] = {each}
    end
end
function request()
    return requests[math.random(#requests)]
end
"""
SAMPLE = 1000
"""Requests that a slice chooses from, always the same number: more make wrk slower, and requests costlier."""
BY_SESSION = f"""wrk.format("POST", nil, {{["Content-Type"] = "application/json",
            ["x-toto-session-id"] = first, ["x-toto-hmac"] = second}}, [=[{BODY.replace("echo", "own")}]=])"""
BY_METHOD = f"""wrk.format("POST", nil, {{["Content-Type"] = "application/json"}},
            (([=[{BODY}]=]):gsub("echo", first)))"""


def run(options: argparse.Namespace) -> Report:
    """Measure each service, and compare it with the plain one."""
    more_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with pinned(two_cores()[1]):
            database = stack.enter_context(redis.server(appendonly="no", appendfsync="no"))
        few, many = redis.fresh_url(database), redis.fresh_url(database)
        progress(f"making {FEW + MANY:,} sessions")
        empty = private_kib([database.pid])
        scripts = {
            PLAIN: script(folder / "plain.lua", [method(n) for n in range(10)], BY_METHOD),
            SESSIONS: script(folder / "many.lua", asyncio.run(make_sessions(many, MANY)), BY_SESSION),
            METHODS: script(
                folder / "methods.lua", [method(n) for n in range(PACKAGES * IN_PACKAGE)], BY_METHOD
            ),
        }
        session_kib = (private_kib([database.pid]) - empty) / MANY
        scripts["few"] = script(folder / "few.lua", asyncio.run(make_sessions(few, FEW)), BY_SESSION)
        services: dict[str, Callable[[Path], list[str]]] = {}
        for workers in WORKERS:
            for what, url in ((PLAIN, few), (SESSIONS, many), (METHODS, few), (IDLE, few)):
                services[named(what, workers)] = partial(service, what, url, few, workers)
        progress(f"starting {len(services)} services")
        servers = stack.enter_context(serving(services))
        turns: dict[str, Callable[[], Slice]] = {}
        before = {name: memory(server) for name, server in servers.items()}
        for workers in WORKERS:
            plain, idle = servers[named(PLAIN, workers)], servers[named(IDLE, workers)]
            progress(f"opening {SOCKETS:,} sockets")
            clients = peer("idle_sockets.py", idle.url, str(SOCKETS))
            stack.enter_context(running("the clients", clients, folder / f"clients{workers}"))
            for name, server, of_what in (
                (named(PLAIN, workers), plain, PLAIN),
                (named(f"{FEW:,} sessions", workers), plain, "few"),
                (named(SESSIONS, workers), servers[named(SESSIONS, workers)], SESSIONS),
                (named(METHODS, workers), servers[named(METHODS, workers)], METHODS),
                (named(IDLE, workers), idle, PLAIN),
            ):
                check(server)
                turns[name] = partial(load, server, scripts[of_what], options.seconds)
                turns[name]()
        slices = in_turns(turns, options.cycles, cost, "CPU microseconds per request")
        after = {name: memory(server) for name, server in servers.items()}
        before_read = cpu_ns(database.pid)
        read = load(servers[named(SESSIONS, 1)], scripts[SESSIONS], options.seconds)
        redis_us = (cpu_ns(database.pid) - before_read) / 1000
        progress("sending events")
        heard, carried = asyncio.run(hear(few, servers[named(PLAIN, 1)], database.pid))
    listeners = sum(workers * len(services) // len(WORKERS) for workers in WORKERS) + 1
    calls = read.requests_per_second * options.seconds
    seen = [
        f"An event for which nobody waits here: {heard:.1f} CPU µs for each process.",
        f"Redis: {redis_us / calls:.1f} CPU µs for a call with a session, {session_kib:.2f} KiB for each;",
        f"{carried / listeners:.2f} CPU µs for an event and each process that hears it.",
    ]
    return report(slices, before, after, seen)


def service(what: str, url: str, events: str, workers: int, folder: Path) -> list[str]:
    """The command of a service that has more of something."""
    options = ["--processes", str(workers), "--events", events]
    command = toto_aio(folder, *options, methods={"echo": ECHO, "own": WITH_SESSION}, database=url)
    for number in range(PACKAGES * IN_PACKAGE if what == METHODS else 10):
        path = folder / "methods" / f"{method(number).replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(ECHO)
    return command


def method(number: int) -> str:
    """The name of a method."""
    return f"p{number // IN_PACKAGE:02}.m{number % IN_PACKAGE:02}"


def named(what: str, workers: int) -> str:
    """The label of a service in the table."""
    return f"{what}, {workers} worker{'s' * (workers > 1)}"


def script(path: Path, lines: list[str], each: str) -> Path:
    """A script for wrk that sends one of many requests at random."""
    given = path.with_suffix(".txt")
    given.write_text("".join(f"{line}\n" for line in lines))
    path.write_text(SCRIPT.format(given=given, each=each, sample=SAMPLE) + DONE)
    return path


async def make_sessions(url: str, count: int) -> list[str]:
    """The ids of new sessions, each with its user's signature."""
    store = await open_store(url)
    passwords = Passwords()
    sessions = Sessions(store, Accounts(store, passwords), Settings())
    body = BODY.replace("echo", "own").encode()
    lines = []
    for number in range(USERS):
        await store.add_account(Account(f"user{number}", None))
    for begun in range(0, count, AT_ONCE):
        users = [f"user{number % USERS}" for number in range(begun, begun + AT_ONCE)]
        for user, made in zip(users, await asyncio.gather(*map(sessions.create, users)), strict=True):
            signature = base64.b64encode(hmac.digest(user.encode(), body, "sha1")).decode()
            lines.append(f"{made.session_id} {signature}")
    passwords.close()
    await store.close()
    return lines


async def hear(url: str, server: Server, redis_pid: int) -> tuple[float, float]:
    """CPU microseconds of an event: in a process in which nobody waits for it, and in Redis."""
    manager = EventManager(RedisBroker(url))
    await manager.start()
    before = server.cpu_ns(), cpu_ns(redis_pid)
    for _ in range(EVENTS // AT_ONCE):
        await asyncio.gather(*(manager.send("nobody waits", PARAMETERS) for _ in range(AT_ONCE)))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    spent = server.cpu_ns() - before[0], cpu_ns(redis_pid) - before[1]
    await manager.close()
    return spent[0] / 1000 / EVENTS, spent[1] / 1000 / EVENTS


def memory(server: Server) -> float:
    """KiB of private memory of a service's processes."""
    return private_kib(family(server.pid))


def private_kib(pids: Iterable[int]) -> float:
    """KiB of private memory of processes."""
    texts = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    return float(
        sum(int(size) for text in texts for size in re.findall(r"^Private_\w+:\s+(\d+)", text, re.M))
    )


def report(
    slices: Mapping[str, list[Slice]],
    before: Mapping[str, float],
    after: Mapping[str, float],
    more: list[str],
) -> Report:
    """The table, and the other results."""
    spent = {name: costs(of_turn) for name, of_turn in slices.items()}
    rows, goals = [], []
    for name, values in spent.items():
        what, _, workers = name.rpartition(", ")
        base = f"{FEW:,} sessions" if what == SESSIONS else PLAIN
        times = ratio(values, spent[f"{base}, {workers}"])
        rows.append(
            [name, spread(values).shown(1), "" if what in (PLAIN, f"{FEW:,} sessions") else times.shown(2)]
        )
        if rows[-1][-1]:
            goals.append(Goal(9, f"times the cost of few: {name}", FLAT, times, at_most=True))
    sockets = after[named(IDLE, 1)] - before[named(IDLE, 1)]
    plain = after[named(PLAIN, 1)] - before[named(PLAIN, 1)]
    many, few = before[named(METHODS, 1)], before[named(PLAIN, 1)]
    loaded = after[named(PLAIN, 1)]
    seen = [
        f"A process: {few / 1024:.0f} MiB of its own at the start, {loaded / 1024:.0f} after the load.",
        f"An idle socket: {(sockets - plain) / SOCKETS:.1f} KiB.",
        f"A method: {(many - few) / (PACKAGES * IN_PACKAGE):.1f} KiB.",
        *more,
    ]
    return Report(
        "scale",
        "CPU µs per request by what there is, median and quartiles",
        {name: spread(values) for name, values in spent.items()},
        markdown(["", "CPU µs per request", "times the cost of few"], rows) + "\n\n" + "\n".join(seen),
        goals,
    )


if __name__ == "__main__":
    print_table(run, "The cost of a request by what there is.")
