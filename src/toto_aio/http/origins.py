"""The pages that may make a browser call: those of the service itself, and of the origins that it allows.

An origin is a scheme, a host and a port (RFC 6454); a browser sends it in the header ``Origin``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import hdrs

from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.request import HTTPRequest
from toto_aio.settings import SettingsError

ANY = "*"


class Origins:
    """The origins that ``allow_origin`` lists, such as ``https://app.example``, or ``*`` for every page.

    Raises ``SettingsError`` for anything else.
    """

    def __init__(self, allowed: Sequence[str], proxies: TrustedProxies) -> None:
        for origin in allowed:
            if origin != ANY and not re.fullmatch(r"null|[a-z][a-z0-9+.-]*://[^/\s]+", origin.lower()):
                raise SettingsError(
                    f"allow_origin: write origins such as https://app.example, or *, not {origin!r}"
                )
        self.any = ANY in allowed
        self.allowed = frozenset(origin.lower() for origin in allowed)
        self._proxies = proxies

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may call from a browser."""
        return self.any or origin.lower() in self.allowed

    def trusts(self, request: HTTPRequest) -> bool | None:
        """Whether a request comes from a page of the service itself or of an allowed origin.

        None if it has no ``Origin``; browsers send it with every POST.
        """
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return None
        return origin.lower() in self._own(request) or origin.lower() in self.allowed

    def _own(self, request: HTTPRequest) -> set[str]:
        """The origins of the service. Behind a proxy that isn't trusted its scheme is unknown."""
        forwarded = (
            request.headers.get("x-forwarded-proto", "") if self._proxies.trusts(request.remote) else ""
        )
        scheme = forwarded.partition(",")[0].strip().lower() or request.scheme
        host = re.sub(r":(80|443)$", "", request.headers.get(hdrs.HOST, "").lower())
        schemes = ("https",) if scheme == "https" else ("https", "http")
        return {f"{own}://{host}" for own in schemes}
