"""The codes of the protocol: errors of commands, and why a connection is closed.

A client comes back by itself after the codes 3000 to 3499, with a pause that grows; from 3500 on it does not.
An error that is temporary makes it try again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from toto_aio.exceptions import (
    CallInProgress,
    InternalError,
    InvalidHMAC,
    InvalidParameters,
    InvalidSessionID,
    MethodNotFound,
    NotAuthorized,
    TimedOut,
    TooManyAttempts,
    TotoException,
    Unavailable,
)
from toto_aio.websocket.events import TooManyError
from toto_aio.websocket.open_socket import Reason

SHUTDOWN: Reason = (3001, "shutdown")
EXPIRED: Reason = (3005, "connection expired")
SLOW: Reason = (3008, "slow")
NO_PONG: Reason = (3012, "no pong")
INVALID_TOKEN: Reason = (3500, "invalid token")
BAD_REQUEST: Reason = (3501, "bad request")
STALE: Reason = (3502, "stale")
SESSION_ENDED: Reason = (3503, "the session has ended")
NOT_ANSWERED: Reason = (3508, "not available")


class Error(NamedTuple):
    """The error of a command."""

    code: int
    message: str
    temporary: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The error as a reply contains it."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return {**error, "temporary": True} if self.temporary else error


INTERNAL = Error(100, "internal server error", True)
UNKNOWN_CHANNEL = Error(102, "unknown channel")
PERMISSION_DENIED = Error(103, "permission denied")
METHOD_NOT_FOUND = Error(104, "method not found")
ALREADY_SUBSCRIBED = Error(105, "already subscribed")
LIMIT_EXCEEDED = Error(106, "limit exceeded")
WRONG = Error(107, "bad request")
NOT_AVAILABLE = Error(108, "not available")
TOKEN_EXPIRED = Error(109, "token expired")
TOO_MANY_REQUESTS = Error(111, "too many requests", True)
UNRECOVERABLE_POSITION = Error(112, "unrecoverable position")

OF_CHANNELS: Mapping[int, Error] = {
    InternalError.CODE: INTERNAL,
    MethodNotFound.CODE: UNKNOWN_CHANNEL,
    InvalidParameters.CODE: WRONG,
    NotAuthorized.CODE: PERMISSION_DENIED,
    InvalidHMAC.CODE: PERMISSION_DENIED,
    InvalidSessionID.CODE: PERMISSION_DENIED,
    Unavailable.CODE: INTERNAL,
    TooManyAttempts.CODE: TOO_MANY_REQUESTS,
    TimedOut.CODE: INTERNAL,
}
"""What Toto's errors are in commands about channels, by their codes."""
TEMPORARY = frozenset({Unavailable.CODE, TooManyAttempts.CODE, CallInProgress.CODE})
"""The errors of calls after which the same call may succeed."""
RESERVED = range(400)
"""Codes that the libraries regard as their own, or the protocol's."""
MAX_CODE = 2**32
MAX_REASON = 123
"""Bytes."""


class CommandError(Exception):
    """A command fails with this error, whatever the service's own errors are."""

    def __init__(self, error: Error, message: str | None = None) -> None:
        super().__init__(error.code, message or error.message)
        self.error = error if message is None else error._replace(message=message)


class DisconnectError(Exception):
    """The connection is closed for this reason."""

    def __init__(self, reason: Reason, text: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason if text is None else (reason[0], _cut(text))


def _cut(text: str) -> str:
    """As much of a text as a close frame has room for (RFC 6455, 5.5)."""
    return text.encode()[:MAX_REASON].decode(errors="ignore")


def error_of_call(error: TotoException) -> Error:
    """The error of a call, with its own code.

    The message is its value if that is text, and nothing else belongs to it; otherwise all that belongs to
    it, as a JSON object: the ``value``, and such as ``problems``, ``retry_after`` or ``ticket``.
    """
    told = error.as_dict()
    has_code = 0 < error.code < MAX_CODE
    if has_code:
        del told["code"]
    plain = told["value"] if told.keys() == {"value"} else None
    message = plain if isinstance(plain, str) else json.dumps(told, default=str)
    return Error(error.code if has_code else InternalError.CODE, message, error.code in TEMPORARY)


def error_of_channel(error: TotoException) -> Error:
    """The error of a command about a channel: an author's own keeps its code, unless that is reserved."""
    if isinstance(error, TooManyError):
        found = LIMIT_EXCEEDED
    elif error.code in OF_CHANNELS:
        found = OF_CHANNELS[error.code]
    elif error.code in RESERVED or not 0 < error.code < MAX_CODE:
        found = PERMISSION_DENIED
    else:
        return error_of_call(error)
    return found._replace(message=error.value if isinstance(error.value, str) else found.message)
