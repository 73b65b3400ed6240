"""What the headers of a request show: a session, in ``x-toto-session-id``, or ``Authorization: Bearer``.

A bearer token (RFC 6750) is what every HTTP client knows how to send, and every proxy to keep out of its
logs; it may be an API key too. The other schemes of ``Authorization`` belong to somebody else: a proxy, or
the application around the service, may use Basic for itself.
"""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import hdrs
from multidict import CIMultiDictProxy

from toto_aio.exceptions import InvalidParameters
from toto_aio.http.signatures import SESSION_HEADER

SCHEME = "bearer"


def challenge(root: str) -> str:
    """``WWW-Authenticate`` of a response with 401 (RFC 9110, 11.6.1) by a service at ``root``.

    Never Basic: a browser would ask for a password.
    """
    return f'Bearer realm="{quote(root or "/", safe="/%")}"'


def shown_session_id(headers: CIMultiDictProxy[str]) -> str | None:
    """The session id in the headers, None without one.

    Raises ``InvalidParameters`` (400) for two headers that differ, and for an ``Authorization`` that is
    repeated.
    """
    # A look-up by ``get`` would cost one more call.
    shown = headers[SESSION_HEADER] if SESSION_HEADER in headers else None  # noqa: SIM401
    return bearer(headers, shown) if hdrs.AUTHORIZATION in headers else shown


def bearer(headers: CIMultiDictProxy[str], shown: str | None) -> str | None:
    """The bearer token in ``Authorization``; ``shown``, from ``x-toto-session-id``, for other schemes."""
    values = headers.getall(hdrs.AUTHORIZATION)
    if len(values) > 1:
        raise InvalidParameters("The header Authorization is repeated.", status=400)
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != SCHEME:
        return shown
    token = token.strip(" ")
    if shown is not None and shown != token:
        raise InvalidParameters(
            f"{SESSION_HEADER} and Authorization: Bearer show two sessions: send one of them.", status=400
        )
    return token
