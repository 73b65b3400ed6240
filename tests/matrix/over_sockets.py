"""Frames of WebSockets. A new way is a row of ``over_sockets``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.matrix.forms import JSON, MSGPACK, Form
from tests.matrix.messages import command, frame, outcome, outcome_of_reply, outcome_of_request, request
from tests.matrix.over_http import shown
from tests.matrix.transports import Message, Outcome, Parameters, Row, Transport
from tests.support.limits import WATCHDOG
from tests.support.service import Service


def over_sockets(service: Service) -> list[Transport]:
    """The ways in to a service that frames are, which know no fast path."""
    rows: list[Transport] = []
    for form in (JSON, MSGPACK):
        rows += [
            Socket("WebSocket", form, service, frame, outcome),
            Socket("JSON-RPC over a WebSocket", form, service, request, outcome_of_request),
        ]
    return [*rows, Centrifuge("Centrifuge", JSON, service)]


class Centrifuge(Row):
    """Commands of a client of Centrifuge, which shows the session in a header."""

    alone = False

    def __init__(self, name: str, form: Form, service: Service) -> None:
        super().__init__(name, form)
        self._service = service

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        found: dict[int, Outcome] = {}
        url = f"{self._service.root}/connection/websocket"
        async with self._service.client.ws_connect(url, headers=shown(session)) as socket:
            await socket.send_json({"id": len(calls) + 1, "connect": {}})
            assert "connect" in await socket.receive_json(timeout=WATCHDOG)
            for number, (method, parameters) in enumerate(calls, 1):
                await socket.send_json(command(number, method, self.form.write(parameters)))
            for _ in calls:
                reply = await socket.receive_json(timeout=WATCHDOG)
                found[reply["id"]] = outcome_of_reply(reply)
        return [found[number] for number in range(1, len(calls) + 1)]


class Socket(Row):
    """Frames of a WebSocket, which is opened with the session, all sent before the first is received."""

    alone = False

    def __init__(
        self,
        name: str,
        form: Form,
        service: Service,
        pack: Callable[[int, str, Any], Message],
        unpack: Callable[[Message], Outcome],
    ) -> None:
        super().__init__(name, form)
        self._service = service
        self._pack = pack
        self._unpack = unpack

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        found: dict[int, Outcome] = {}
        url = f"{self._service.root}/websocket"
        async with self._service.client.ws_connect(url, headers=shown(session)) as socket:
            for number, (method, parameters) in enumerate(calls):
                body = self.form.dumps(self._pack(number, method, self.form.write(parameters)))
                await (socket.send_str(body.decode()) if self.form is JSON else socket.send_bytes(body))
            for _ in calls:
                data = (await socket.receive(timeout=WATCHDOG)).data
                frame = self.form.loads(data.encode() if self.form is JSON else data)
                found[frame.get("id") or 0] = self._unpack(frame)
        return [found[number] for number in range(len(calls))]
