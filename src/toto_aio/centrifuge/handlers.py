"""What each command does: a call of a method, or something about a channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from toto_aio.auth.caller import Caller
from toto_aio.centrifuge import replies
from toto_aio.centrifuge.codes import (
    ALREADY_SUBSCRIBED,
    NOT_ANSWERED,
    NOT_AVAILABLE,
    PERMISSION_DENIED,
    UNKNOWN_CHANNEL,
    UNRECOVERABLE_POSITION,
    WRONG,
    CommandError,
    DisconnectError,
    Error,
    error_of_call,
    error_of_channel,
)
from toto_aio.centrifuge.commands import Command
from toto_aio.centrifuge.rpc import call_of_rpc, call_of_send
from toto_aio.centrifuge.wire import Spoken
from toto_aio.channels import Position
from toto_aio.dispatch.answers import OWN_BYTES, needs_its_own
from toto_aio.dispatch.call import Call
from toto_aio.events.followed import Subscribed
from toto_aio.exceptions import InvalidParameters, TotoException
from toto_aio.websocket.open_socket import SocketContext
from toto_aio.websocket.reply import SocketReply
from toto_aio.websocket.subscriptions import Subscriptions

Act = Callable[[Caller, SocketReply], Awaitable[bytes | None]]
"""What a command does as its caller; the frame that answers it, if it hasn't been sent already."""


class Connection(Protocol):
    """What a command uses of its connection: ``CentrifugeSocket``."""

    context: SocketContext
    spoken: Spoken
    subscriptions: Subscriptions | None
    publishing: asyncio.Lock

    def subscribed(self) -> Subscriptions | None:
        """The subscriptions; None if the app has no channels."""

    def reply(self, command: Command, result: replies.Message) -> None:
        """Send the result of a command that is answered at once."""

    async def act(
        self,
        call: Call,
        data: bytes,
        command: Command | None,
        act: Act,
        error_of: Callable[[TotoException], Error] = ...,
    ) -> None:
        """Do what a command asks for, under the session of the connection, and answer it."""


async def rpc(connection: Connection, command: Command, data: bytes) -> None:
    """Call a method."""
    call = Call(command.request.method)
    try:
        call_of_rpc(call, command.request)
    except InvalidParameters as exc:
        raise CommandError(error_of_call(exc)) from exc
    await connection.act(call, data, command, dispatching(connection, call, command))


async def send(connection: Connection, command: Command, data: bytes) -> None:
    """Call a method that gets no response."""
    call = call_of_send(command.request.data)
    if call is None:
        raise DisconnectError(NOT_ANSWERED, 'send: write {"method": ..., "parameters": ...}')
    await connection.act(call, data, None, dispatching(connection, call, None))


async def publish(connection: Connection, command: Command, data: bytes) -> None:
    """Call the method through which clients publish to a channel."""
    request, channels = command.request, _channels(connection)
    if request.type:
        raise CommandError(NOT_AVAILABLE)
    call = Call("publish")

    async def act(caller: Caller, reply: SocketReply) -> bytes:
        asked = channels.context.access.publishing(request.channel, request.data)
        call.name, call.parameters = asked.name, asked.parameters
        await dispatching(connection, call, None)(caller, reply)
        return connection.spoken.wire.frame({"id": command.id, "publish": {}})

    async with connection.publishing:
        await connection.act(call, data, command, act, error_of_channel)


async def subscribe(connection: Connection, command: Command, data: bytes) -> None:
    """Subscribe to a channel, if its function admits the caller."""
    request, subscriptions = command.request, _channels(connection)
    if request.tf is not None:
        raise CommandError(WRONG, "tf: publications have no tags")
    if request.type:
        raise CommandError(NOT_AVAILABLE)
    if request.channel in subscriptions:
        raise CommandError(ALREADY_SUBSCRIBED)
    call, spoken = Call("subscribe"), connection.spoken

    def begun(subscribed: Subscribed, given: Any) -> bytes:
        told = replies.subscribed(subscribed, given, was_recovering=request.recover)
        return spoken.wire.frame({"id": command.id, "subscribe": told})

    async def act(caller: Caller, reply: SocketReply) -> None:
        asked = subscriptions.context.access.call(request.channel)
        call.name, call.parameters, call.by_form = asked.name, asked.parameters, asked.by_form
        since = Position(request.epoch, request.offset) if request.recover else None
        await subscriptions.subscribe(request.channel, since, call, caller, reply, spoken.channels, begun)

    await connection.act(call, data, command, act, error_of_channel)


