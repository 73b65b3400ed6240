"""No message of a channel is lost or comes twice, through all that can happen, unless the client is told.

    python -m torture.channels [--messages N] [--kills N] [--restarts N] [--cuts N] [--processes N]

Clients publish to the channels of a real service of several processes, and repeat what has no answer with its
idempotency key. Others subscribe and stay, through a proxy, half of them with toto_aio's client and half with
``centrifuge-python``. Meanwhile, one after the other,

- Redis is killed and started again, with AOF, and without, so that it has only a snapshot from before,
- the service is restarted (HUP),
- connections are cut: those of clients to the service, and those of the service to Redis.

Every subscriber must get each message that was acknowledged, once, with consecutive offsets, or be told that
something is missing; and it must not be told unless Redis was killed. There are two controls. In one the
service doesn't look at which run of Redis it talks to, and numbers that a killed Redis has forgotten are
given again. In the other clients take no notice of what they have missed. Messages must be lost or come twice
in both.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from tests.support.limits import limits
from tests.support.servers import Server, redis

from torture.drill import Failure, progress, read_sizes, run_drill, workshop
from torture.forward import Forward
from torture.ledger import totals
from torture.services import Service, serving, until
from torture.subscribers import Forgets
from torture.talk import LIMIT, METHODS, MOVED, Talk
from toto_aio.client import client as client_module

SIZES = {
    "messages": (100_000, 100),
    "kills": (20, 1),
    "restarts": (20, 1),
    "cuts": (100, 1),
    "processes": (4, 2),
}

ANY_RUN = """
from toto_aio import redis_connection

