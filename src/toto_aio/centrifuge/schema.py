"""The messages of the protocol in Protobuf, as far as the service reads and writes them.

Names and numbers are those of ``client.proto`` in https://github.com/centrifugal/protocol, of which this is
a part in another form:

    Copyright (c) 2023 Centrifugal Labs LTD

    Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
    associated documentation files (the "Software"), to deal in the Software without restriction, including
    without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
    copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the
    following conditions:

    The above copyright notice and this permission notice shall be included in all copies or substantial
    portions of the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
    LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO
    EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER
    IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR
    THE USE OR OTHER DEALINGS IN THE SOFTWARE.

A generated module would need the runtime that it was generated for, and clash with that of a client in the
same process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "centrifugal.centrifuge.protocol"
MESSAGES: Mapping[str, str] = {
    "Command": "uint32 id=1, ConnectRequest connect=4, SubscribeRequest subscribe=5, OfChannel unsubscribe=6,"
    " PublishRequest publish=7, OfChannel presence=8, OfChannel presence_stats=9, HistoryRequest history=10,"
    " Empty ping=11, SendRequest send=12, RPCRequest rpc=13, RefreshRequest refresh=14, Empty sub_refresh=15",
    "ConnectRequest": "string token=1, bytes data=2",
    "SubscribeRequest": "string channel=1, bool recover=3, string epoch=6, uint64 offset=7, Empty tf=13,"
    " int32 type=15",
    "OfChannel": "string channel=1",
    "PublishRequest": "string channel=1, bytes data=2, int32 type=3",
    "HistoryRequest": "string channel=1, int32 limit=7, StreamPosition since=8, bool reverse=9",
    "StreamPosition": "uint64 offset=1, string epoch=2",
    "SendRequest": "bytes data=1",
    "RPCRequest": "bytes data=1, string method=2",
    "RefreshRequest": "string token=1",
    "Reply": "uint32 id=1, Error error=2, Push push=4, ConnectResult connect=5, SubscribeResult subscribe=6,"
    " Empty unsubscribe=7, Empty publish=8, PresenceResult presence=9, PresenceStatsResult presence_stats=10,"
    " HistoryResult history=11, Empty ping=12, RPCResult rpc=13, RefreshResult refresh=14",
    "Error": "uint32 code=1, string message=2, bool temporary=3",
    "Push": "string channel=2, Publication pub=4, Change join=5, Change leave=6, Unsubscribe unsubscribe=7,"
    " PushedMessage message=8",
    "Publication": "bytes data=4, uint64 offset=6",
    "Change": "ClientInfo info=1",
    "ClientInfo": "string user=1, string client=2, bytes chan_info=4",
    "Unsubscribe": "uint32 code=2, string reason=3",
    "PushedMessage": "bytes data=1",
    "ConnectResult": "string client=1, bool expires=3, uint32 ttl=4, bytes data=5, uint32 ping=7,"
    " bool pong=8",
    "SubscribeResult": "bool recoverable=3, string epoch=6, Publication* publications=7, bool recovered=8,"
    " uint64 offset=9, bool positioned=10, bytes data=11, bool was_recovering=12",
    "PresenceResult": "Present* presence=1",
    "Present": "string key=1, ClientInfo value=2",  # what a map is on the wire
    "PresenceStatsResult": "uint32 num_clients=1, uint32 num_users=2",
    "HistoryResult": "Publication* publications=1, string epoch=2, uint64 offset=3",
    "RPCResult": "bytes data=1",
    "RefreshResult": "string client=1, bool expires=3, uint32 ttl=4",
    "Empty": "",
}
"""The fields of each message: type, name and number; a star stands behind the type of many."""


def message_classes() -> tuple[type[Any], type[Any]]:
    """The classes of ``Command`` and ``Reply``, in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(
        name="toto_aio/centrifuge/schema.proto", package=PACKAGE, syntax="proto3"
    )
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            message.field.append(_field(*field.split()))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    command, reply = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in ("Command", "Reply")
    )
    return command, reply


def _field(kind: str, place: str) -> Any:
    kinds = descriptor_pb2.FieldDescriptorProto
    name, _, number = place.partition("=")
    only, many, _ = kind.partition("*")
    field = kinds(name=name, number=int(number))
    field.label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
    if only in MESSAGES:
        field.type, field.type_name = kinds.TYPE_MESSAGE, f".{PACKAGE}.{only}"
    else:
        field.type = kinds.Type.Value(f"TYPE_{only.upper()}")
    return field
