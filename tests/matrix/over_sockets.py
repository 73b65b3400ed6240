"""Frames of WebSockets. A new way is a row of ``over_sockets``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import centrifuge.protocol.client_pb2 as protobuf
from centrifuge.codecs import _varint_decode, _varint_encode

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
    rows += [kind(kind.title, JSON, service) for kind in (Centrifuge, CentrifugeInProtobuf)]
    return rows


class Centrifuge(Row):
    """Commands of a client of Centrifuge, which shows the session in a header."""

    title = "Centrifuge"
    alone = False
    protocols: tuple[str, ...] = ()

    def __init__(self, name: str, form: Form, service: Service) -> None:
        super().__init__(name, form)
        self._service = service

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        found: dict[int, Outcome] = {}
        url = f"{self._service.root}/connection/websocket"
        async with self._service.client.ws_connect(
            url, headers=shown(session), protocols=self.protocols
        ) as socket:
            await self.write(socket, {"id": len(calls) + 1, "connect": {}})
            assert "connect" in await self.read(socket)
            for number, (method, parameters) in enumerate(calls, 1):
                await self.write(socket, command(number, method, self.form.write(parameters)))
            for _ in calls:
                reply = await self.read(socket)
                found[reply["id"]] = outcome_of_reply(reply)
        return [found[number] for number in range(1, len(calls) + 1)]

    async def write(self, socket: Any, message: Message) -> None:
        """Send a command."""
        await socket.send_json(message)

    async def read(self, socket: Any) -> Message:
        """Receive a reply."""
        reply: Message = await socket.receive_json(timeout=WATCHDOG)
        return reply


class CentrifugeInProtobuf(Centrifuge):
    """The same in Protobuf, by the messages that the client in Python was generated with."""

    title = "Centrifuge in Protobuf"
    protocols = ("centrifuge-protobuf",)

    async def write(self, socket: Any, message: Message) -> None:
        packed = protobuf.Command(id=message["id"])
        if "connect" in message:
            packed.connect.SetInParent()
        else:
            packed.rpc.method = message["rpc"]["method"]
            packed.rpc.data = json.dumps(message["rpc"]["data"]).encode()
        body = packed.SerializeToString()
        await socket.send_bytes(_varint_encode(len(body)) + body)

    async def read(self, socket: Any) -> Message:
        body = await socket.receive_bytes(timeout=WATCHDOG)
        length, start = _varint_decode(body, 0)
        assert length == len(body) - start
        reply = protobuf.Reply.FromString(body[start:])
        if reply.HasField("error"):
            error = {"code": reply.error.code, "message": reply.error.message}
            return {"id": reply.id, "error": {**error, "temporary": reply.error.temporary}}
        if reply.HasField("rpc"):
            return {"id": reply.id, "rpc": {"data": json.loads(reply.rpc.data)}}
        return {"id": reply.id, "connect": reply.connect}


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
