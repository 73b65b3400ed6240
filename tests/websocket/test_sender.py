"""The send queue of a socket: in order, complete, and limited for slow clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest

from tests.support.service import Serve
from tests.websocket.test_websocket import METHODS, Parameters, Socket, answer, ask, connect
from toto_aio import Handler
from toto_aio.brokers.memory import MemoryBroker
from toto_aio.codecs import encode_msgpack
from toto_aio.websocket import sender


@contextmanager
def paused(socket: Socket) -> Iterator[None]:
    """The client reads nothing within the block."""
    transport: Any = socket._response.connection.transport  # type: ignore[union-attr]
    transport.pause_reading()
    yield
    transport.resume_reading()


async def test_frames_of_all_sizes_in_their_order(serve: Serve) -> None:
    """Everything that a method sends in one go arrives in order, and its result last."""
    sizes = [0, 10, 70_000, 10, 10, 65_000, 30_000, 40_000, 200_000, *range(300), 1]

    async def much(handler: Handler, parameters: Parameters) -> str:
        for size in sizes:
            handler.send_message("x" * size)
        return "done"

    socket = await connect(await serve({"much": much}))
    for _ in range(3):
        await socket.send_json({"id": 1, "method": "much"})
        assert [len(json.loads(await socket.receive_str(timeout=20))) for _ in sizes] == sizes
        assert (await answer(socket))["result"] == "done"


async def test_events_wait_for_a_client_that_is_slow_for_a_while(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those in its queue are not lost, and arrive before those that are sent directly again."""
    monkeypatch.setattr(sender, "QUEUE_BYTES", 100_000)
    service = await serve(METHODS)
    socket, quick = await connect(service), await connect(service)
    await ask(socket, "listen", {"name": "e"})
    await ask(quick, "listen", {"name": "e"})
    for turn in range(3):
        with paused(socket):
            for n in range(300):
                await service.result("tell", {"name": "e", "args": [turn, n, "x" * 20_000]})
            received = [json.loads(await quick.receive_str(timeout=20))[:2] for _ in range(300)]
            assert received == [[turn, n] for n in range(300)]
        received = [json.loads(await socket.receive_str(timeout=20))[:2] for _ in range(300)]
        assert received == [[turn, n] for n in range(300)]
        await service.result("tell", {"name": "e", "args": [turn, "end"]})
        assert json.loads(await socket.receive_str(timeout=20)) == [turn, "end"]
        assert json.loads(await quick.receive_str(timeout=20)) == [turn, "end"]


async def test_an_event_in_both_formats(serve: Serve) -> None:
    """Each socket gets it in its own format, through ``send_message`` or its own function."""

    async def wrapped(handler: Handler, parameters: Parameters) -> None:
        def send(args: Any) -> None:
            args["n"] += 1  # which nobody else sees
            handler.send_message(args)

        handler.register_event_handler("e", send)

    service = await serve({**METHODS, "wrapped": wrapped})
    text, binary, own = [await connect(service) for _ in range(3)]
    await ask(text, "listen", {"name": "e"})
    await ask(own, "wrapped")
    await binary.send_bytes(msgpack.packb({"id": 1, "method": "listen", "parameters": {"name": "e"}}))
    await binary.receive_bytes(timeout=20)
    for n in range(10):
        await service.result("tell", {"name": "e", "args": {"n": n}})
    for n in range(10):
        assert json.loads(await text.receive_str(timeout=20)) == {"n": n}
        assert msgpack.unpackb(await binary.receive_bytes(timeout=20)) == {"n": n}
        assert json.loads(await own.receive_str(timeout=20)) == {"n": n + 1}


async def test_an_event_that_cannot_be_sent(serve: Serve, errors: Any) -> None:
    """An unknown extension type is logged, and the next event arrives."""
    broker = MemoryBroker()
    service = await serve(METHODS, events=broker)
    socket = await connect(service)
    await ask(socket, "listen", {"name": "e"})
    strange = encode_msgpack([b"elsewhere", 1, "e"])
    await broker.publish(b"\x94" + strange[1:] + b"\xd4\x05\x00", broadcast=True)
    await service.result("tell", {"name": "e", "args": "sound"})
    assert json.loads(await socket.receive_str(timeout=20)) == "sound"
    assert errors() == ["the handler of the event 'e' failed"]


async def test_a_handler_of_a_thread(serve: Serve) -> None:
    """A plain method registers and deregisters like any other."""

    def listen(handler: Handler, parameters: Parameters) -> None:
        handler.register_event_handler("e", handler.send_message)
        handler.deregister_event_handler(handler.register_event_handler("e", handler.send_message))
        handler.register_event_handler("e", handler.send_message, deregister_on_finish=True)

    service = await serve({**METHODS, "listen": listen})
    socket = await connect(service)
    await ask(socket, "listen")
    await service.result("tell", {"name": "e", "args": 1})
    assert json.loads(await socket.receive_str(timeout=20)) == 1
    assert (await ask(socket, "echo"))["result"] == {}


async def test_a_handler_of_a_call_that_is_over(serve: Serve) -> None:
    """Its events go to the socket on which it was registered, and end with that socket."""
    service = await serve(METHODS)
    sockets = [await connect(service) for _ in range(20)]
    for socket in sockets:
        await ask(socket, "listen", {"name": "e"})
    for n, socket in enumerate(sockets):
        await service.result("tell", {"name": "e", "args": n})
        for other in sockets[n:]:
            assert json.loads(await other.receive_str(timeout=20)) == n
        await socket.close()
    await service.result("tell", {"name": "e", "args": "nobody"})
    await asyncio.sleep(0)
