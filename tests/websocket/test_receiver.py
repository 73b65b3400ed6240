"""The reader of a socket's frames: a waiting call blocks nobody, and others take turns."""

from __future__ import annotations

import asyncio
import json
import time
from contextvars import ContextVar
from typing import Any

from aiohttp import WSMsgType

from tests.support.service import Serve, eventually
from tests.websocket.test_websocket import METHODS, Parameters, Socket, answer, ask, connect, end
from toto_aio import Handler
from toto_aio.invocation import timeout
from toto_aio.websocket import receiver


def packet(*calls: Parameters) -> bytes:
    """The frames of calls in one piece; their mask, zero, changes nothing (RFC 6455, 5.3)."""
    frames = []
    for call in calls:
        body = json.dumps(call).encode()
        size = bytes((0x80 | len(body),)) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
        frames.append(b"\x81" + size + bytes(4) + body)
    return b"".join(frames)


def send(socket: Socket, *calls: Parameters) -> None:
    """Send the frames of calls in one write."""
    socket._response.connection.transport.write(packet(*calls))  # type: ignore[union-attr]


async def test_many_frames_in_one_packet(serve: Serve) -> None:
    """Each is answered; those that do not wait are answered in order."""
    socket = await connect(await serve(METHODS))
    send(socket, *({"id": n, "method": "echo", "parameters": {"n": n}} for n in range(1000)))
    for n in range(1000):
        assert await answer(socket) == {"id": n, "result": {"n": n}}


async def test_a_call_that_waits_holds_up_nothing_of_its_packet(serve: Serve) -> None:
    """Calls after it are answered first, every time."""
    may_end = asyncio.Event()

    async def wait(handler: Handler, parameters: Parameters) -> None:
        await may_end.wait()

    socket = await connect(await serve({**METHODS, "wait": wait}))
    for turn in range(20):
        may_end.clear()
        waits = {"id": "waits", "method": "wait"}
        send(socket, waits, *({"id": n, "method": "echo"} for n in range(turn)))
        assert [(await answer(socket))["id"] for _ in range(turn)] == [*range(turn)]
        may_end.set()
        assert (await answer(socket))["id"] == "waits"


async def test_other_sockets_have_their_turn(serve: Serve) -> None:
    """A thousand calls that have already arrived do not monopolise the loop."""
    done = 0

    async def work(handler: Handler, parameters: Parameters) -> None:
        nonlocal done
        time.sleep(0.0005)  # noqa: ASYNC251
        done += 1

    async def how_many(handler: Handler, parameters: Parameters) -> int:
        return done

    service = await serve({"work": work, "how_many": how_many})
    busy, other = await connect(service), await connect(service)
    await ask(other, "how_many")
    send(busy, *({"id": n, "method": "work"} for n in range(1000)))
    send(other, {"id": 1, "method": "how_many"})
    assert (await answer(other))["result"] <= 10 * receiver.ROUND
    assert [(await answer(busy))["id"] for _ in range(1000)] == list(range(1000))


