"""How callers show who they are, as security schemes of OpenAPI."""

from __future__ import annotations

from typing import Any

from toto_aio.dispatch.method import Method
from toto_aio.http.bearer import SCHEME
from toto_aio.http.cookies import cookie_name
from toto_aio.http.signatures import HMAC_HEADER, NONCE_HEADER, SESSION_HEADER, TIMESTAMP_HEADER
from toto_aio.method_rules import Guard
from toto_aio.settings import Settings
from toto_aio.signing import SCHEMES

Requirement = dict[str, list[str]]


def security_schemes(settings: Settings) -> dict[str, Any]:
    """The schemes of a service, by their names in its document."""
    found = {
        "session": _key("header", SESSION_HEADER, "The id of a session, from a login."),
        "bearer": {
            "type": "http",
            "scheme": SCHEME,
            "description": "The same, as any client can send it; or an API key.",
        },
    }
    if settings.use_cookies:
        text = "The session of a browser, for pages of the service's own and allowed origins."
        found["cookie"] = _key("cookie", cookie_name(settings), text)
    for name in _signature(settings):
        found[name] = _SIGNATURE[name]
        found["api_key"] = _ALONE
    return found


def requirements(method: Method, settings: Settings) -> list[Requirement]:
    """What a call of a method must show: one of these, each with all of its parts; ``{}`` is nothing."""
    guard = method.rules.guard
    if guard in (Guard.NONE, Guard.PARAMETER):  # whose session is a parameter
        return []
    signature: Requirement = {name: [] for name in _signature(settings)}
    ways = ["session", "bearer", *(["cookie"] if settings.use_cookies else [])]
    shown: list[Requirement] = [{way: [], **signature} for way in ways]
    if signature and not method.post_only:  # the account methods take no keys
        shown.append({"api_key": []})
    return shown if guard >= Guard.AUTHENTICATED else [*shown, {}]


def _signature(settings: Settings) -> tuple[str, ...]:
    """The parts of a signature, if requests must have one: Toto's own is demanded of none."""
    scheme = SCHEMES.get(settings.signing) if isinstance(settings.signing, str) else settings.signing
    if scheme is None or not scheme.keyed:
        return ()
    return ("signature", "timestamp", "nonce") if scheme.nonce_ttl else ("signature",)


def _key(place: str, name: str, description: str) -> dict[str, str]:
    return {"type": "apiKey", "in": place, "name": str(name), "description": description}


_ALONE = {"type": "http", "scheme": SCHEME, "description": "An API key, which signs nothing."}
_SIGNATURE = {
    "signature": _key(
        "header", HMAC_HEADER, "The signature of the request: see the protocol of the service."
    ),
    "timestamp": _key("header", TIMESTAMP_HEADER, "When the request was signed, in Unix seconds."),
    "nonce": _key("header", NONCE_HEADER, "Text that no other request of the session has."),
}
