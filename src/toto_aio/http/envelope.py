"""The envelope of a response: a result or an error, with the caller's session."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.caller import Caller
from toto_aio.codecs import Codec
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.dispatcher import wire_error
from toto_aio.exceptions import TotoException
from toto_aio.http.reply import HTTPReply


def envelope(key: str, value: Any, caller: Caller | None) -> dict[str, Any]:
    """A ``result``, ``error`` or ``batch``, with the session if there is one."""
    if caller is None or caller.session is None:
        return {key: value}
    return {key: value, "session": caller.session.describe()}


def error_value(codec: Codec, exc: Exception, call: Call, reply: HTTPReply, *, debug: bool) -> dict[str, Any]:
    """The error that a client receives for an exception, which is logged.

    An error whose value the codec can't encode is an internal error.
    """
    if isinstance(exc, TotoException):
        try:
            codec.encode(exc.as_dict())
        except Exception as unsendable:
            exc = unsendable
    return wire_error(exc, call, reply.address, debug=debug).as_dict()
