"""What the options in URLs of MySQL mean here."""

from __future__ import annotations

from collections.abc import Mapping

from toto_aio.settings.provider_options import LEFT_OUT, Meaning, renamed

DISABLED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY = "DISABLED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"
"""The modes of TLS, as MySQL's own clients name them."""
_MODES = {mode: ("ssl-mode", mode) for mode in (DISABLED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY)}
_ADVICE = "write ssl-mode=REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
_MODE = Meaning(
    {
        **{mode.lower(): pair for mode, pair in _MODES.items()},
        "preferred": None,  # it permits a connection without TLS
        "require": _MODES[REQUIRED],
        "verify-ca": _MODES[VERIFY_CA],
        "verify-full": _MODES[VERIFY_IDENTITY],
        "disable": _MODES[DISABLED],
        "prefer": None,
    },
    advice=_ADVICE,
)
_VERIFIED = Meaning(
    {
        **dict.fromkeys(("true", "1", '{"rejectunauthorized":true}', "{}"), _MODES[VERIFY_IDENTITY]),
        **dict.fromkeys(('{"rejectunauthorized":false}', "skip-verify"), _MODES[REQUIRED]),
        **dict.fromkeys(("false", "0", "preferred"), None),
    },
    advice=_ADVICE,
)

OPTIONS: Mapping[str, Meaning] = {
    **dict.fromkeys(("ssl-mode", "ssl_mode", "sslMode", "sslmode"), _MODE),
    **dict.fromkeys(("ssl", "tls"), _VERIFIED),
    # In older versions of Java's client it verified nothing by itself.
    **dict.fromkeys(
        ("useSSL", "requireSSL"), Meaning({"true": _MODES[REQUIRED], "false": None}, advice=_ADVICE)
    ),
    "verifyServerCertificate": Meaning({"true": _MODES[VERIFY_CA], "false": None}, advice=_ADVICE),
    "sslaccept": Meaning(
        {"strict": _MODES[VERIFY_IDENTITY], "accept_invalid_certs": _MODES[REQUIRED]}, advice=_ADVICE
    ),
    **dict.fromkeys(("ssl-ca", "sslcert", "sslrootcert"), renamed("ssl_ca")),
    **dict.fromkeys(("socket", "unixSocket"), renamed("unix_socket")),
    # All text is sent as utf8mb4, and what the server counts as equal is up to the columns.
    **dict.fromkeys(
        (
            *("charset", "characterEncoding", "useUnicode", "collation", "connectionCollation"),
            *(
                "connect_timeout",
                "connectTimeout",
                "timeout",
                "readTimeout",
                "writeTimeout",
                "socket_timeout",
            ),
            *("socketTimeout", "read_timeout", "write_timeout", "connection_limit", "connectionLimit"),
            *("pool_timeout", "pool_size", "pool_recycle", "reconnect", "autoReconnect", "keepAlive"),
            *("serverTimezone", "time_zone", "timezone", "loc", "parseTime", "zeroDateTimeBehavior"),
            *("allowPublicKeyRetrieval", "multiStatements", "useLegacyDatetimeCode", "interpolateParams"),
        ),
        LEFT_OUT,
    ),
}
"""By the name of an option."""
