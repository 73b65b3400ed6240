"""Streams, and clients that disconnect."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from pytest_aiohttp.plugin import AiohttpClient

from tests.support.limits import WATCHDOG
from tests.support.service import Serve
from toto_aio import Handler, create_app
from toto_aio.invocation import asynchronous, timeout

Parameters = dict[str, Any]


async def test_a_stream(serve: Serve) -> None:
    """Pieces reach the client while the method is running, and its return ends the stream."""
    go_on = asyncio.Event()

    async def stream(handler: Handler, parameters: Parameters) -> None:
        handler.set_header("X-Own", "1")
        handler.respond_raw("one", "text/plain", finish=False)
        await go_on.wait()
        handler.respond_raw(b"two", "text/plain", finish=False)

    service = await serve({"stream": stream})
    response = await service.post("/stream", json={})
    assert (response.content_type, response.headers["X-Own"]) == ("text/plain", "1")
    assert await response.content.read(3) == b"one"
    go_on.set()
    assert await response.read() == b"two"


async def test_a_stream_that_is_finished_later(serve: Serve) -> None:
    """An asynchronous method ends its stream with finish=True, from any thread."""

    @asynchronous
    async def stream(handler: Handler, parameters: Parameters) -> None:
        loop = asyncio.get_running_loop()
        first = loop.run_in_executor(None, handler.respond_raw, b"one", "text/plain", False)
        first.add_done_callback(lambda _: loop.call_later(0.05, handler.respond_raw, b"two", "text/plain"))

    service = await serve({"stream": stream})
    response = await service.post("/stream", json={})
    assert await response.read() == b"onetwo"


async def test_a_stream_larger_than_the_buffer(serve: Serve) -> None:
    """With drain between the pieces a stream can be endless; without it, too much data is an error."""

    async def stream(handler: Handler, parameters: Parameters) -> None:
        for _ in range(parameters["pieces"]):
            handler.respond_raw(b"x" * 1_000_000, "text/plain", finish=False)
            if parameters["drain"]:
                await handler.drain()

    service = await serve({"stream": stream})
    response = await service.post("/stream", json={"pieces": 40, "drain": True})
    assert len(await response.read()) == 40_000_000
    with pytest.raises(aiohttp.ClientError):
        response = await service.post("/stream", json={"pieces": 40, "drain": False})
        await response.read()


async def test_a_stream_that_fails(serve: Serve) -> None:
    """The connection is cut, so that half a response does not pass for a whole one."""

    async def stream(handler: Handler, parameters: Parameters) -> None:
        handler.respond_raw(b"one", "text/plain", finish=False)
        await asyncio.sleep(0.05)
        raise ZeroDivisionError

    service = await serve({"stream": stream})
    response = await service.post("/stream", json={})
    with pytest.raises(aiohttp.ClientError):
        await response.read()
    assert (await service.call("nothing"))["error"]["code"] == 1001


async def test_headers_after_the_first_piece(serve: Serve) -> None:
    """They could no longer be sent, and the error says so."""
    seen = []

    async def stream(handler: Handler, parameters: Parameters) -> None:
        handler.respond_raw(b"one", "text/plain", finish=False)
        for late, arguments in (
            (handler.set_header, ("X-Late", "1")),
            (handler.set_status, (201,)),
            (handler.set_cookie, ("late", "1")),
        ):
            try:
                late(*arguments)
            except RuntimeError as exc:
                seen.append(str(exc))

    service = await serve({"stream": stream})
    assert await (await service.post("/stream", json={})).read() == b"one"
    assert len(seen) == 3
    assert "before the first piece" in seen[0]


async def test_a_stream_in_a_batch(serve: Serve) -> None:
    """A batch cannot contain a stream."""

    async def stream(handler: Handler, parameters: Parameters) -> None:
        handler.respond_raw(b"one", "text/plain", finish=False)

    service = await serve({"stream": stream})
    batch = await (await service.post(json={"batch": {"a": {"method": "stream"}}})).json()
    assert batch["batch"]["a"]["error"]["code"] == 1003


async def test_on_connection_close(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A disconnect is noticed: the module is notified, and a waiting call ends silently."""
    closed: asyncio.Queue[str] = asyncio.Queue()
    started: asyncio.Queue[str] = asyncio.Queue()

    @asynchronous
    async def wait(handler: Handler, parameters: Parameters) -> None:
        handler.register_event_handler("never", print)
        started.put_nowait(handler.transaction_id)

    async def on_connection_close(handler: Handler) -> None:
        closed.put_nowait(handler.transaction_id)

    service = await serve({"wait": SimpleNamespace(invoke=wait, on_connection_close=on_connection_close)})
    call = asyncio.create_task(service.call("wait"))
    transaction_id = await started.get()
    call.cancel()
    assert await asyncio.wait_for(closed.get(), 20) == transaction_id
    await asyncio.sleep(0.05)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_method_goes_on_when_its_client_leaves(serve: Serve) -> None:
    """A method that is not asynchronous runs to its end, and on_connection_close is called."""
    seen: asyncio.Queue[str] = asyncio.Queue()
    may_end = asyncio.Event()

    async def work(handler: Handler, parameters: Parameters) -> None:
        seen.put_nowait("started")
        await may_end.wait()
        seen.put_nowait("ended")

    def on_connection_close(handler: Handler) -> None:
        seen.put_nowait("closed")

    service = await serve({"work": SimpleNamespace(invoke=work, on_connection_close=on_connection_close)})
    call = asyncio.create_task(service.call("work"))
    assert await seen.get() == "started"
    call.cancel()
    assert await asyncio.wait_for(seen.get(), WATCHDOG) == "closed"
    may_end.set()
    assert await asyncio.wait_for(seen.get(), WATCHDOG) == "ended"


