"""What the options in URLs of PostgreSQL mean for asyncpg, which would send unknown ones to the server."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from toto_aio.settings import SettingsError
from toto_aio.settings.provider_options import LEFT_OUT, Meaning, renamed, translated

SYSTEM = "system"
"""As ``sslrootcert`` it stands for the authorities that the system trusts."""
TLS = ("sslmode", "require")
VERIFIED = ("sslmode", "verify-full")
UNPREPARED = ("statement_cache_size", "0")
_WITHOUT = dict.fromkeys(("false", "0", "disable", "allow", "prefer"), None)

OPTIONS: Mapping[str, Meaning] = {
    # A pooler that does not keep prepared statements, as its clients' libraries say it.
    "pgbouncer": Meaning(
        {"true": UNPREPARED, "1": UNPREPARED, "false": None, "0": None}, advice="write true"
    ),
    "prepared_statements": Meaning({"false": UNPREPARED, "true": None}, advice="write true or false"),
    "prepareThreshold": Meaning(
        {"0": UNPREPARED, **dict.fromkeys(map(str, range(1, 10)))},
        advice="write 0 for no prepared statements",
    ),
    "prepared_statement_cache_size": renamed("statement_cache_size"),
    # TLS under the names of other clients; libpq reads ssl=true as sslmode=require.
    "ssl": Meaning(
        {
            **dict.fromkeys(("true", "1", "require", "no-verify"), TLS),
            **dict.fromkeys(("verify-full", "verify-ca"), VERIFIED),
            **_WITHOUT,
        },
        advice="write sslmode=require, or sslmode=verify-full",
    ),
    "sslmode": Meaning(
        {
            **{
                mode: ("sslmode", mode) for mode in ("disable", "allow", "prefer", "verify-ca", "verify-full")
            },
            **dict.fromkeys(("require", "no-verify"), TLS),
        },
        advice="write sslmode=disable, prefer, require, verify-ca or verify-full in postgresql://host/name?...",
    ),
    "sslaccept": Meaning(
        {"strict": VERIFIED, "accept_invalid_certs": TLS},
        advice="write sslmode=verify-full or sslmode=require",
    ),
    # It keeps others from sitting in between, which here the certificate does.
    "channel_binding": Meaning(
        {"require": ("channel_binding", "require"), "prefer": None, "disable": None},
        advice="write sslmode=verify-full",
    ),
    "gssencmode": Meaning(
        {"disable": None, "prefer": None},
        advice="asyncpg does not encrypt with GSS: write sslmode=verify-full",
    ),
    "requirepeer": Meaning({"": None}, advice="asyncpg does not ask who owns a socket: leave it out"),
    "require_auth": Meaning(
        {"": None}, advice="asyncpg takes what the server asks for: write sslmode=verify-full instead"
    ),
    # Settings of the server under the names of other clients.
    "schema": renamed("search_path"),
    "currentSchema": renamed("search_path"),
    "ApplicationName": renamed("application_name"),
    "fallback_application_name": renamed("application_name"),
    "client_encoding": Meaning(
        dict.fromkeys(("utf8", "utf-8", "unicode", "auto")), advice="all text is UTF-8: leave it out"
    ),
    # Limits and habits of other clients.
    **dict.fromkeys(
        (
            *("connect_timeout", "connectTimeout", "tcp_user_timeout", "socket_timeout", "socketTimeout"),
            *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcpKeepAlive"),
            *("connection_limit", "pool_timeout", "pool_size", "max_overflow", "pool_recycle", "pool"),
            *(
                "pool_mode",
                "workaround",
                "supa",
                "uselibpqcompat",
                "gssdelegation",
                "hostaddr",
                "sslcertmode",
            ),
            *(
                "sslcompression",
                "sslsni",
                "load_balance_hosts",
                "max_conns",
                "max_idle_conns",
                "loginTimeout",
            ),
        ),
        LEFT_OUT,
    ),
}
"""By the name of an option."""


def connect_options(url: str) -> tuple[str, dict[str, Any]]:
    """Return a URL with options that asyncpg understands, and the arguments of ``connect`` beside it.

    Raises ``SettingsError`` for what would be unsafe to leave out, and ``ValueError`` if it cannot be read.
    """
    base, _, query = url.partition("?")
    if not query:
        return url, {}
    given = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    options = translated("database", given, OPTIONS)
    arguments: dict[str, Any] = {}
    if options.pop("channel_binding", None):
        options["sslmode"] = "verify-full"
        options.setdefault("sslrootcert", SYSTEM)
    if options.get("sslrootcert") == SYSTEM:  # asyncpg would look for a file of this name
        options.pop("sslmode", None)
        del options["sslrootcert"]
        arguments["ssl"] = ssl.create_default_context()
    if (size := options.pop("statement_cache_size", None)) is not None:
        arguments["statement_cache_size"] = _size(size)
    rest = urlencode(options, quote_via=quote)
    return base + (f"?{rest}" if rest else ""), arguments


def _size(value: str) -> int:
    if value.isascii() and value.isdecimal() and len(value) < 7:
        return int(value)
    raise SettingsError(
        "database: statement_cache_size is a number of statements: write statement_cache_size=0 behind "
        f"PgBouncer, not {value!r}"
    )
