"""A connection as a client of Centrifuge has it, without the library: commands, replies and pushes."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from tests.support.limits import WATCHDOG
from tests.support.service import Service

PATH = "/connection/websocket"


class Connection:
    """One connection. What arrives while a reply is awaited is kept in ``pushes``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.pushes: list[Any] = []
        self._last = 0

    async def send(self, *messages: Any) -> None:
        """Send commands in one frame."""
        await self.socket.send_str("\n".join(json.dumps(each) for each in messages))

    async def receive(self) -> Any:
        """The next reply or push."""
        message = await self.socket.receive(timeout=WATCHDOG)
        assert message.type is WSMsgType.TEXT, (message, self.socket.close_code)
        return json.loads(message.data)

    async def push(self) -> Any:
        """The next push."""
        if self.pushes:
            return self.pushes.pop(0)
        found = await self.receive()
        return found["push"]

    async def ask(self, kind: str, request: Any = None) -> Any:
        """The result of a command, or its error."""
        self._last += 1
        await self.send({"id": self._last, kind: {} if request is None else request})
        while "push" in (found := await self.receive()):
            self.pushes.append(found["push"])
        assert found.pop("id") == self._last
        assert found.keys() in ({"error"}, {kind}), found
        return found.get("error", found.get(kind))

    async def end(self) -> tuple[int | None, str]:
        """The code and the reason with which the connection is closed; what arrives before is kept."""
        while (message := await self.socket.receive(timeout=WATCHDOG)).type is WSMsgType.TEXT:
            self.pushes.append(json.loads(message.data))
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING), message
        return self.socket.close_code, str(message.extra or "")


async def opened(service: Service, **headers: str) -> Connection:
    """A connection whose client has not sent ``connect``."""
    return Connection(await service.client.ws_connect(f"{service.root}{PATH}", headers=headers))


async def connected(service: Service, token: str = "", data: Any = None, **headers: str) -> Connection:
    """A connection whose client is connected."""
    connection = await opened(service, **headers)
    found = await connection.ask("connect", {"token": token, **({} if data is None else {"data": data})})
    assert "client" in found, found
    return connection