redis_connection.read_run_id = lambda sections: b"any"
"""
"""Makes a service the first control."""


@dataclass(frozen=True)
class Plan:
    """What happens to a service."""

    name: str
    messages: int
    kills: int = 0
    restarts: int = 0
    cuts: int = 0
    aof: bool = True
    any_run: bool = False
    """Whether the service is the first control."""
    forgets: bool = False
    """Whether the clients are the second one."""

    @property
    def is_control(self) -> bool:
        """Whether something has to be found."""
        return self.any_run or self.forgets


@dataclass
class Run:
    """What became of a plan."""

    plan: Plan
    acknowledged: int = 0
    repeats: int = 0
    kills: int = 0
    restarts: int = 0
    cuts: int = 0
    received: int = 0
    told: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0


def main() -> None:
    """Run the drill."""
    run_drill("channels", lambda: measure(**vars(read_options())), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    return read_sizes("No message of a channel is lost or comes twice.", SIZES, arguments)


def measure(messages: int, kills: int, restarts: int, cuts: int, processes: int) -> list[Run]:
    """What becomes of the messages, and of those of the controls."""
    each, half = -(-messages // 4), -(-kills // 2)
    plans = [
        Plan("kills of Redis, with AOF", each, kills=half),
        Plan("kills of Redis, without", each, kills=half, aof=False),
        Plan("rolling restarts", each, restarts=restarts),
        Plan("cut connections", each, cuts=cuts),
    ]
    few = max(MOVED, messages // 40)
    plans.append(Plan("control, any run of Redis", few, kills=2, aof=False, any_run=True))
    plans.append(Plan("control, clients that forget", few, restarts=1, cuts=20, forgets=True))
    with workshop() as (folder, loop):
        runs = []
        for number, plan in enumerate(plans):
            (place := folder / str(number)).mkdir()
            try:
                runs.append(loop.run(disturbed(plan, place, processes)))
            except BaseExceptionGroup as group:
                raise Failure(f"{plan.name}: {group.exceptions[0]}") from group
        return runs


async def disturbed(plan: Plan, folder: Path, processes: int) -> Run:
    """Run a service, have clients publish and subscribe, and disturb all of them."""
    run, begun = Run(plan), time.monotonic()
    options = {"appendonly": "yes" if plan.aof else "no", "appendfsync": "everysec"}
    with redis.server(**options) as server:
        async with AsyncExitStack() as stack:
            to_redis = await stack.enter_async_context(Forward(server.port))
            methods = {"rooms": METHODS, "__init__": ANY_RUN if plan.any_run else ""}
            events = f"--events=redis://127.0.0.1:{to_redis.port}/0"
            starting = serving(folder, methods, f"--processes={processes}", events, "--root=/")
            service = await asyncio.to_thread(starting.__enter__)  # its connections to Redis go through here
            stack.push_async_callback(asyncio.to_thread, starting.__exit__, None, None, None)
            await until(lambda: len(service.workers()) == processes, LIMIT, "the start of all workers")
            to_service = await stack.enter_async_context(Forward(service.port))
            if plan.forgets:
                stack.enter_context(limits(client_module, ClientSubscription=Forgets))
            talk = Talk(service.port)
            async with talk.between(to_service.port):
                await disturb(run, talk, Disturbances(run, talk, service, server, to_service, to_redis))
    run.acknowledged, run.repeats = talk.acknowledged, talk.repeats
    for name, count in totals(talk.readings).items():
        setattr(run, name, count)
    run.seconds = time.monotonic() - begun
    progress(f"{plan.name}: {run.acknowledged:,} messages, {run.lost} lost, {run.doubled} twice")
    return run


async def disturb(run: Run, talk: Talk, disturbances: Disturbances) -> None:
    """Disturb while messages are published, at equal distances."""
    plan = run.plan
    todo = [disturbances.kill] * plan.kills + [disturbances.restart] * plan.restarts
    todo += [disturbances.cut] * plan.cuts
    random.shuffle(todo)
    for number, work in enumerate(todo):
        due = max(plan.messages * (2 * number + 1) // (2 * len(todo)), talk.acknowledged + MOVED)
        await talk.reaches(due)
        await work()
    await talk.reaches(plan.messages)


class Disturbances:
    """What is done to a service, its clients and its Redis; each returns when it is over."""

    def __init__(
        self, run: Run, talk: Talk, service: Service, server: Server, to_service: Forward, to_redis: Forward
    ) -> None:
        self._run = run
        self._talk = talk
        self._service = service
        self._server = server
        self._forwards = (to_service, to_redis)

    async def kill(self) -> None:
        """Kill Redis, and start it again; without AOF it then knows what it was some messages ago."""
        if not self._run.plan.aof:
            async with Redis(port=self._server.port) as admin:
                await admin.save()
            await self._talk.moves()
        told = [each.told for each in self._talk.readings]
        self._server.kill()
        await asyncio.sleep(random.uniform(0, 1))  # noqa: S311  # no secret
        await asyncio.to_thread(self._server.start)
        self._run.kills += 1
        await self._talk.moves()
        if not self._run.plan.any_run:
            await until(
                lambda: all(each.told > n for each, n in zip(self._talk.readings, told, strict=True)),
                LIMIT,
                "that all subscribers were told",
            )

    async def restart(self) -> None:
        """Restart the service, one process after the other."""
        old = self._service.workers()

        def is_over() -> bool:
            new = self._service.workers()
            return len(new) == len(old) and not new & old

        self._service.send(signal.SIGHUP)
        await until(is_over, LIMIT, "a restart")
        self._run.restarts += 1
        await self._talk.moves()

    async def cut(self) -> None:
        """Cut a connection, of clients or to Redis in turns."""
        forward = self._forwards[self._run.cuts % 2]
        await until(forward.cut, LIMIT, "a connection")
        self._run.cuts += 1


def verdict(runs: Sequence[Run]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    for run in runs:
        plan = run.plan
        if plan.is_control:
            continue
        done = (run.kills, run.restarts, run.cuts)
        if done != (plan.kills, plan.restarts, plan.cuts) or run.acknowledged < plan.messages:
            return False, f"FAILED: {plan.name}: not all has happened"
        if run.lost or run.doubled:
            return False, f"FAILED: {plan.name}: {run.lost} messages lost, {run.doubled} twice"
        if run.told and not plan.kills:
            return False, f"FAILED: {plan.name}: {run.told} times told of a loss, and there was none"
    for run in runs:
        # Positions that are given twice lose messages or repeat them, as the moment of the kill has it.
        if run.plan.is_control and not (run.lost or run.doubled):
            return False, f"FAILED: this proves nothing, {run.plan.name}: nothing lost, nothing twice"
    return (
        True,
        "Passed: no message was lost or came twice, unless the client was told; the controls were found out",
    )


def table(runs: Sequence[Run]) -> str:
    """The figures of all runs."""
    names = ("messages", "kills", "restarts", "cuts", "repeats", "received", "told", "lost", "twice", "s")
    rows = ["| run | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for run in runs:
        counts = (
            *(run.acknowledged, run.kills, run.restarts, run.cuts, run.repeats),
            *(run.received, run.told, run.lost, run.doubled),
        )
        rows.append(
            f"| {run.plan.name} | {' | '.join(f'{count:,}' for count in counts)} | {run.seconds:.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
