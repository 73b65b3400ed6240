"""Events between real processes, and between apps, over one Redis: a missed event is always reported."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import tests.support.servers.redis
from tests.support.limits import PATIENCE, WATCHDOG, publish_limit
from tests.support.service import Serve, eventually
from toto_aio.brokers import open_broker
from toto_aio.events.manager import EventManager

PRELUDE = """
import asyncio
import sys

from toto_aio.brokers import open_broker
from toto_aio.events.manager import EventManager


def say(*words):
    print(*words, flush=True)


async def ready():
    say("ready")
    return await word()


async def word():
    return (await asyncio.to_thread(sys.stdin.readline)).strip()


async def main():
    number = int(sys.argv[2])
    events = EventManager(open_broker(sys.argv[1]))
    await events.start()
    {body}
    await events.close()


asyncio.run(main())
"""
COUNT = 4


@asynccontextmanager
async def processes(tmp_path: Path, url: str, body: str) -> AsyncIterator[list[Process]]:
    """Four processes that run ``body`` and have reached its ``ready``; killed at the end."""
    script = tmp_path / "script.py"
    script.write_text(PRELUDE.format(body="\n    ".join(body.strip().splitlines())))
    command = [sys.executable, "-W", "error", str(script), url]
    started: list[Process] = []
    try:
        for number in range(COUNT):
            started.append(
                await asyncio.create_subprocess_exec(*command, str(number), stdin=PIPE, stdout=PIPE)
            )
        for process in started:
            assert await line(process) == "ready"
        yield started
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def line(process: Process) -> str:
    """The next line that a process writes."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):  # two hundred rounds of four processes take seconds alone
        return (await process.stdout.readline()).decode().strip()


def tell(process: Process, word: str = "go") -> None:
    """Send a line to a process."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n".encode())


@asynccontextmanager
async def manager(url: str) -> AsyncIterator[EventManager]:
    """A manager in the test's process."""
    broker = open_broker(url)
    assert broker is not None
    events = EventManager(broker)
    await events.start()
    yield events
    await events.close()


# Four processes


async def test_two_hundred_rounds_lose_none(tmp_path: Path, redis_url: str) -> None:
    """In each round three processes wait, with a handler or a subscription, for what the fourth sends."""
    body = """
missed = []


async def take_part(turn):
    if turn % 4 != number:
        await events.send("waiting", [number, turn])
        return
    others = 0
    while others < 3:
        others += (await anext(waiting))[1] == turn
    await events.send("go", turn)


async with events.subscribe("waiting", on_lagged=missed.append) as waiting:
    await ready()
    for turn in range(200):
        if (turn + number) % 2:
            answer = asyncio.get_running_loop().create_future()
            events.register_handler("go", answer.set_result)
            await take_part(turn)
            assert await answer == turn
        else:
            async with events.subscribe("go", on_lagged=missed.append) as go:
                await take_part(turn)
                assert await anext(go) == turn
say("done", *missed)
"""
    async with processes(tmp_path, redis_url, body) as started:
        for process in started:
            tell(process)
        async with asyncio.timeout(PATIENCE):
            finished = [
                (await process.stdout.readline()).decode().strip() for process in started if process.stdout
            ]
        assert finished == ["done"] * COUNT


async def test_a_kill_of_redis(tmp_path: Path) -> None:
    """All hear events again, and each was told that it missed some."""
    body = """
async def read():
    async with events.subscribe("tick", on_lagged=lambda count: say("lagged", count)) as ticks:
        async for args in ticks:
            say("tick", args)


reading = asyncio.create_task(read())
await asyncio.sleep(0)
tick = await ready()
while tick:
    await events.send("tick", tick)
    tick = await word()
"""
    with tests.support.servers.redis.server() as server:
        async with processes(tmp_path, tests.support.servers.redis.fresh_url(server), body) as started:
            tell(started[0], "before")
            assert [await line(process) for process in started] == ["tick before"] * COUNT
            server.kill()
            server.start()
            assert [await line(process) for process in started] == ["lagged 1"] * COUNT
            for sender in started:
                tell(sender, "after")
                assert [await line(process) for process in started] == ["tick after"] * COUNT
            for process in started:
                tell(process, "")
            assert [await line(process) for process in started] == [""] * COUNT


async def test_one_living_process_gets_it(tmp_path: Path, redis_url: str) -> None:
    """Neither a frozen process nor a killed one gets it; thawed, it finds that others have them all."""
    body = """
events.register_handler("job", lambda args: say("job", args), persist=True)
await asyncio.sleep(0)
await ready()
"""
    async with processes(tmp_path, redis_url, body) as started, manager(redis_url) as events:
        frozen, killed, *living = started
        frozen.send_signal(signal.SIGSTOP)
        killed.kill()
        for number in range(50):
            await events.send("job", number, broadcast=False)
        jobs: list[str] = []

        async def read(process: Process) -> None:
            while job := await line(process):
                jobs.append(job)

        reading = [asyncio.create_task(read(process)) for process in living]
        await eventually(lambda: len(jobs) >= 50)
        await asyncio.sleep(0.2)  # in which more could come
        for process in living:
            tell(process)
        await asyncio.gather(*reading)
        assert sorted(jobs) == sorted(f"job {number}" for number in range(50))
        frozen.send_signal(signal.SIGCONT)
        tell(frozen)
        assert (await frozen.communicate())[0] == b""


# Several apps


async def test_two_apps_in_one_process(serve: Serve, redis_url: str) -> None:
    """Each receives what the other sends, and an event for only one of them reaches one."""
    heard: list[tuple[str, Any]] = []

    def app(name: str) -> dict[str, Any]:
        async def send(handler: Any, parameters: dict[str, Any]) -> bool:
            await EventManager.instance().send("news", parameters, broadcast=parameters["to_all"])
            return EventManager.instance() is handler.events

        def init(events: EventManager) -> None:
            events.register_handler("news", lambda args: heard.append((name, args["n"])), persist=True)

        return {"methods": {"send": send}, "events": redis_url, "event_init_module": init}

    services = [await serve(**app(name)) for name in ("one", "other")]
    for n, service in enumerate(services):
        assert await service.result("send", {"n": n, "to_all": True}) is True
    await eventually(lambda: len(heard) >= 4)
    await asyncio.sleep(0.1)  # in which more could come
    assert sorted(heard) == [("one", 0), ("one", 1), ("other", 0), ("other", 1)]
    heard.clear()
    for n in range(20):
        await services[n % 2].result("send", {"n": n, "to_all": False})
    await eventually(lambda: len(heard) >= 20)
    await asyncio.sleep(0.1)
    assert sorted(n for _, n in heard) == list(range(20))


async def test_a_call_that_sends_while_redis_is_away(serve: Serve) -> None:
    """It gets 1011 and 503 within the limit; the service keeps running, and sends again after the outage."""

    async def send(handler: Any, parameters: dict[str, Any]) -> None:
        await handler.events.send("news")

    async def other(handler: Any, parameters: dict[str, Any]) -> str:
        return "as ever"

    with tests.support.servers.redis.server() as server:
        service = await serve(
            {"send": send, "other": other}, events=tests.support.servers.redis.fresh_url(server)
        )
        await service.result("send")
        for away, back in ((server.freeze, server.thaw), (server.kill, server.start)):
            try:
                with publish_limit(0.3):
                    away()
                    async with asyncio.timeout(WATCHDOG):
                        response = await service.post(json={"method": "send"})
                assert response.status == 503
                assert (await response.json())["error"]["code"] == 1011
                assert await service.result("other") == "as ever"
            finally:
                back()
            await service.result("send")
        await service.client.close()
