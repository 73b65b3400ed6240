"""Whether a response comes from the service: what its signature has to be, and which ones may have none."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from typing import Any

from toto_aio.client.protocol import (
    HMAC_HEADER,
    Request,
    Response,
    UnreadableResponseError,
    as_shown,
    error_of,
)
from toto_aio.exceptions import (
    InvalidHMAC,
    InvalidParameters,
    InvalidResponseHMAC,
    NotAuthorized,
    Unavailable,
)
from toto_aio.signing import SCHEMES

UNREAD = frozenset({400, 408, 413})
"""The statuses of error 1003 if the service has not read the body, and so could not verify a signature."""
UNSIGNED = (
    "The response is not signed, so anyone may have sent it. If the session has ended, log in with "
    "client.login, or set client.session = None."
)


def verify(
    request: Request,
    response: Response,
    named: Collection[Any] = (),
    *,
    logs_in: bool = False,
    unsigned: bool = False,
) -> bool:
    """Whether a response is signed as its request demands; False for one that is accepted nevertheless.

    If the request was signed with a key, the response must be signed with the same key. Without a signature,
    errors are accepted that a service cannot sign, and with ``unsigned`` bytes of a method's own. If the call
    ``logs_in``, the session before may have ended: the new one may sign instead, and no error has to be
    signed. With ``toto1`` a new session always signs the response that it comes with.

    ``named`` are the session ids in the parameters: a response to a method that takes its session from a
    parameter is not signed with it. Raises ``InvalidResponseHMAC``, and ``UnreadableResponseError`` for what
    looks like the error page of a proxy.
    """
    scheme = SCHEMES[request.signing]
    if scheme is None or not scheme.keyed or HMAC_HEADER not in request.headers:
        _verify_shown(request, response, named)
        return True
    assert request.session is not None
    given = response.headers.get(HMAC_HEADER)
    expected = scheme.sign(request.signed, request.session.signer, response.body)
    if given is not None and _equal(given, expected):
        return True
    if given is not None:
        if not (logs_in or request.signing == "toto1"):
            raise InvalidResponseHMAC
        _verify_shown(request, response, named)
        return True
    if response.message is None and response.status >= 400:
        raise UnreadableResponseError(
            f"The response is not signed, and not one of a service: {as_shown(response)}"
        )
    if response.message is None:
        if not unsigned:
            raise InvalidResponseHMAC(f"{UNSIGNED} (streams and redirects: client.fetch(..., unsigned=True))")
    elif not _is_error(response.message):
        raise InvalidResponseHMAC(UNSIGNED)
    elif not (logs_in or _cannot_be_signed(response.message["error"], response.status)):
        error = error_of(response.message["error"], response.headers)
        raise InvalidResponseHMAC(f"{UNSIGNED} It claims error {error.code}.") from error
    return False


def _verify_shown(request: Request, response: Response, named: Collection[Any]) -> None:
    """Verify a response that is signed by the session in it, if there is one."""
    new, scheme = response.session, SCHEMES[request.signing]
    session = new or request.session
    if request.session is not None and new is not None and new.session_id == request.session.session_id:
        session = request.session  # the service sends the key only once
    if scheme is None or session is None:
        return
    expected = scheme.sign(request.signed, session.signer, response.body)
    given = response.headers.get(HMAC_HEADER)
    if expected is None or (given is None and (new is None or new.session_id in named)):
        return
    if given is None:
        raise InvalidResponseHMAC("The response is not signed: write the service's signing, as signing='off'")
    if not _equal(given, expected):
        if session.key and not scheme.keyed:
            raise InvalidResponseHMAC(f"{InvalidResponseHMAC.VALUE}: {keyed_instead(request.signing)}")
        raise InvalidResponseHMAC


def keyed_instead(signing: str) -> str:
    """What to write for a service that has given the session a key, which this scheme does not use."""
    return f"the service gives sessions a key: write its signing, as signing='session', not {signing!r}"


def _is_error(message: Mapping[str, Any]) -> bool:
    return "error" in message and not message.keys() & {"result", "batch"}


def _cannot_be_signed(error: Any, status: int) -> bool:
    """Whether a service responds with this error before it has a session that could sign it.

    That is so if the session does not exist, the signature is refused, a store is out of reach, or the body
    was not read.
    """
    code = error.get("code") if isinstance(error, dict) else None
    if code == InvalidParameters.CODE:
        return status in UNREAD
    return code in (NotAuthorized.CODE, InvalidHMAC.CODE, Unavailable.CODE)


def _equal(given: str, expected: str | None) -> bool:
    given_bytes = given.encode(errors="surrogateescape")
    return expected is not None and hmac.compare_digest(given_bytes, expected.encode())
