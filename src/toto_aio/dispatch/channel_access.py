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
from toto_aio.exceptions import MethodNotFound
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
        self.by_name = {name: method for name, (method, _) in found.items()}
        self.channels: list[Channel] = [channel for _, channel in found.values()]
        self._names = {channel.pattern: name for name, (_, channel) in found.items()}
        try:
            self._table = ChannelTable(self.channels)
        except ValueError as exc:
            raise SettingsError(str(exc)) from exc

    def call(self, channel: Any) -> Call:
        """The call that asks whether a caller may subscribe. Raises ``MethodNotFound`` if there is none."""
        found = self._table.find(channel)
        if found is None:
            raise MethodNotFound(f"There is no channel '{shortened(channel)}'.")
        # The parameters are text, as they are in a form.
        return Call(self._names[found[0].pattern], dict(found[1]), by_form=True)


class ChannelAccess:
    """Asks them, through a dispatcher of theirs: sessions, roles, limits and hooks are as in every call."""

    def __init__(self, functions: ChannelFunctions, dispatch: Dispatch) -> None:
        self._functions = functions
        self._dispatch = dispatch

    def call(self, channel: Any) -> Call:
        """As ``ChannelFunctions.call``."""
        return self._functions.call(channel)

    async def admit(self, call: Call, caller: Caller, reply: Reply) -> Admission:
        """What comes with the subscription. Raises what the function raises to refuse the caller."""
        result = await self._dispatch(call, caller, reply)
        if type(result) in OWN_BYTES:
            raise needs_its_own(call.method)
        return result if type(result) is Admission else Admission(result)
