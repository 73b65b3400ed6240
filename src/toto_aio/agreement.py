"""Whether the settings and the methods of a service agree, which a start checks before it opens anything."""

from __future__ import annotations

from collections.abc import Mapping

from toto_aio.auth.secret_box import GENERATE, SecretBox
from toto_aio.dispatch.method import BUILT_IN_ACCOUNTS, Method
from toto_aio.method_rules import Guard
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.urls import scheme_of

MAILING = frozenset(
    f"{BUILT_IN_ACCOUNTS}{name}" for name in ("change_email", "login_code", "reset_password", "verify_email")
)
"""The modules of methods that send mail."""
TOTP = f"{BUILT_IN_ACCOUNTS}totp"
"""The module whose methods keep secrets that the service reads again."""


def require_agreement(settings: Settings, methods: Mapping[str, Method]) -> None:
    """Raise ``SettingsError`` for an option that names no method, or a method that lacks what it needs."""
    for option in ("socket_opened_method", "socket_closed_method"):
        name = getattr(settings, option)
        if name and name not in methods:
            raise SettingsError(
                f"{option}: there is no method {name!r}: write the name of one, such as socket.opened for "
                "socket/opened.py in method_module; what was a function in Toto is its invoke"
            )
    for method in methods.values():
        if method.source in MAILING and not settings.mail:
            raise SettingsError(
                f"mail: {method.name!r} needs it: write mail=smtp://user:password@host, or mail=console "
                "while you develop"
            )
    _require_secret_key(settings, methods)
    if settings.processes != 1:
        require_sharing(settings, methods)
    _require_events_for_channels(settings, methods)
    if scheme_of(settings.database) == "none":
        for method in methods.values():
            what = _lacks(method, has_sessions=settings.session_store is not None)
            if what is not None:
                raise SettingsError(
                    f"database: {method.name!r} needs {what}, which 'none' does not have: "
                    "write database=sqlite:///toto.db"
                )


def require_sharing(settings: Settings, functions: Mapping[str, Method]) -> None:
    """Raise ``SettingsError`` for what several processes have to share, and each would have for itself."""
    if scheme_of(settings.session_store or settings.database) == "none":
        for method in functions.values():
            if method.rules.rates:
                raise SettingsError(
                    f"session_store: {method.name!r} has a rate, which each process would count for itself: "
                    "write session_store=redis://host/0, or processes=1"
                )
    name = _with_channels(functions)
    if name is not None and isinstance(settings.events, str) and scheme_of(settings.events) == "memory":
        raise SettingsError(
            f"events: {name!r} has channels, and memory:// keeps those of each process apart: "
            "write events=redis://host/0, or processes=1"
        )


def _require_events_for_channels(settings: Settings, functions: Mapping[str, Method]) -> None:
    """Raise ``SettingsError`` if there are channels, and nothing that carries them."""
    name = _with_channels(functions)
    if name is not None and settings.events == "off":
        raise SettingsError(f"events: {name!r} has channels: write events=memory:// or redis://host/0")


def _with_channels(functions: Mapping[str, Method]) -> str | None:
    return next((name for name, each in functions.items() if each.rules.channel is not None), None)


def _require_secret_key(settings: Settings, methods: Mapping[str, Method]) -> None:
    """Raise ``SettingsError`` for a key that cannot be used, and if a method needs one and there is none."""
    SecretBox(settings.secret_key)
    for method in methods.values():
        if method.source == TOTP and not settings.secret_key:
            raise SettingsError(f"secret_key: {method.name!r} needs one: write the output of {GENERATE}")


def _lacks(method: Method, *, has_sessions: bool) -> str | None:
    """What a method needs, and a service without accounts does not have."""
    guard = method.rules.guard
    if (
        guard >= Guard.AUTHENTICATED
        or method.rules.idempotent
        or getattr(method.invoke, "__module__", "").startswith(BUILT_IN_ACCOUNTS)
    ):
        return "accounts"
    return "sessions" if guard == Guard.ANONYMOUS and not has_sessions else None
