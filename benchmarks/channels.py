"""What publishing to a channel costs, how soon it reaches 1,000 subscribers, and the memory of channels.

    python -m benchmarks.channels [--cycles N] [--seconds N]

A Redis of its own is started, as in the tests. Messages have 200 bytes and a channel keeps 100. What reaches
1,000 sockets is published in a service with ``memory://``, beside an event. README.md describes how it is
measured.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import uvloop

from benchmarks.channel_memory import memory
from benchmarks.figures import Goal, Report, markdown, ratio, spread
from benchmarks.harness import (
    Failure,
    Server,
    command_line,
    in_turns,
    pinned,
    serving,
    toto_aio,
    two_cores,
)
from benchmarks.sockets import LISTENERS, Client, event, events, fan_out, frame, more_files
from benchmarks.sockets import METHODS as EVENT_METHODS

PAYLOAD = b"x" * 200
CONCURRENT = 100
MISSED = 100

EVENT = "an event"
CHANNELS = {"a publication": "plain:1", "a publication with history": "room:1"}
PUBLISH = """from toto_aio.invocation import channel, method

@channel("{name}:{{number}}"{rules})
async def join(number: str):
    return None

@method
async def invoke(handler, parameters):
    await handler.events.publish("{name}:1", parameters["args"])
    return parameters
"""
METHODS = {
    **EVENT_METHODS,
    "plain": PUBLISH.format(name="plain", rules=""),
    "room": PUBLISH.format(name="room", rules=", history=100"),
}

Work = Callable[[], Awaitable[object]]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    print(run(command_line(parser)).table)


def run(options: argparse.Namespace) -> Report:
    """Messages per second, and milliseconds until 100 missed ones are read."""
    from tests.support.servers import redis

    with pinned(two_cores()[1]):
        server = redis.server(appendonly="no").__enter__()
    try:
        rates, waits = asyncio.run(_measure(redis.fresh_url(server), options.cycles, options.seconds))
        taken = asyncio.run(memory(redis.fresh_url(server)))
    finally:
        server.__exit__()
    pipelined, alone = f"{CONCURRENT} at once", "one at a time"
    rows = [[name, f"{spread(found).shown(0)}"] for name, found in rates.items()]
    goals = [
        Goal(
            10,
            f"of plain PUBLISH, with history, {way}",
            bound,
            ratio(rates[f"history, {way}"], rates[f"plain, {way}"]),
        )
        for way, bound in ((pipelined, 0.3), (alone, 0.6))
    ]
    waited = spread(waits)
    goals.append(Goal(10, f"ms to read {MISSED} missed messages", 10, waited, at_most=True))
    reached = _fan_out(options.cycles)
    rows += [
        [f"ms until {name} has reached {LISTENERS} sockets", spread(of).shown(2)]
        for name, of in reached.items()
    ]
    goals += [
        Goal(
            10,
            f"of an event's ms, {name} to {LISTENERS} sockets",
            1.1,
            ratio(of, reached[EVENT]),
            at_most=True,
        )
        for name, of in reached.items()
        if name != EVENT
    ]
    rows += [[goal.text, goal.measured.shown(2)] for goal in goals]
    rows += [[name, f"{here:.0f} bytes in the process, {there:.0f} in Redis"] for name, here, there in taken]
    return Report(
        "channels",
        "Messages per second over Redis",
        {name: spread(found) for name, found in rates.items()},
        markdown(["case", "messages/s, or as said"], rows),
        goals,
        digits=0,
    )


def _fan_out(cycles: int) -> dict[str, list[float]]:
    """Milliseconds until an event, and publications with and without a history, have reached many sockets."""
    more_files()
    with (
        serving({"toto_aio": partial(toto_aio, methods=METHODS)}) as servers,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
    ):
        server = servers["toto_aio"]
        turns = {EVENT: lambda: loop.run(events(server))}
        for name, channel in CHANNELS.items():
            turns[name] = partial(lambda channel: loop.run(_publications(server, channel)), channel)
        return in_turns(turns, cycles, "{:.1f}".format)


async def _publications(server: Server, channel: str) -> float:
    def listen(client: Client) -> Awaitable[bytes]:
        arrived = client.next_bytes(1)
        client.transport.write(frame({"id": 1, "subscribe": channel}))
        return arrived

    def message(number: int) -> dict[str, Any]:
        offset = {"offset": number + 1} if channel.startswith("room") else {}
        return {"channel": channel, "data": event(number), **offset}

    return await fan_out(server, listen, channel.partition(":")[0], message)


async def _measure(url: str, cycles: int, seconds: int) -> tuple[dict[str, list[float]], list[float]]:
    from toto_aio.brokers import Receiver
    from toto_aio.brokers.redis import RedisBroker
    from toto_aio.channels import Channel, Position

    rules = Channel("room:{room}", history=MISSED)
    broker = RedisBroker(url)
    await broker.start(Receiver(lambda payload: None))
    link = broker._sender
    cases: dict[str, tuple[Work, int]] = {
        f"plain, {CONCURRENT} at once": (lambda: link.call("PUBLISH", "plain", PAYLOAD), CONCURRENT),
        f"history, {CONCURRENT} at once": (
            lambda: broker.publish_to("room:1", PAYLOAD, rules, ""),
            CONCURRENT,
        ),
        "plain, one at a time": (lambda: link.call("PUBLISH", "plain", PAYLOAD), 1),
        "history, one at a time": (lambda: broker.publish_to("room:1", PAYLOAD, rules, ""), 1),
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    waits: list[float] = []
    for _ in range(cycles):
        for name, (work, at_once) in cases.items():
            rates[name].append(await _rate(work, at_once, seconds))
        now = (await broker.read("room:1", rules, None)).position
        since = Position(now.epoch, now.offset - MISSED)
        for _ in range(20):
            start = time.perf_counter()
            stretch = await broker.read("room:1", rules, since)
            waits.append((time.perf_counter() - start) * 1000)
            if stretch.payloads is None or len(stretch.payloads) != MISSED:
                raise Failure("what was missed is not all there")
    await broker.close()
    return rates, waits


async def _rate(work: Work, at_once: int, seconds: int) -> float:
    """How often work is done in a second, by so many tasks."""
    count = 0
    end = time.perf_counter() + seconds

    async def repeat() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await work()
            count += 1

    start = time.perf_counter()
    await asyncio.gather(*(repeat() for _ in range(at_once)))
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
