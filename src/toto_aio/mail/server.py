"""The server that a URL of the option ``mail`` names."""

from __future__ import annotations

from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password

Encryption = Literal["starttls", "implicit", "off"]
PORTS: dict[Encryption, int] = {"starttls": 587, "implicit": 465, "off": 25}
EXAMPLE = "smtp://user:password@host, smtps://user:password@host, or console"


class MailServer(NamedTuple):
    """A server, and how to speak with it. ``authority`` is a file of certificates to trust, or ""."""

    host: str
    port: int
    user: str
    password: str
    encryption: Encryption
    authority: str


def read_server(url: str) -> MailServer:
    """The server of ``smtp://user:password@host:port?tls=...&tls_ca=...``, or ``smtps://...``.

    ``smtp`` begins in plain and must be encrypted before anything is said (``tls=starttls``); ``tls=off``
    permits plain text. ``smtps`` is encrypted from the beginning. Raises ``SettingsError``, without the
    password.
    """
    shown = without_password(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise SettingsError(f"mail: cannot read {shown!r}: write {EXAMPLE}") from None
    if parts.scheme not in ("smtp", "smtps") or not host or parts.path not in ("", "/") or parts.fragment:
        raise SettingsError(
            f"mail: cannot read {shown!r}: write {EXAMPLE}; %40 stands for an @ in a password"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    modes = ("implicit",) if parts.scheme == "smtps" else ("starttls", "off")
    encryption = options.pop("tls", modes[0])
    if encryption not in modes:
        raise SettingsError(f"mail: tls: write tls={' or tls='.join(modes)} for {parts.scheme}://")
    authority = options.pop("tls_ca", "")
    if options:
        raise SettingsError(f"mail: there is no {min(options)!r} in such a URL: write tls or tls_ca")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise SettingsError(f"mail: write both the user and the password in {shown!r}, or neither")
    if user and encryption == "off" and not _is_this_machine(host):
        raise SettingsError("mail: a password would travel in plain text: write tls=starttls, or smtps://")
    return MailServer(host, port or PORTS[encryption], user, password, encryption, authority)  # type: ignore[index, arg-type]


def _is_this_machine(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")
