"""Commands and replies in Protobuf, and what is none; ``test_clients.py`` has the clients."""

from __future__ import annotations

import importlib
import json
import sys
from operator import attrgetter
from typing import Any

import aiohttp
import centrifuge.protocol.client_pb2 as theirs
import pytest
from aiohttp import WSMsgType
from centrifuge.codecs import _varint_encode

from tests.centrifuge.raw import PATH
from tests.centrifuge.test_connection import METHODS
from tests.support.limits import WATCHDOG
from tests.support.service import Serve, Service
from toto_aio.centrifuge.schema import message_classes

SUB_PROTOCOL = "centrifuge-protobuf"
OTHER_NAMES = {
    "OfChannel": ("UnsubscribeRequest", "PresenceRequest", "PresenceStatsRequest"),
    "Change": ("Join", "Leave"),
    "PushedMessage": ("Message",),
    "Present": ("PresenceResult.PresenceEntry",),
}
"""The client's names of our messages, where they are others."""


def packed(*commands: theirs.Command) -> bytes:
    """A frame of commands."""
    bodies = [each.SerializeToString() for each in commands]
    return b"".join(_varint_encode(len(each)) + each for each in bodies)


def begin() -> theirs.Command:
    """The command that comes first."""
    return theirs.Command(id=1, connect=theirs.ConnectRequest(data=b"{}"))


async def opened(service: Service, **options: Any) -> Any:
    """A socket."""
    options = {"protocols": [SUB_PROTOCOL], **options}
    return await service.client.ws_connect(f"{service.root}{PATH}", **options)


async def test_the_messages() -> None:
    """Each of our fields has the number and the type that it has in the client's messages."""
    command, _ = message_classes()
    compared = 0
    for name, message in command.DESCRIPTOR.file.message_types_by_name.items():
        for original in () if name == "Empty" else OTHER_NAMES.get(name, (name,)):
            fields = attrgetter(original)(theirs).DESCRIPTOR.fields_by_name
            for field in message.fields:
                if field.name == "type":
                    assert "type" not in fields or fields["type"].number == field.number, original
                    continue  # newer than the client
                other = fields[field.name]
                assert (field.number, field.type) == (other.number, other.type), (original, field.name)
                compared += 1
    assert compared > 80


async def test_both_ways_to_choose_it(serve: Serve) -> None:
    """By the sub-protocol, which is echoed, or by the query; a frame of either kind is read."""
    service = await serve(METHODS)
    by_query = {"params": {"cf_protocol": "protobuf"}, "protocols": []}
    for options, chosen in (({}, SUB_PROTOCOL), (by_query, None)):
        socket = await opened(service, **options)
        assert socket.protocol == chosen
        await socket.send_bytes(packed(begin(), theirs.Command(id=2, ping=theirs.PingRequest())))
        found = [await socket.receive(timeout=WATCHDOG) for _ in range(2)]
        assert [each.type for each in found] == [WSMsgType.BINARY] * 2
        assert theirs.Reply.FromString(found[1].data[1:]).HasField("ping")
    json_socket = await opened(service, protocols=["centrifuge-json"])
    assert json_socket.protocol == "centrifuge-json"
    await json_socket.send_str('{"id":1,"connect":{}}')
    assert json.loads((await json_socket.receive(timeout=WATCHDOG)).data)["id"] == 1


async def test_what_is_no_command(serve: Serve) -> None:
    """Half commands, lengths that lie, too many commands and what is no Protobuf end the connection."""
    service = await serve(METHODS)
    whole = packed(begin())
    for frame in (
        b"",
        whole[:-1],
        b"\xff" * 5,
        b"\xff" * 20,
        b"\x05",
        b"\x02\xff\xff",
        b"\x00",
        whole + b"\x80",
        whole + b"\x00" * 200_000,
        packed(theirs.Command(connect=theirs.ConnectRequest())),
        packed(theirs.Command(id=1, rpc=theirs.RPCRequest())),
        b"hello",
    ):
        socket = await opened(service)
        await socket.send_bytes(frame)
        message = await socket.receive(timeout=WATCHDOG)
        while message.type is WSMsgType.BINARY:
            message = await socket.receive(timeout=WATCHDOG)
        assert socket.close_code == 3501, frame[:20]
    socket = await opened(service)
    deep = json.dumps({"a": json.loads(70 * "[" + 70 * "]")}).encode()
    large = json.dumps({"a": 100_000 * "x"}).encode()
    calls = [(b"{", 1003), (deep, 1003), (b"[]", 1003), (b"\xff", 1003), (large, 0), (b"", 0)]
    await socket.send_bytes(packed(begin()))
    await socket.receive(timeout=WATCHDOG)
    for data, code in calls:
        command = theirs.Command(id=2, rpc=theirs.RPCRequest(method="echo", data=data))
        await socket.send_bytes(packed(command))
        body = (await socket.receive(timeout=WATCHDOG)).data
        reply = theirs.Reply.FromString(body[1 if body[0] < 128 else 2 if body[1] < 128 else 3 :])
        assert reply.error.code == code, data[:20]
        if not code:
            assert reply.rpc.data.replace(b": ", b":") == (data.replace(b": ", b":") or b"{}")
    filtered = theirs.SubscribeRequest(channel="plain", tf=theirs.FilterNode(op="and"))
    await socket.send_bytes(packed(theirs.Command(id=3, subscribe=filtered)))
    assert theirs.Reply.FromString((await socket.receive(timeout=WATCHDOG)).data[1:]).error.code == 107


async def test_without_the_library(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says what to install, and clients that speak JSON are served."""
    service = await serve(METHODS)
    monkeypatch.delitem(sys.modules, "toto_aio.centrifuge.protobuf_wire", raising=False)
    monkeypatch.delitem(sys.modules, "toto_aio.centrifuge.schema", raising=False)
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await opened(service)
    assert caught.value.status == 501
    socket = await opened(service, protocols=[])
    await socket.send_str('{"id":1,"connect":{}}')
    assert (await socket.receive(timeout=WATCHDOG)).type is WSMsgType.TEXT
    monkeypatch.undo()
    importlib.import_module("toto_aio.centrifuge.protobuf_wire")
