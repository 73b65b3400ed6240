"""Clients that do nothing: a number of WebSockets of a service, which only answer its pings.

    idle_sockets.py URL COUNT

It prints ``Serving on URL``, as servers do, once all are open, and ends when one is closed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast
from urllib.parse import urlsplit

import uvloop

AT_ONCE = 100
"""Sockets that are opened at the same time."""
PAUSE = 0.25
"""Seconds until the next: opening 10,000 takes as long as the interval between two pings, as a service would
otherwise ping all of them at the same time."""
PING, PONG = 0x89, b"\x8a\x80\0\0\0\0"
OPEN = (
    "GET {path}/websocket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Idle(asyncio.Protocol):
    """One of them."""

    def __init__(self, closed: asyncio.Event) -> None:
        self._closed = closed
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Handle its opening, or a ping."""
        if not self.opened.done():
            self.opened.set_result(data)
        elif data[0] == PING:
            self._transport.write(PONG)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report that it is closed."""
        self._closed.set()


async def main() -> None:
    """Open them, and keep them open."""
    url, count = sys.argv[1], int(sys.argv[2])
    where = urlsplit(url)
    closed = asyncio.Event()
    request = OPEN.format(path=where.path, host=where.netloc).encode()

    async def open_one() -> None:
        transport, client = await asyncio.get_running_loop().create_connection(
            lambda: Idle(closed), where.hostname or "", where.port or 0
        )
        transport.write(request)
        head = await client.opened
        if not head.startswith(b"HTTP/1.1 101"):
            sys.exit(f"{url} opened no socket: {head!r}")

    for begun in range(0, count, AT_ONCE):
        await asyncio.gather(*(open_one() for _ in range(min(AT_ONCE, count - begun))))
        await asyncio.sleep(PAUSE)
    print(f"Serving on {url}", file=sys.stderr, flush=True)
    await closed.wait()
    sys.exit(f"{url} closed a socket")


if __name__ == "__main__":
    uvloop.run(main())