class Strange:
    """A value that cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = None  # type: ignore[assignment]


async def test_context_variables(serve: Serve) -> None:
    """A call finds what it has set after a wait, and no other call of the socket does."""
    variable: ContextVar[Any] = ContextVar("variable", default=None)
    found: list[Any] = []

    async def change(handler: Handler, parameters: Parameters) -> None:
        found.append(variable.get())
        value = Strange() if parameters.get("strange") else [1]
        variable.set(value)
        if parameters.get("wait"):
            await asyncio.sleep(0.01)
        assert variable.get() is value

    socket = await connect(await serve({"change": change}))
    choices = [{}, {"wait": 1}, {"strange": 1}, {"wait": 1, "strange": 1}, {}, {}]
    send(socket, *({"id": n, "method": "change", "parameters": each} for n, each in enumerate(choices)))
    answers = [await answer(socket) for _ in choices]
    assert [given.get("error") for given in answers] == [None] * len(choices)
    assert found == [None] * len(choices)


async def test_a_call_stays_in_its_task(serve: Serve) -> None:
    """Time limits and task groups within a method work as usual, and end nothing except the call."""

    async def structured(handler: Handler, parameters: Parameters) -> list[Any]:
        task, results = asyncio.current_task(), []
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            results.append("late")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0.01))
        assert asyncio.current_task() is task
        return results

    @timeout(0.05)
    async def slow(handler: Handler, parameters: Parameters) -> None:
        await asyncio.sleep(5)

    socket = await connect(await serve({**METHODS, "structured": structured, "slow": slow}))
    send(socket, *({"id": name, "method": name} for name in ("structured", "slow", "echo")))
    answers = {given["id"]: given for given in [await answer(socket) for _ in range(3)]}
    assert answers["structured"]["result"] == ["late"]
    assert answers["slow"]["error"]["code"] == 1013
    assert answers["echo"]["result"] == {}


async def test_calls_that_cancel(serve: Serve) -> None:
    """Calls that cancel their task, immediately or after their end, or an awaitable block no later call."""
    kept: list[asyncio.Task[Any]] = []

    async def cancel_itself(handler: Handler, parameters: Parameters) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "answered"

    async def keep(handler: Handler, parameters: Parameters) -> None:
        task = asyncio.current_task()
        assert task is not None
        kept.append(task)

    async def cancel_kept(handler: Handler, parameters: Parameters) -> None:
        asyncio.get_running_loop().call_later(0.01, kept.pop().cancel)

    async def await_cancelled(handler: Handler, parameters: Parameters) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    methods = {
        method.__name__: method
        for method in (cancel_itself, keep, cancel_kept, await_cancelled, *METHODS.values())
    }
    socket = await connect(await serve(methods))
    send(
        socket, {"id": 1, "method": "cancel_itself"}, {"id": 2, "method": "nap", "parameters": {"seconds": 0}}
    )
    assert [await answer(socket) for _ in range(2)] == [
        {"id": 1, "result": "answered"},
        {"id": 2, "result": 0},
    ]
    await ask(socket, "keep")
    await ask(socket, "cancel_kept")
    await asyncio.sleep(0.05)
    assert (await ask(socket, "await_cancelled"))["error"]["code"] == 1000
    assert (await ask(socket, "echo"))["result"] == {}


async def test_a_client_that_leaves_in_the_midst_of_its_frames(serve: Serve, errors: Any) -> None:
    """The calls that it has sent are still carried out, watchers are notified, and the socket is closed."""
    done: list[Any] = []
    last = asyncio.Event()

    async def work(handler: Handler, parameters: Parameters) -> None:
        time.sleep(0.002)  # noqa: ASYNC251
        done.append(parameters["n"])
        if parameters["n"] == 30:
            await last.wait()
            done.append("waited")
        elif parameters["n"] == 49:
            last.set()

    async def closed(handler: Handler, parameters: Parameters) -> None:
        done.append("closed")

    service = await serve({"work": work, "closed": closed}, socket_closed_method="closed")
    socket = await connect(service)
    send(socket, *({"id": n, "method": "work", "parameters": {"n": n}} for n in range(50)))
    await eventually(lambda: bool(done))
    socket._response.connection.transport.abort()  # type: ignore[union-attr]
    await eventually(lambda: "closed" in done)
    assert done == [*range(50), "waited", "closed"]
    assert errors() == []


async def test_text_that_is_no_utf8(serve: Serve) -> None:
    """It gets an error, and the socket is closed, as RFC 6455 requires."""
    socket = await connect(await serve(METHODS))
    await socket._writer.send_frame(b'{"id": 1, "method": "\xff"}', WSMsgType.TEXT)
    assert (await answer(socket))["error"]["code"] == 1003
    assert await end(socket) == 1007
