"""Event streams across processes: an unmodified client recovers by itself, and no stream delays an end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

import tests.support.servers.redis
from tests.http.test_event_streams import Stream
from tests.support.limits import WATCHDOG
from tests.support.programs import SERVE, serving, start, write
from tests.support.servers import Server, free_port

if TYPE_CHECKING:
    from tests.support.node import Node

pytest_plugins = ["tests.support.node"]

KIND = "redis"
ROOMS = """
import os
from toto_aio.invocation import channel, method

@channel("room:{room}", history=1000)
async def join(room: str): ...

@method
async def say(handler, room: str, text: int):
    await handler.events.publish(f"room:{room}", text)
    return os.getpid()
"""
READER = """
import {EventSource} from "eventsource";

const source = new EventSource(process.argv[2]);
source.onmessage = ({data}) => console.log(JSON.stringify(JSON.parse(data).data));
for (const name of ["subscribed", "unrecovered"]) {
  source.addEventListener(name, ({data}) => console.log(JSON.stringify({name, ...JSON.parse(data)})));
}
setInterval(() => {}, 1000);  // so that it outlives the time between two connections
source.onerror = ({code, message}) => console.error(source.readyState, code, message);
"""


class Reader:
    """The lines of a program that reads a stream with the package ``eventsource``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> Any:
        """The next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(WATCHDOG):
            line = await self._process.stdout.readline()
        return json.loads(line)


@asynccontextmanager
async def reading(node: Node, folder: Path, url: str) -> AsyncIterator[Reader]:
    """A program that has subscribed."""
    (folder / "node_modules").symlink_to(node.folder / "node_modules")
    (folder / "reader.mjs").write_text(READER)
    process = await asyncio.create_subprocess_exec(
        str(node.interpreter), "reader.mjs", url, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Reader(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def say(address: str, *texts: int) -> set[int]:
    """Publish, each over a new connection; the processes that have."""
    found = set()
    for text in texts:
        async with aiohttp.ClientSession() as client:
            body = {"method": "rooms.say", "parameters": {"room": "7", "text": text}}
            async with client.post(address, json=body) as response:
                found.add((await response.json())["result"])
    return found


async def test_it_recovers_by_itself(node: Node, own_server: Server, tmp_path: Path) -> None:
    """The package ``eventsource`` goes on after killed workers, a rolling restart and a restart of Redis."""
    write(tmp_path, methods__rooms=ROOMS)
    events = tests.support.servers.redis.fresh_url(own_server)
    options = ("--port=0", "--processes=2", f"--events={events}", "--database=sqlite:///toto.db")
    begun = {"name": "subscribed", "channel": "room:7", "data": None}
    async with serving(tmp_path, *SERVE, *options) as server:
        address = server.address
        async with reading(node, tmp_path, f"{address}/events?channel=room:7") as reader:
            assert await reader.line() == {**begun, "recovered": False}
            sent = seen = 0

            async def say_more(count: int = 3) -> set[int]:
                nonlocal sent
                sent += count
                return await say(address, *range(sent - count, sent))

            async def goes_on() -> None:
                """All of it comes once, in order, and at least once the client has recovered."""
                nonlocal seen
                recovered = False
                while seen < sent:
                    if (line := await reader.line()) == seen:
                        seen += 1
                    else:
                        assert line == {**begun, "recovered": True}
                        recovered = True
                assert recovered

            workers: set[int] = set()
            while len(workers) < 2:
                workers |= await say_more(1)
            for worker in workers:  # one of them serves the stream
                os.kill(worker, signal.SIGKILL)
                await say_more()
                await server.wait_for("replaces one that ended")
                await say_more()
            await goes_on()

            await say_more()
            server.process.send_signal(signal.SIGHUP)
            await say_more()
            await server.wait_for("Serving on ")
            await say_more()
            await goes_on()

            own_server.stop()
            own_server.start()
            # The stream stayed open meanwhile.
            assert await reader.line() == {**begun, "recovered": False}
            assert await reader.line() == {"name": "unrecovered", "channel": "room:7"}
            await say_more()
            assert [await reader.line() for _ in range(3)] == [sent - 3, sent - 2, sent - 1]


GUNICORN = """
from aiohttp import web
from toto_aio import create_app
from toto_aio.invocation import channel

@channel("room:{room}", history=10)
async def join(room: str): ...

async def say(handler, parameters):
    await handler.events.publish("room:7", 1)

application = web.Application()
service = create_app(method_module={"join": join, "say": say}, database="memory://")
application.add_subapp("/api", service)
"""


async def test_an_end_waits_for_no_stream(tmp_path: Path) -> None:
    """Under gunicorn and under serve, TERM ends a stream as it should, and the process with status 0."""
    port = free_port()
    write(tmp_path, program=GUNICORN)
    gunicorn = ("-m", "gunicorn", "program:application", "--worker-class=aiohttp.GunicornWebWorker")
    for command in (
        (*gunicorn, f"--bind=127.0.0.1:{port}", "--graceful-timeout=300"),
        (*SERVE, "program:application", f"--port={port}", "--shutdown-timeout=300"),
    ):
        server = await start(tmp_path, *command)
        try:
            await server.wait_for(f":{port}")
            root = f"http://127.0.0.1:{port}/api/service"
            async with aiohttp.ClientSession() as client, asyncio.timeout(WATCHDOG):
                async with client.get(f"{root}/events?channel=room:7") as response:
                    stream = Stream(response)
                    assert "retry" in await stream.block()
                    assert (await stream.event())[0] == "subscribed"
                    async with client.post(root, json={"method": "say"}) as answer:
                        assert answer.status == 200
                    assert await stream.messages(1) == [1]
                    ending = asyncio.create_task(server.end())
                    await stream.ends()
                assert await ending == 0
        finally:
            if server.process.returncode is None:
                server.process.kill()
                await server.process.communicate()
