"""The kinds of answers that are not a plain result: bytes, scripts, redirects, streams."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from toto_aio.codecs import Codec
from toto_aio.exceptions import InvalidParameters
from toto_aio.method_rules import Rules


class RawAnswer(Struct, frozen=True):
    """Bytes that are the whole body of the response, without an envelope."""

    body: bytes
    content_type: str


class ScriptAnswer(RawAnswer, frozen=True):
    """A script of JSONP. Browsers must take it for nothing else, whatever its first bytes are."""


class Redirect(Struct, frozen=True):
    """A redirection of the client to another URL."""

    url: str
    status: int = 302


class Streamed:
    """An answer that has been sent in pieces already."""


OWN_BYTES = (RawAnswer, ScriptAnswer, Redirect, Streamed)
"""The answers that need a response of their own, which a batch and a socket don't have."""


def needs_its_own(method: str) -> InvalidParameters:
    """The error of a method with such an answer, called where it has no response of its own."""
    return InvalidParameters(f"'{method}' answers with bytes of its own: call it by HTTP.")


def raw_answer(result: Any, content_type: str) -> RawAnswer:
    """What a ``@raw_response`` method returned, as bytes. Raises ``TypeError`` if it isn't bytes or text."""
    if isinstance(result, str):
        body = result.encode()
    elif isinstance(result, bytes | bytearray | memoryview):
        body = bytes(result)
    elif result is None:
        body = b""
    else:
        raise TypeError(f"a @raw_response method returned {type(result).__name__}: return bytes or str")
    return RawAnswer(body, content_type)


def script(callback: str, result: Any, json: Codec) -> ScriptAnswer:
    """A script that calls the function named ``callback`` with the result."""
    # The comment keeps the callback's name from being the first bytes of the response (Rosetta Flash).
    body = b"/**/" + callback.encode() + b"(" + json.encode(result) + b")"
    return ScriptAnswer(body, "application/javascript")


_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,63}", re.ASCII)


def check_callback(callback: Any) -> None:
    """Raise ``InvalidParameters`` for a callback that isn't the name of a JavaScript function."""
    if not isinstance(callback, str) or not _CALLBACK.fullmatch(callback):
        raise InvalidParameters("The callback must be the name of a function.")


def redirect_for(exc: Exception, rules: Rules) -> str | None:
    """The URL that ``@error_redirect`` has for an error; None without one."""
    for attribute in ("code", "status_code"):
        url = rules.redirects.get(str(getattr(exc, attribute, None)))
        if url is not None:
            return url
    return rules.default_redirect
