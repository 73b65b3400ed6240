"""The errors that a call may end with, as responses of OpenAPI, by the statuses of ``error_status``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from toto_aio.dispatch.method import BUILT_IN_ACCOUNTS, Method
from toto_aio.exceptions import (
    HTTP_STATUSES,
    STATUSES,
    CallInProgress,
    CodedException,
    InternalError,
    InvalidCredentials,
    InvalidHMAC,
    InvalidParameters,
    InvalidSessionID,
    InvalidUserID,
    KeyReused,
    NotAuthorized,
    OutcomeUnknown,
    TimedOut,
    TooManyAttempts,
    Unavailable,
    UserIDExists,
)
from toto_aio.method_rules import Guard
from toto_aio.settings import Settings

UNREAD = {
    400: "It cannot be read.",
    408: "The body came too late.",
    413: "The body is too large.",
    415: "Its encoding is not known.",
}
"""The statuses of error 1003 for a request that never became a call."""
BUILT_IN: dict[str, tuple[type[CodedException], ...]] = {
    "create": (UserIDExists, InvalidUserID, TooManyAttempts),
    "login": (InvalidCredentials, TooManyAttempts),
    "update": (InvalidCredentials, TooManyAttempts),
}
"""What the account methods raise besides."""


def error_statuses(method: Method, settings: Settings) -> list[int]:
    """The statuses, other than 200, that an error of the service's may give the response to a call."""
    found = {*UNREAD}
    for kind in _kinds(method, settings):
        found.add(_status(kind, settings))
    if settings.error_status == "http" and method.rules.guard:
        found.add(403)
    return sorted(found - {200})


def failure_responses(settings: Settings) -> dict[str, Any]:
    """The responses with an error, by their names in a document: one for each status."""
    meanings = {status: [f"{InvalidParameters.CODE}: {text}"] for status, text in UNREAD.items()}
    for kind in EVERY:
        lines = meanings.setdefault(_status(kind, settings), [])
        lines.append(f"{kind.CODE}: {(kind.__doc__ or '').splitlines()[0]}")
    if settings.error_status == "http":
        meanings[403] = [f"{NotAuthorized.CODE}: The user may not do this."]
    meanings.pop(200, None)
    described = {status: "\n".join(lines) for status, lines in sorted(meanings.items())}
    return {name_of(status): _response(status, text) for status, text in described.items()}


def name_of(status: int) -> str:
    """The name of a response in a document."""
    return f"Failure{status}"


def _kinds(method: Method, settings: Settings) -> Iterable[type[CodedException]]:
    yield from ALWAYS
    is_signed = settings.signing != "off"
    if method.rules.guard >= Guard.AUTHENTICATED:
        yield NotAuthorized
    if method.rules.guard or is_signed:
        yield from (InvalidHMAC, InvalidSessionID)
    if method.rules.idempotent:
        yield from KEYS
    if method.rules.rates:
        yield TooManyAttempts
    if method.source.startswith(BUILT_IN_ACCOUNTS):
        yield from BUILT_IN.get(method.source.removeprefix(BUILT_IN_ACCOUNTS), ())


def _status(kind: type[CodedException], settings: Settings) -> int:
    return HTTP_STATUSES[kind.CODE] if settings.error_status == "http" else STATUSES.get(kind.CODE, 200)


def _response(status: int, description: str) -> dict[str, Any]:
    response: dict[str, Any] = {"description": description, "content": {}}
    if status in HEADERS:
        name, text = HEADERS[status]
        response["headers"] = {name: {"description": text, "schema": {"type": "string"}}}
    return response


HEADERS = {
    401: ("WWW-Authenticate", "How to show who one is."),
    429: ("Retry-After", "The seconds to wait."),
}
ALWAYS = (InvalidParameters, InternalError, Unavailable, TimedOut)
KEYS = (CallInProgress, KeyReused, OutcomeUnknown)
"""What a call with an idempotency key may end with besides."""
EVERY = (
    *ALWAYS,
    *KEYS,
    NotAuthorized,
    InvalidCredentials,
    UserIDExists,
    InvalidSessionID,
    InvalidHMAC,
    InvalidUserID,
    TooManyAttempts,
)
