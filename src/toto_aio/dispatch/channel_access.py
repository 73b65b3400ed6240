"""Who may subscribe to which channel: the functions that are decorated with ``@channel``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toto_aio.auth.caller import Caller
from toto_aio.channels import Channel, ChannelTable
from toto_aio.dispatch.answers import OWN_BYTES, needs_its_own
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.dispatcher import Dispatch
from toto_aio.dispatch.method import Method
from toto_aio.dispatch.reply import Reply
from toto_aio.exceptions import InvalidParameters, MethodNotFound, NotAuthorized
from toto_aio.members import Admission
from toto_aio.names import shortened
from toto_aio.settings import SettingsError


class ChannelFunctions:
    """The functions of a service that admit to channels. Raises ``SettingsError`` if two share names."""

    def __init__(self, functions: Mapping[str, Method]) -> None:
        found = {
            name: (each, each.rules.channel)
            for name, each in functions.items()
            if each.rules.channel is not None
        }
        self._publishing = {
            channel.pattern: Publishing(functions, name, method, channel)
            for name, (method, channel) in found.items()
            if method.rules.publish
        }
        self.by_name = {name: method for name, (method, _) in found.items()}
        self.channels: list[Channel] = [channel for _, channel in found.values()]
        self._names = {channel.pattern: name for name, (_, channel) in found.items()}
        try:
            self._table = ChannelTable(self.channels)
        except ValueError as exc:
            raise SettingsError(str(exc)) from exc

    def publishing(self, channel: Any, data: Any) -> Call:
        """The call of the method through which a client publishes: with what it sends, and the variables.

        Raises ``MethodNotFound`` if there is no such channel, ``NotAuthorized`` if clients don't publish to
        it, and ``InvalidParameters``.
        """
        declared, variables = self._find(channel)
        publishing = self._publishing.get(declared.pattern)
        if publishing is None:
            raise NotAuthorized(f"Clients do not publish to '{shortened(channel)}'.")
        if type(data) is not dict:
            raise InvalidParameters("What a client publishes must be an object.")
        return publishing.call(data, variables)

    def call(self, channel: Any) -> Call:
        """The call that asks whether a caller may subscribe. Raises ``MethodNotFound`` if there is none."""
        found, variables = self._find(channel)
        # The parameters are text, as they are in a form.
        return Call(self._names[found.pattern], dict(variables), by_form=True)

    def _find(self, channel: Any) -> tuple[Channel, dict[str, str]]:
        found = self._table.find(channel)
        if found is None:
            raise MethodNotFound(f"There is no channel '{shortened(channel)}'.")
        return found


class Publishing:
    """The method through which clients publish to the channels of a pattern. Raises ``SettingsError``."""

    def __init__(self, functions: Mapping[str, Method], name: str, admits: Method, channel: Channel) -> None:
        method = functions.get(admits.rules.publish)
        if method is None or (method.rules.channel is not None and not method.rules.is_marked):
            raise SettingsError(
                f"{name}: publish: there is no method {admits.rules.publish!r}: write the name that clients "
                "call, as in rooms.say"
            )
        self._name = method.name
        self._fields: dict[str, Any] = {}
        if method.signature is not None:
            from toto_aio.dispatch.text import field_of

            given = [each for each in method.signature.parameters if each.name in channel.variables]
            self._fields = {each.name: field_of(each) for each in given}

    def call(self, data: dict[str, Any], variables: Mapping[str, str]) -> Call:
        """Its call with what a client sends; the variables are those of the channel, whatever that says."""
        values: Mapping[str, Any] = variables
        if self._fields:
            from toto_aio.dispatch.text import read

            values = {**variables, **read(variables, self._fields)[0]}
        return Call(self._name, {**data, **values})


class ChannelAccess:
    """Asks them, through a dispatcher of theirs: sessions, roles, limits and hooks are as in every call."""

    def __init__(self, functions: ChannelFunctions, dispatch: Dispatch) -> None:
        self._functions = functions
        self._dispatch = dispatch

    def call(self, channel: Any) -> Call:
        """As ``ChannelFunctions.call``."""
        return self._functions.call(channel)

    def publishing(self, channel: Any, data: Any) -> Call:
        """As ``ChannelFunctions.publishing``."""
        return self._functions.publishing(channel, data)

    async def admit(self, call: Call, caller: Caller, reply: Reply) -> Admission:
        """What comes with the subscription. Raises what the function raises to refuse the caller."""
        result = await self._dispatch(call, caller, reply)
        if type(result) in OWN_BYTES:
            raise needs_its_own(call.method)
        return result if type(result) is Admission else Admission(result)
