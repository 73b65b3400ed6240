"""The commands of clients, as they are read from a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from toto_aio.centrifuge.codes import BAD_REQUEST, METHOD_NOT_FOUND, WRONG, DisconnectError, Error

MAX_ID = 2**32
"""Ids are 32 bits wide in Protobuf."""

Offset = Annotated[int, Meta(ge=0, lt=2**53)]
Epoch = Annotated[str, Meta(max_length=64)]


class Connect(Struct):
    """Begin: ``token`` is a session id or an API key, and ``data`` may have the signature of the former."""

    token: Annotated[str, Meta(max_length=4096)] = ""
    data: Any = None


class Refresh(Struct):
    """Show the session again, or a new one of the same user."""

    token: Annotated[str, Meta(max_length=4096)]


class Subscribe(Struct):
    """Subscribe to a channel, after a position if it is to ``recover``."""

    channel: str
    recover: bool = False
    epoch: Epoch = ""
    offset: Offset = 0
    tf: Any = None
    type: int = 0


class OfChannel(Struct):
    """A command that only needs the name of a channel."""

    channel: str


class Publish(Struct):
    """Publish to a channel, through the method that it names."""

    channel: str
    data: Any = None
    type: int = 0


class Since(Struct):
    """A position."""

    offset: Offset = 0
    epoch: Epoch = ""


class History(Struct):
    """Read what is kept of a channel: ``limit`` publications, all with a negative one, and none with 0."""

    channel: str
    limit: int = 0
    since: Since | None = None
    reverse: bool = False


class Rpc(Struct):
    """Call a method; ``data`` are its parameters."""

    method: str = ""
    data: Any = None


class Send(Struct):
    """Call a method that gets no response: ``data`` has the ``method`` and its ``parameters``."""

    data: Any = None


class Anything(Struct):
    """A command whose request isn't read."""


KINDS: Mapping[str, type[Struct]] = {
    "connect": Connect,
    "ping": Anything,
    "subscribe": Subscribe,
    "unsubscribe": OfChannel,
    "publish": Publish,
    "presence": OfChannel,
    "presence_stats": OfChannel,
    "history": History,
    "rpc": Rpc,
    "send": Send,
    "refresh": Refresh,
    "sub_refresh": Anything,
}
"""The commands and their requests. Of several in one message the first counts."""


class Command(NamedTuple):
    """One command."""

    id: int
    kind: str
    request: Any


class WrongCommandError(Exception):
    """A message that has an id, and is no command."""

    def __init__(self, command_id: int, error: Error) -> None:
        super().__init__(error.message)
        self.id = command_id
        self.error = error


def read_command(message: Any) -> Command | None:
    """The command in a message; None for the empty one, which answers a ping.

    Raises ``WrongCommandError``, and ``DisconnectError`` for what nobody could be told about.
    """
    if type(message) is not dict:
        raise DisconnectError(BAD_REQUEST, "A command must be an object")
    command_id = message.get("id", 0)
    if type(command_id) is not int or not 0 <= command_id < MAX_ID:
        raise DisconnectError(BAD_REQUEST, "The id of a command must fit into 32 bits")
    kind = next((each for each in KINDS if message.get(each) is not None), None)
    if not command_id:
        if kind is None:
            return None
        if kind != "send":
            raise DisconnectError(BAD_REQUEST, "A command must have an id")
    if kind is None:
        raise WrongCommandError(command_id, METHOD_NOT_FOUND)
    try:
        return Command(command_id, kind, msgspec.convert(message[kind], KINDS[kind]))
    except msgspec.ValidationError as exc:
        raise WrongCommandError(command_id, WRONG._replace(message=f"{kind}: {exc}")) from exc
