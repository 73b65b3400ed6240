"""Time limits: slow bodies, stalled connections, idle connections, long methods, and disconnects."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiosqlite
import pytest

from tests.server.test_logs import served
from tests.support.limits import PATIENCE, WATCHDOG
from tests.support.service import Serve, Service, eventually, memory
from toto_aio.http import clients
from toto_aio.http.service import SERVICE
from toto_aio.invocation import cancellable, error_redirect

HEAD = (
    b"POST /service/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


async def connect(service: Service) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw connection, outside the test client."""
    return await asyncio.open_connection("127.0.0.1", service.client.port)


async def test_a_body_that_trickles_in(serve: Serve) -> None:
    """An occasional byte does not keep a request alive: all of it must arrive within the limit."""
    service = await serve({"echo": echo}, body_timeout=0.3)
    reader, writer = await connect(service)
    writer.write(HEAD % 1000)
    started = time.monotonic()

    async def trickle() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    answer = await asyncio.wait_for(reader.readuntil(b"}}"), 20)
    trickling.cancel()
    assert time.monotonic() - started >= 0.3
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer
    assert b'"code":1003' in answer
    writer.close()
    assert await service.result("echo", {"a": 1}) == {"a": 1}


async def test_a_body_that_stops(serve: Serve) -> None:
    """Half a body, and half a piece of a chunked one, are treated the same."""
    service = await serve({"echo": echo}, body_timeout=0.2)
    chunked = (HEAD % 1).replace(b"Content-Length: 1", b"Transfer-Encoding: chunked")
    for request in (HEAD % 10 + b"{}", chunked + b"10\r\n{"):
        reader, writer = await connect(service)
        writer.write(request)
        answer = await asyncio.wait_for(reader.readuntil(b"}}"), 20)
        assert answer.startswith(b"HTTP/1.1 408 "), request
        writer.close()


