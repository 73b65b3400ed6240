"""Tests of accepting connections."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.service import eventually
from toto_aio.server import acceptor
from toto_aio.server.acceptor import Acceptor


class Greeter(asyncio.Protocol):
    """Sends a greeting and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the greeting."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


@asynccontextmanager
async def greeting() -> AsyncIterator[tuple[str, int]]:
    """The address of a socket whose connections are greeted."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    accepting = Acceptor([listening], Greeter)
    yield listening.getsockname()
    await accepting.close()
    assert listening.fileno() == -1


async def greeted(address: tuple[str, int]) -> bytes:
    """What a new connection receives."""
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    await writer.wait_closed()
    return said


async def test_connections() -> None:
    """Every connection gets a protocol."""
    async with greeting() as address:
        assert await asyncio.gather(*(greeted(address) for _ in range(50))) == [b"hello"] * 50


async def test_a_client_that_has_disconnected() -> None:
    """It does not disturb the others."""
    async with greeting() as address:
        for _ in range(20):
            with socket.create_connection(address) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        assert await greeted(address) == b"hello"


async def test_connections_that_wait_at_the_end() -> None:
    """A client that connected before the end gets a protocol; one that connects later is refused."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    address = listening.getsockname()
    accepting = Acceptor([listening], Greeter)
    clients = [socket.create_connection(address) for _ in range(50)]  # none of which has been accepted yet
    await accepting.close()
    for client in clients:
        with client:
            assert await asyncio.to_thread(client.recv, 100) == b"hello"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_too_many_open_files(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says so at intervals, and waiting clients are accepted as soon as there is room."""
    monkeypatch.setattr(acceptor, "RETRY_INTERVAL", 0.2)
    async with greeting() as address:
        with socket.socket() as client:
            client.setblocking(False)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, address)
                await eventually(lambda: "connections have to wait: Too many open files" in caplog.text)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            async with asyncio.timeout(20):
                assert await loop.sock_recv(client, 100) == b"hello"
