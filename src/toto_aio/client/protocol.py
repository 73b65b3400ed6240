"""The client's side of the protocol, without I/O: composes and signs requests, and reads responses.

``docs/client.md`` shows it in use; ``toto_aio.client.verify`` verifies the responses, and
``toto_aio.client.line`` does the I/O.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from toto_aio import exceptions
from toto_aio.codecs import CODECS, Codec
from toto_aio.codecs.bson_codec import read_bson
from toto_aio.exceptions import CodedException, TooManyAttempts, TotoException
from toto_aio.signing import (
    SignedRequest,
    Signer,
    hmac_sha1,
    hmac_sha256,
    request_message,
    toto1_signature,
)

HMAC_HEADER = "x-toto-hmac"
TIMEOUT_HEADER = "x-toto-timeout"
DEFAULT_TIMEOUT = 60.0
"""Seconds that a call may take. The service is told a shorter time, so that it works for nobody who left."""


WRONG_URL = frozenset({404, 405, 501})
"""The statuses with which other servers respond to a POST to a page that they do not have, or only show."""


class UnreadableResponseError(aiohttp.ClientError):
    """The response is not one of a service: it is a proxy's page, or the raw response of a method."""


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """The client's part of a session. Anyone who has it can act as its user, so its secrets are not shown.

    Keep it in a safe place to use the session in a later client: ``Client(url, session=session)``.
    """

    session_id: str = field(repr=False)
    user_id: str = ""
    expires: float = 0.0
    key: str = field(default="", repr=False)
    """The signing key in base64, with ``signing=session`` or ``toto1``."""

    @property
    def signer(self) -> Signer:
        """The session as a signature scheme sees it."""
        return Signer(self.session_id, self.user_id, base64.b64decode(self.key))


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is ready to be sent; ``signed`` has the parts that the scheme ``signing`` uses."""

    method: str
    url: URL
    headers: dict[str, str]
    body: bytes
    signing: str
    session: SessionCredentials | None
    signed: SignedRequest


@dataclass(frozen=True)
class Response:
    """A response as it was received."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def message(self) -> dict[str, Any] | None:
        """The result, error or batch, with the session; None if the body is something else."""
        decode = _DECODE.get(self.content_type)
        if decode is None:
            return None
        try:
            value = decode(self.body)
        except (ValueError, RecursionError, TotoException):
            return None
        return value if isinstance(value, dict) and not _MEMBERS.isdisjoint(value) else None

    @property
    def session(self) -> SessionCredentials | None:
        """The session in the response, or None. Raises ``UnreadableResponseError``.

        That of an API key has no id: it is not a client's to show.
        """
        shown = None if self.message is None else self.message.get("session")
        is_without_id = isinstance(shown, dict) and "user_id" in shown and "session_id" not in shown
        return None if shown is None or is_without_id else read_session(shown)


def as_shown(response: Response) -> str:
    """A response that is not one of a service, as an error shows it, with a hint if the URL may be wrong."""
    text = f"{response.status} {response.content_type}, {response.body[:80]!r}"
    if response.status in WRONG_URL:
        text += (
            ". Is the URL right? It ends with the path of the service, as in http://127.0.0.1:8888/service"
        )
    return text


def told_limit(seconds: float) -> float | None:
    """The time limit of a client as the service is told; None for one that isn't shorter than usual."""
    return max(round(seconds, 3), 0.001) if seconds < DEFAULT_TIMEOUT else None


def codec_named(encoding: str) -> Codec:
    """The codec of ``json``, ``msgpack`` or ``bson``. Raises ``ValueError``."""
    codec = CODECS.get(f"application/{encoding}")
    if codec is None:
        raise ValueError(f"encoding: write json, msgpack or bson, not {encoding!r}")
    return codec