async def unsubscribe(connection: Connection, command: Command, data: bytes) -> None:
    """End a subscription."""
    if connection.subscriptions is not None:
        connection.subscriptions.unsubscribe(command.request.channel)
    connection.reply(command, {})


async def history(connection: Connection, command: Command, data: bytes) -> None:
    """Read what is kept of a channel."""
    request = command.request
    channels = _subscribed_to(connection, request.channel).context.channels
    if not channels.rules(request.channel).history:
        raise CommandError(NOT_AVAILABLE)
    since = None if request.since is None else Position(request.since.epoch, request.since.offset)

    async def read() -> replies.Message:
        found = await channels.history(request.channel, request.limit, since, newest=request.reverse)
        if found is None:
            raise CommandError(UNRECOVERABLE_POSITION)
        return replies.history(*found)

    await _look(connection, command, data, read)


async def presence(connection: Connection, command: Command, data: bytes) -> None:
    """Who is present in a channel."""
    subscriptions = _present_in(connection, command.request.channel)

    async def read() -> replies.Message:
        return replies.presence(await subscriptions.presence(command.request.channel))

    await _look(connection, command, data, read)


async def presence_stats(connection: Connection, command: Command, data: bytes) -> None:
    """How many they are."""
    subscriptions = _present_in(connection, command.request.channel)

    async def read() -> replies.Message:
        return replies.presence_stats(await subscriptions.presence_stats(command.request.channel))

    await _look(connection, command, data, read)


async def ping(connection: Connection, command: Command, data: bytes) -> None:
    """Answer."""
    connection.reply(command, {})


async def sub_refresh(connection: Connection, command: Command, data: bytes) -> None:
    """Refuse."""
    raise CommandError(NOT_AVAILABLE, "Subscriptions have no tokens: they end with the session")


COMMANDS: Mapping[str, Callable[[Connection, Command, bytes], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        *(rpc, send, publish, subscribe, unsubscribe),
        *(history, presence, presence_stats, ping, sub_refresh),
    )
}
"""What carries out each command; ``connect`` and ``refresh`` are the connection's own."""


def dispatching(connection: Connection, call: Call, command: Command | None) -> Act:
    """Makes a call, and answers the command, if it is to be answered, with the result."""

    async def act(caller: Caller, reply: SocketReply) -> bytes | None:
        result = await connection.context.dispatch(call, caller, reply)
        if type(result) in OWN_BYTES:
            raise needs_its_own(call.method)
        if command is None:
            return None
        return connection.spoken.wire.frame({"id": command.id, "rpc": {"data": result}})

    return act


async def _look(
    connection: Connection, command: Command, data: bytes, read: Callable[[], Awaitable[replies.Message]]
) -> None:
    """Answer with what is read of a channel."""

    async def act(caller: Caller, reply: SocketReply) -> bytes:
        return connection.spoken.wire.frame({"id": command.id, command.kind: await read()})

    call = Call(command.kind, method=command.kind)
    await connection.act(call, data, command, act, error_of_channel)


def _channels(connection: Connection) -> Subscriptions:
    subscriptions = connection.subscribed()
    if subscriptions is None:
        raise CommandError(UNKNOWN_CHANNEL)
    return subscriptions


def _subscribed_to(connection: Connection, name: str) -> Subscriptions:
    """The subscriptions, one of which is to this channel: who was admitted may look at it."""
    subscriptions = _channels(connection)
    if not subscriptions.has(name):
        raise CommandError(PERMISSION_DENIED, "Subscribe to the channel first")
    return subscriptions


def _present_in(connection: Connection, name: str) -> Subscriptions:
    subscriptions = _subscribed_to(connection, name)
    if not subscriptions.context.channels.rules(name).presence:
        raise CommandError(NOT_AVAILABLE)
    return subscriptions
