"""What HTTP forbids in a head and aiohttp lets through: hosts, versions and transfer codings."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, hdrs
from aiohttp.http_exceptions import BadHttpMessage

VERSIONS = (HttpVersion11, HttpVersion10)


class UnknownVersionError(BadHttpMessage):
    """A version of HTTP that isn't spoken here (RFC 9110, 15.6.6)."""

    code = 505


class UnknownCodingError(BadHttpMessage):
    """A transfer coding that isn't known here (RFC 9112, 6.1)."""

    code = 501


def require_sound(message: Any, known_host: str) -> str:
    """Raise ``BadHttpMessage`` for a head that no service should act on; ``code`` is the status.

    Returns the host. One that is ``known_host``, of an earlier request, is not looked at again.
    """
    headers = message.headers
    if message.version not in VERSIONS:
        raise UnknownVersionError("HTTP/1.1 and HTTP/1.0 are spoken here")
    # Not only in a message that is ``chunked``: aiohttp lets others through in requests for an upgrade.
    if hdrs.TRANSFER_ENCODING in headers and headers[hdrs.TRANSFER_ENCODING].strip().lower() != "chunked":
        raise UnknownCodingError("The only transfer coding that is known here is chunked")
    host: str = headers.get(hdrs.HOST, "")
    if host != known_host and (len(host) > LONGEST or _HOST.fullmatch(host) is None):
        raise BadHttpMessage("The header Host is not a host")
    return host


LONGEST = 261
"""The characters of the longest name, with a port."""
_HOST = re.compile(r"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-fv:.]+\])(?::\d{0,5})?", re.ASCII)  # RFC 9110, 7.2
