"""A name that leads to a server: a proxy on loopback, which can lead elsewhere, and cut connections."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Self


class Forward:
    """Forwards connections to ``leads_to``, a port of 127.0.0.1, for the duration of the block."""

    def __init__(self, leads_to: int) -> None:
        self.leads_to = leads_to
        """The port for connections that are made from now on."""
        self.port = 0
        self._open: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in tuple(self._open.values()):
            writer.transport.abort()
        await asyncio.gather(*filter(None, self._open), return_exceptions=True)

    def cut(self) -> bool:
        """End one of the connections as a network does, whichever; False if there is none."""
        if not self._open:
            return False
        random.choice(tuple(self._open.values())).transport.abort()  # noqa: S311  # no secret
        return True

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._open[task] = writer
        try:
            upstream, sink = await asyncio.open_connection("127.0.0.1", self.leads_to)
            await asyncio.gather(_pump(reader, sink), _pump(upstream, writer))
        except OSError:  # nobody listens there now
            writer.transport.abort()
        finally:
            del self._open[task]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what arrives, until either end is closed."""
    with suppress(OSError, RuntimeError):  # uvloop raises that for a closed transport
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()
