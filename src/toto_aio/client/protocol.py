"""What a client sends and gets: requests made and signed, answers verified and read. No I/O.

``docs/client.md`` shows it in use; ``toto_aio.client`` sends what is made here.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from toto_aio import exceptions
from toto_aio.codecs import CODECS, Codec, decode_bson
from toto_aio.exceptions import CodedException, InvalidResponseHMAC, TooManyAttempts, TotoException
from toto_aio.signing import SCHEMES, SignedRequest, Signer, hmac_sha1, hmac_sha256, request_message


class UnreadableAnswerError(aiohttp.ClientError):
    """An answer that is none of a service: a proxy's page, or the bytes of a method's own."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a client holds of a session. Who has it acts as its user, so nothing of that is shown.

    Kept somewhere safe, it outlives the client: ``Client(url, session=session)``.
    """

    session_id: str = field(repr=False)
    user_id: str = ""
    expires: float = 0.0
    key: str = field(default="", repr=False)
    """Base64 of the key that signs, with ``signing=session``."""

    @property
    def signer(self) -> Signer:
        """What a signature scheme wants to know of it."""
        return Signer(self.session_id, self.user_id, base64.b64decode(self.key))


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is to be sent; ``signed`` is what the scheme ``signing`` looks at."""

    method: str
    url: URL
    headers: dict[str, str]
    body: bytes
    signing: str
    session: Session | None
    signed: SignedRequest


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def message(self) -> dict[str, Any] | None:
        """The result, error or batch, with the session; None if the bytes are something else."""
        decode = _DECODE.get(self.content_type)
        if decode is None:
            return None
        try:
            value = decode(self.body)
        except (ValueError, RecursionError, TotoException):
            return None
        return value if isinstance(value, dict) and not _ANSWERS.isdisjoint(value) else None

    @property
    def session(self) -> Session | None:
        """The session that it shows, if it does. Raises ``UnreadableAnswerError``."""
        shown = None if self.message is None else self.message.get("session")
        return None if shown is None else read_session(shown)


def codec_named(encoding: str) -> Codec:
    """The codec of ``json``, ``msgpack`` or ``bson``. Raises ``ValueError``."""
    codec = CODECS.get(f"application/{encoding}")
    if codec is None:
        raise ValueError(f"encoding: write json, msgpack or bson, not {encoding!r}")
    return codec


def method_url(root: URL, method: str, parameters: Mapping[str, Any] | None = None) -> URL:
    """Where a method is called, with parameters for a GET."""
    path = quote(method.replace(".", "/"))
    query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
    return URL(f"{root}/{path}{query}", encoded=True)


def compose(
    method: str, url: URL, *, signing: str, session: Session | None, content_type: str = "", body: bytes = b""
) -> Request:
    """The request, which shows the session, signed as ``signing`` wants it."""
    headers = {"Content-Type": content_type} if content_type else {}
    if session is not None:
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
        headers["x-toto-hmac"] = signature.decode()
    return Request(method, url, headers, body, signing, session, signed)


def verify(request: Request, answer: Answer, foreign: Collection[Any] = ()) -> None:
    """Raise ``InvalidResponseHMAC`` for a wrong signature, or none where the session must have signed.

    ``foreign`` are sessions that the parameters name: a method that takes one so does not sign with it.
    """
    shown, scheme = answer.session, SCHEMES[request.signing]
    session = shown or request.session
    if request.session is not None and shown is not None and shown.session_id == request.session.session_id:
        session = request.session  # whose key comes but once
    if scheme is None or session is None:
        return
    expected = scheme.sign(request.signed, session.signer, answer.body)
    given = answer.headers.get("x-toto-hmac")
    if expected is None or (given is None and (shown is None or shown.session_id in foreign)):
        return
    if given is None:
        raise InvalidResponseHMAC("The answer is not signed; is the service's signing the same?")
    if not hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode()):
        raise InvalidResponseHMAC


def outcome(entry: Any) -> Any:
    """The result of a call in a batch, or its exception, which is not raised."""
    if not isinstance(entry, dict) or not ("result" in entry or "error" in entry):
        raise UnreadableAnswerError(f"The service answers a call of the batch with {entry!r}")
    return error_of(entry["error"]) if "error" in entry else entry["result"]


def error_of(error: Any, headers: Mapping[str, str] | None = None) -> TotoException:
    """The exception of an error in an answer: of its code's own class, if it has one."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        raise UnreadableAnswerError(f"The service answers with an error without a code: {error!r}")
    code, value = error["code"], error.get("value")
    kind = _ERRORS.get(code)
    exc = TotoException(code, value) if kind is None else kind(value)
    if isinstance(exc, TooManyAttempts):
        wait = (headers or {}).get("Retry-After", "")
        exc.retry_after = int(wait) if wait.isdecimal() else 0
    return exc


def read_session(shown: Any) -> Session:
    """The session of an answer. Raises ``UnreadableAnswerError``."""
    try:
        session = msgspec.convert(shown, Session)
        base64.b64decode(session.key)
        return session
    except ValueError as exc:
        raise UnreadableAnswerError(f"The service answers with a session that is none: {exc}") from exc


def _sign_body(request: SignedRequest, signer: Signer) -> bytes | None:
    return hmac_sha1(signer.user_id.encode(), request.body) if signer.user_id and request.body else None


def _sign_all(request: SignedRequest, signer: Signer) -> bytes | None:
    return hmac_sha256(signer.key, request_message(request)) if signer.key else None


_SIGN: dict[str, Callable[[SignedRequest, Signer], bytes | None]] = {
    "user_id": _sign_body,
    "session": _sign_all,
    "off": lambda request, signer: None,
}
_ANSWERS = frozenset({"result", "error", "batch"})
# A service is trusted with more than a client is: its dates come as MessagePack's timestamps.
_DECODE: dict[str, Callable[[bytes], Any]] = {
    "application/json": msgspec.json.decode,
    "application/msgpack": msgspec.msgpack.decode,
    "application/bson": decode_bson,
}
_ERRORS: dict[int, type[CodedException]] = {
    kind.CODE: kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, CodedException) and kind is not CodedException
}