@pytest.mark.parametrize("form", ["whole", "large", "stream"])
async def test_a_client_that_reads_nothing(serve: Serve, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is disconnected, whatever was being sent to it, and no task waits for it any more."""
    monkeypatch.setattr(clients, "STALL_POLL_INTERVAL", 0.05)
    calls = 0
    ended = 0

    async def much(handler: Any, parameters: dict[str, Any]) -> Any:
        nonlocal calls, ended
        calls += 1
        try:
            if form != "stream":
                return "x" * (60_000 if form == "whole" else 8_000_000)
            for _ in range(100):
                handler.respond_raw(b"x" * 1_000_000, "text/plain", finish=False)
                await handler.drain()
            return None
        finally:
            ended += 1

    service = await serve({"much": much})
    reader, writer = await connect(service)
    request = b"POST /service/much HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    writer.write(request * 500)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(0.5)
    assert calls < 300, "it goes on working for a client that takes nothing"
    monkeypatch.setattr(clients, "STALL_LIMIT", 0.2)
    runner: Any = service.client.server.runner
    await eventually(lambda: not runner._server.connections)
    reader._transport.resume_reading()  # type: ignore[attr-defined]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1_000_000_000), 20)
    await eventually(lambda: calls == ended)
    writer.close()


async def test_a_client_that_reads_slowly(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it takes something between two looks at it, it gets all of it."""
    monkeypatch.setattr(clients, "STALL_LIMIT", 0)  # a look that finds nothing taken cuts it
    monkeypatch.setattr(clients, "STALL_POLL_INTERVAL", PATIENCE)  # the test looks, when something was taken

    async def much(handler: Any, parameters: dict[str, Any]) -> str:
        return "x" * 12_000_000

    service = await serve({"much": much})
    stalled = service.client.app[SERVICE].context.stalled
    reader, writer = await connect(service)
    writer.write(
        b"POST /service/much HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    )
    await eventually(lambda: bool(stalled.written))
    [transport] = stalled.written
    size = looks = 0
    async with asyncio.timeout(PATIENCE):
        while waiting := transport.get_write_buffer_size():
            stalled.close()
            stalled._poll()
            looks += 1
            while transport.get_write_buffer_size() == waiting:
                size += len(await reader.read(1_000_000))
        size += len(await reader.read())
    assert (size > 12_000_000, looks > 2) == (True, True)
    writer.close()


async def test_a_transaction_of_a_method_that_times_out(serve: Serve, tmp_path: Path) -> None:
    """The method is cancelled where it waits, so what it had begun is rolled back."""
    path = tmp_path / "notes.db"
    async with aiosqlite.connect(path) as database:
        await database.execute("CREATE TABLE notes (text)")

    written = asyncio.Event()

    async def write(handler: Any, parameters: dict[str, Any]) -> None:
        async with aiosqlite.connect(path) as database:
            await database.execute("INSERT INTO notes VALUES ('half')")
            written.set()
            await asyncio.sleep(PATIENCE)
            await database.commit()

    service = await serve({"write": write})
    seconds = 0.1
    while not written.is_set():  # on a busy machine the limit may come before that
        response = await service.post("/write", json={}, headers={"x-toto-timeout": str(seconds)})
        assert response.status == 504
        assert (await response.json())["error"] == {"code": 1013, "value": "Timed out"}
        seconds *= 2
    async with aiosqlite.connect(path) as database:
        assert await database.execute_fetchall("SELECT * FROM notes") == []
        await database.execute("INSERT INTO notes VALUES ('whole')")


async def test_cancellation_is_for_those_who_ask(serve: Serve) -> None:
    """A disconnect ends a @cancellable method, and no other."""
    ends: list[str] = []
    noticed, may_end = asyncio.Event(), asyncio.Event()

    async def work(handler: Any, parameters: dict[str, Any]) -> None:
        """The body of both methods."""
        begun.set()
        try:
            await may_end.wait()
            ends.append("done")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    @cancellable
    async def leave(handler: Any, parameters: dict[str, Any]) -> None:
        await work(handler, parameters)

    def closed(handler: Any) -> None:
        noticed.set()

    service = await serve({"work": SimpleNamespace(invoke=work, on_connection_close=closed), "leave": leave})
    for method, end in (("leave", "cancelled"), ("work", "done")):
        begun = asyncio.Event()
        _, writer = await connect(service)
        writer.write(b"POST /service/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % method.encode())
        await begun.wait()
        writer.transport.abort()
        if method == "work":
            await asyncio.wait_for(noticed.wait(), WATCHDOG)
            may_end.set()
        await eventually(lambda: bool(ends))
        assert ends.pop() == end


async def test_a_batch_whose_client_leaves(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A call that has finished is not cancelled later, and the others continue."""
    ends: list[str] = []

    @cancellable
    async def quick(handler: Any, parameters: dict[str, Any]) -> None:
        ends.append("quick")

    async def work(handler: Any, parameters: dict[str, Any]) -> None:
        begun.set()
        await asyncio.sleep(0.6)
        ends.append("work")

    begun = asyncio.Event()

    service = await serve({"quick": quick, "work": work})
    body = b'{"batch": {"1": {"method": "quick"}, "2": {"method": "work"}, "3": {"method": "quick"}}}'
    _, writer = await connect(service)
    writer.write(b"POST /service HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await begun.wait()
    writer.transport.abort()
    await eventually(lambda: len(ends) == 3)
    assert ends == ["quick", "work", "quick"]
    assert "ERROR" not in caplog.text


async def test_a_client_that_leaves_is_not_redirected(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is left to receive an error, and none is logged."""
    ends: list[str] = []

    @cancellable
    @error_redirect({}, default="/sorry")
    async def leave(handler: Any, parameters: dict[str, Any]) -> None:
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            ends.append("cancelled")

    begun = asyncio.Event()
    service = await serve({"leave": leave})
    _, writer = await connect(service)
    writer.write(b"POST /service/leave HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    await begun.wait()
    writer.transport.abort()
    await eventually(lambda: ends == ["cancelled"])
    await asyncio.sleep(0.05)
    assert "ERROR" not in caplog.text


async def test_cancellation_in_a_batch(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The running call is cancelled, and so are those after it that are @cancellable."""
    ends: list[str] = []

    @cancellable
    async def leave(handler: Any, parameters: dict[str, Any]) -> None:
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            ends.append("cancelled")

    begun = asyncio.Event()
    service = await serve({"leave": leave})
    body = b'{"batch": {"1": {"method": "leave"}}}'
    _, writer = await connect(service)
    writer.write(b"POST /service HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await begun.wait()
    writer.transport.abort()
    await eventually(lambda: ends == ["cancelled"])
    assert "ERROR" not in caplog.text


async def test_idle_connections_and_partial_heads(tmp_path: Path) -> None:
    """Thousands of idle ones, half heads or half bodies cost bounded memory, and end by themselves."""
    count = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * count)), hard))
    (tmp_path / "sitecustomize.py").write_text(
        "import toto_aio.server.serve as serving\nserving.KEEP_ALIVE = 4.0\n"
    )
    async with served(tmp_path, PYTHONPATH=str(tmp_path)) as service:
        port, pid = service.port, service.pid
        await call_until_warm(port)
        before = memory(pid)
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
        for number, (_, writer) in enumerate(connections):
            writer.write((b"", b"POST /service HTTP/1.1\r\nHost: x\r\nX: ", HEAD % 9)[number % 3])
        await asyncio.sleep(0.5)
        cost = (memory(pid) - before) / count
        assert cost < 32 * 1024, f"{cost} bytes for each connection"
        await call_until_warm(port)
        idle = [reader for number, (reader, _) in enumerate(connections) if number % 3 < 2]
        async with asyncio.timeout(20):
            assert all([await has_ended(reader) for reader in idle])
        for _, writer in connections:
            writer.close()


async def has_ended(reader: asyncio.StreamReader) -> bool:
    """Wait for the end; one that ended before its half head was sent has been reset."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def call_until_warm(port: int) -> None:
    """Some calls that must succeed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(50):
        writer.write(b'POST /service/divide HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"a":9,"b":3.0}')
        assert await asyncio.wait_for(reader.readuntil(b'{"result":3.0}'), 20)
    writer.close()
