"""After a failover nobody goes on with the Redis that was the primary, neither with sessions nor with events.

    python -m torture.failover [--rounds N] [--redis-server PATH]

Two Redis servers stand behind one name: a proxy, as a provider has it. In each round the replica becomes the
primary, and the name leads to it. The other one becomes a replica without a primary, as behind a broken
network, and answers as before: the connections to it stay open, and what is written elsewhere never gets
there. A process from before, with a store and a broker, then has to leave it by itself. It

- reads a session that is ended right after the failover, and nothing else: until when does it find it?
- counts in the store: until when is that refused?
- sends events: until when are they acknowledged, and not heard by a process that was started afterwards? Is
  it told that it has missed some?

The control is a process whose checks are turned off. It must read the ended session to the end of the round,
and lose events without being told.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvloop
from redis.asyncio import Redis
from tests.support.limits import limits
from tests.support.servers import Server, free_port, redis
from tests.support.stores import make_session

from torture.drill import progress, run_drill
from torture.forward import Forward
from toto_aio import redis_connection
from toto_aio.brokers import redis_listener
from toto_aio.events import EventManager
from toto_aio.exceptions import Unavailable
from toto_aio.stores import Store, open_store

OURS = "toto_aio"
UNCHECKED = "control, no checks"
WINDOW = 15.0
"""Seconds of a round after the failover."""
STALE_LIMIT = 7.0
"""Seconds after which an ended session may not be found any more: the role is asked every 5 seconds."""
LOST_LIMIT = 12.0
"""Seconds after which each acknowledged event is heard: the role, or an echo, and then the connection."""
PAUSE = 0.01
"""Seconds between two events, two reads and two writes."""
NEVER = 10.0**6


@dataclass
class Round:
    """What became of one failover; the times are seconds since then."""

    stale: float = 0.0
    """When the ended session was found last."""
    refused: float = 0.0
    """When a write was refused last."""
    lost: float = 0.0
    """When the last event was sent that was acknowledged, and not heard."""
    sent: int = 0
    heard: int = 0
    told: bool = False
    """Whether the process from before knows that it has missed events."""


@dataclass
class Run:
    """The rounds of a process with or without the checks."""

    name: str
    rounds: list[Round] = field(default_factory=list)


def main() -> None:
    """Run the drill."""
    run_drill("failover", lambda: measure(**vars(read_options())), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="After a failover nobody goes on with the old primary.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="failovers; default %(default)s")
    parser.add_argument(
        "--redis-server", default="redis-server", metavar="PATH", help="another version of Redis"
    )
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


def measure(rounds: int, redis_server: str, window: float = WINDOW) -> list[Run]:
    """What becomes of a process, and of one without the checks."""
    runs = [Run(OURS), Run(UNCHECKED)]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        for run in runs:
            with unchecked() if run.name == UNCHECKED else ExitStack():
                loop.run(fail_over(run, rounds if run.name == OURS else 1, redis_server, window))
    return runs


@contextmanager
def unchecked() -> Any:
    """Turn off what finds out that a server is not the primary any more."""
    with limits(redis_connection, ROLE_INTERVAL=NEVER), limits(redis_listener, HEARTBEAT=NEVER):
        yield


async def fail_over(run: Run, rounds: int, redis_server: str, window: float, *, early: bool = False) -> None:
    """Let a primary and its replica take turns. ``early`` ends a round once the process has gone over."""
    options = {**redis.REPLICATES_AT_ONCE, "program": redis_server}
    with redis.server(**options) as one, redis.server(**options) as other:
        primary, replica = one, other
        async with Forward(one.port) as name:
            for number in range(rounds):
                await redis.follow(replica, primary)
                run.rounds.append(await one_round(name, primary, replica, window, early))
                primary, replica = replica, primary
                progress(f"{run.name}: failover {number + 1} of {rounds}: {run.rounds[-1]}")


async def one_round(name: Forward, primary: Server, replica: Server, window: float, early: bool) -> Round:
    """Fail over under a process from before, and watch it."""
    found, url = Round(), f"redis://127.0.0.1:{name.port}/0"
    async with AsyncExitStack() as stack:
        reader = await opened(stack, url)
        writer = await opened(stack, url)
        events = await stack.enter_async_context(EventManager(url))
        own = await stack.enter_async_context(events.subscribe("tick"))
        await reader.add_session(make_session("ended"))
        await asyncio.sleep(PAUSE)
        old: Any = Redis(port=primary.port)
        async with Redis(port=replica.port) as successor, old:
            await old.execute_command("WAIT", 1, 5000)
            await successor.replicaof("NO", "ONE")
            await old.replicaof("127.0.0.1", str(free_port()))  # where nobody is
        name.leads_to = replica.port
        begun = time.monotonic()
        later = await stack.enter_async_context(EventManager(url))
        heard: dict[int, float] = {}
        subscription = await stack.enter_async_context(later.subscribe("tick"))
        listening = asyncio.create_task(collect(subscription, heard))
        fresh = await opened(stack, url)
        await fresh.remove_session("ended")
        sent: dict[int, float] = {}
        is_over = False
        while not is_over:
            now = time.monotonic() - begun
            with suppress(Unavailable):
                if await reader.get_session("ended") is not None:
                    found.stale = now
            try:
                await writer.increment("count", 60)
            except Unavailable:
                found.refused = now
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(max(window - now, PAUSE)):
                    await events.send("tick", len(sent))
                    sent[len(sent)] = now
            await asyncio.sleep(PAUSE)
            is_over = time.monotonic() - begun > window or (early and own.missed > 0 and len(heard) > 0)
        await asyncio.sleep(min(1.0, window / 5))  # for the last ones
        listening.cancel()
        found.sent, found.heard = len(sent), len(heard)
        found.lost = max((when for number, when in sent.items() if number not in heard), default=0.0)
        found.told = own.missed > 0
    return found


async def opened(stack: AsyncExitStack, url: str) -> Store:
    """A store that is closed with the stack."""
    store = await open_store(url)
    stack.push_async_callback(store.close)
    return store


async def collect(subscription: Any, heard: dict[int, float]) -> None:
    """Keep what is heard."""
    async for number in subscription:
        heard[number] = time.monotonic()


def verdict(
    runs: Sequence[Run], stale_limit: float = STALE_LIMIT, lost_limit: float = LOST_LIMIT
) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    ours, control = runs
    for number, each in enumerate(ours.rounds, 1):
        if each.stale > stale_limit:
            return False, f"FAILED: failover {number}: an ended session was read after {each.stale:.1f} s"
        if each.refused > stale_limit:
            return False, f"FAILED: failover {number}: a write was refused after {each.refused:.1f} s"
        if each.lost > lost_limit:
            return False, f"FAILED: failover {number}: an event was lost after {each.lost:.1f} s"
        if not each.told or not each.heard:
            return False, f"FAILED: failover {number}: nobody was told of events that were missed"
    for each in control.rounds:
        if each.stale < stale_limit or each.lost < lost_limit or each.told:
            return False, "FAILED: this proves nothing, the control went over to the new primary by itself"
    return True, "Passed: nobody went on with the old primary, the control did"


def table(runs: Sequence[Run]) -> str:
    """The runs in Markdown."""
    lines = [
        "| process | failovers | ended session read for, s | writes refused for, s | events lost for, s "
        "| events sent, heard | told of the gap |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        worst = [
            f"{max(getattr(each, name) for each in run.rounds):.2f}" for name in ("stale", "refused", "lost")
        ]
        sent, heard, told = (
            sum(getattr(each, name) for each in run.rounds) for name in ("sent", "heard", "told")
        )
        lines.append(
            f"| {run.name} | {len(run.rounds)} | {' | '.join(worst)} | {sent:,}, {heard:,} "
            f"| {told} of {len(run.rounds)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