def method_url(root: URL, method: str, parameters: Mapping[str, Any] | None = None) -> URL:
    """The URL of a method, with the parameters of a GET."""
    path = quote(method.replace(".", "/"))
    query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
    return URL(f"{root}/{path}{query}", encoded=True)


def compose(
    method: str,
    url: URL,
    *,
    signing: str,
    session: SessionCredentials | None,
    api_key: str = "",
    content_type: str = "",
    body: bytes = b"",
) -> Request:
    """A request with the headers of the session, signed by the scheme ``signing``; or with an API key."""
    headers = {"Content-Type": content_type} if content_type else {}
    if session is None and api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    elif session is not None:
        headers["x-toto-session-id"] = session.session_id
        if signing == "session":
            headers["x-toto-timestamp"] = str(int(time.time()))
            headers["x-toto-nonce"] = secrets.token_hex(16)
    signed = SignedRequest(
        body,
        None,
        method,
        url.raw_path_qs,
        content_type,
        headers.get("x-toto-session-id", ""),
        headers.get("x-toto-timestamp"),
        headers.get("x-toto-nonce"),
    )
    signature = None if session is None else _SIGN[signing](signed, session.signer)
    if signature is not None:
        headers[HMAC_HEADER] = signature.decode()
    return Request(method, url, headers, body, signing, session, signed)


def result_or_error(entry: Any) -> Any:
    """The result of a call in a batch, or its exception, which is returned and not raised."""
    if not isinstance(entry, dict) or not ("result" in entry or "error" in entry):
        raise UnreadableResponseError(f"The service responds to a call of the batch with {entry!r}")
    return error_of(entry["error"]) if "error" in entry else entry["result"]


def error_of(error: Any, headers: Mapping[str, str] | None = None) -> TotoException:
    """The exception for an error in a response, of the class for its code if there is one."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        raise UnreadableResponseError(f"The service responds with an error without a code: {error!r}")
    code, value = error["code"], error.get("value")
    kind = _ERRORS.get(code)
    exc = TotoException(code, value) if kind is None else kind(value)
    if len(error) > 2:
        exc.details = {name: each for name, each in error.items() if name not in ("code", "value")}
    wait = (headers or {}).get("Retry-After", "")
    if isinstance(exc, TooManyAttempts) and not exc.retry_after and wait.isdecimal():
        exc.details = {**exc.details, "retry_after": int(wait)}  # of a service before version 0.2
    return exc


def read_session(shown: Any) -> SessionCredentials:
    """The session in a response. Raises ``UnreadableResponseError``."""
    try:
        session = msgspec.convert(shown, SessionCredentials)
        base64.b64decode(session.key)
        return session
    except ValueError as exc:
        raise UnreadableResponseError(f"The service responds with an invalid session: {exc}") from exc


def _sign_body(request: SignedRequest, signer: Signer) -> bytes | None:
    return hmac_sha1(signer.user_id.encode(), request.body) if signer.user_id and request.body else None


def _sign_request(request: SignedRequest, signer: Signer) -> bytes | None:
    return hmac_sha256(signer.key, request_message(request)) if signer.key else None


def _sign_as_toto1(request: SignedRequest, signer: Signer) -> bytes | None:
    return toto1_signature(request, signer) if signer.key else None


_SIGN: dict[str, Callable[[SignedRequest, Signer], bytes | None]] = {
    "user_id": _sign_body,
    "toto1": _sign_as_toto1,
    "session": _sign_request,
    "off": lambda request, signer: None,
}
_MEMBERS = frozenset({"result", "error", "batch"})
# A client trusts the service with more than the reverse: its dates come as MessagePack timestamps,
# and results have no limits.
_DECODE: dict[str, Callable[[bytes], Any]] = {
    "application/json": msgspec.json.decode,
    "application/msgpack": msgspec.msgpack.decode,
    "application/bson": read_bson,
}
_ERRORS: dict[int, type[CodedException]] = {
    kind.CODE: kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, CodedException) and kind is not CodedException
}