async def test_a_client_that_leaves_within_its_body(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """It is not an error of the service, and not logged as one."""
    service = await serve()
    port = service.client.port
    for head in ("Content-Length: 100", "Transfer-Encoding: chunked"):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST /service HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert (await service.call("nothing"))["error"]["code"] == 1001
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_server_that_cancels(aiohttp_client: AiohttpClient) -> None:
    """A server may be set to cancel the method when its client disconnects; the module is still notified."""
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def work(handler: Handler, parameters: Parameters) -> None:
        seen.put_nowait("started")
        try:
            await asyncio.sleep(30)
        finally:
            seen.put_nowait("cancelled")

    async def on_connection_close(handler: Handler) -> None:
        seen.put_nowait("closed")

    methods = {"work": SimpleNamespace(invoke=work, on_connection_close=on_connection_close)}
    client = await aiohttp_client(create_app(method_module=methods, database="memory://"))
    call = asyncio.create_task(client.post("/service/work", json={}))
    assert await seen.get() == "started"
    call.cancel()
    assert [await asyncio.wait_for(seen.get(), 20) for _ in range(2)] == ["cancelled", "closed"]


async def test_on_connection_close_is_not_called_for_nothing(serve: Serve) -> None:
    """A call that was answered has no connection to lose."""
    closed: list[Handler] = []

    async def quick(handler: Handler, parameters: Parameters) -> str:
        return "x"

    service = await serve({"quick": SimpleNamespace(invoke=quick, on_connection_close=closed.append)})
    assert await service.result("quick") == "x"
    await service.client.close()
    await asyncio.sleep(0.5)
    assert closed == []


async def test_a_client_that_leaves_a_stream(serve: Serve) -> None:
    """The method's pieces go nowhere, and it is not blocked."""
    ended = asyncio.Event()

    @timeout(10)
    async def stream(handler: Handler, parameters: Parameters) -> None:
        for _ in range(50):
            handler.respond_raw(b"x" * 1_000_000, "text/plain", finish=False)
            await handler.drain()
        ended.set()

    service = await serve({"stream": stream})
    response = await service.post("/stream", json={})
    await response.content.read(10)
    response.close()
    await asyncio.wait_for(ended.wait(), 20)


async def test_shutdown_answers_those_who_wait(serve: Serve) -> None:
    """When the service stops, long polls immediately get error 1011."""
    started = asyncio.Event()

    @asynchronous
    async def wait(handler: Handler, parameters: Parameters) -> None:
        started.set()

    service = await serve({"wait": wait})
    call = asyncio.create_task(service.call("wait"))
    await started.wait()
    app = service.client.app
    assert app is not None
    await app.shutdown()
    assert (await asyncio.wait_for(call, 20))["error"]["code"] == 1011
