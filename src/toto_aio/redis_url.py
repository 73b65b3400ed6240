"""Redis URLs: their parts, and how these become connections.

``redis://`` and ``rediss://`` (with TLS) name one server, ``unix://`` or ``redis+unix://`` its socket,
``redis+sentinel://`` what asks Sentinel for the primary, and ``redis+cluster://`` some nodes of a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from toto_aio import redis_connection
from toto_aio.settings import SettingsError
from toto_aio.settings.provider_options import LEFT_OUT, Meaning, translated
from toto_aio.settings.urls import without_password

QUERY_OPTIONS = frozenset(
    (
        "client_name",
        "prefix",
        *(
            f"ssl_{name}"
            for name in [
                "ca_certs",
                "ca_path",
                "certfile",
                "keyfile",
                "password",
                "cert_reqs",
                "check_hostname",
            ]
        ),
    )
)
"""The options that a URL may have after its ``?``, besides those of its form."""

SERVER_FORM = "redis://user:password@host:6379/0"
_ESCAPES = "with %23, %2F, %3F and %40 for #, /, ? and @ in the password, "


@dataclass(frozen=True)
class Form:
    """What the URLs of some schemes look like."""

    example: str
    port: int = 6379
    path: str = r"/?|/(?P<db>\d+)"
    options: frozenset[str] = QUERY_OPTIONS

    def advice(self) -> str:
        """What to write instead of a URL that is not understood."""
        return f"write {self.example}, {_ESCAPES}and after a ? only {', '.join(sorted(self.options))}"


SERVER = Form(SERVER_FORM, options=QUERY_OPTIONS | {"db"})
UNIX = Form("unix:///path/of/redis.sock?db=0", 0, "/.+", frozenset(("client_name", "db", "prefix")))
SENTINEL = Form(
    "redis+sentinel://user:password@host1:26379,host2:26379/name/0",
    26379,
    r"/(?P<service>[^/]+)(?:/(?P<db>\d*))?",
    QUERY_OPTIONS | {"sentinel_password", "sentinel_username"},
)
CLUSTER = Form("redis+cluster://user:password@host1:6379,host2:6379/0", path="/?0?")
FORMS = {
    "redis": SERVER,
    "rediss": SERVER,
    "unix": UNIX,
    "redis+unix": UNIX,
    "redis+sentinel": SENTINEL,
    "rediss+sentinel": SENTINEL,
    "redis+cluster": CLUSTER,
    "rediss+cluster": CLUSTER,
}
"""The form of the URLs of each scheme; a bare name stands for the server on this machine."""

PROVIDERS = {
    **dict.fromkeys(
        ("ssl", "tls"),
        Meaning(
            {"true": ("ssl", "1"), "1": ("ssl", "1"), "false": None, "0": None},
            advice="write rediss:// for TLS",
        ),
    ),
    **dict.fromkeys(
        (
            *("family", "decode_responses", "encoding", "protocol", "timeout", "socket_timeout"),
            *("socket_connect_timeout", "socket_keepalive", "health_check_interval", "max_connections"),
            *(
                "retry_on_timeout",
                "dial_timeout",
                "read_timeout",
                "write_timeout",
                "pool_size",
                "maxRetriesPerRequest",
            ),
        ),
        LEFT_OUT,
    ),
}
"""What options mean that are written for other clients, by their names."""
PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
"""What a prefix may be. Braces would move keys to other slots, and others mean something in patterns."""


@dataclass(frozen=True)
class RedisURL:
    """The parts of a URL."""

    form: Form
    options: Mapping[str, Any]
    """The arguments of the connections, except for the address if there are several ``hosts``."""
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    """The name by which Sentinel knows the primary."""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict)
    """The login that Sentinel itself wants."""
    prefix: str = ""
    """What every key and channel begins with: "", or such as ``blog:``."""


def parse_redis_url(url: str, option: str) -> RedisURL:
    """Return the parts of the URL that ``option`` holds.

    Raises ``SettingsError``, which names the option, if any part of the URL is not understood.
    """
    form = FORMS[url.partition("://")[0]]
    try:
        return _parse(url, form, option)
    except (ValueError, TypeError, RedisError) as exc:
        if isinstance(exc, SettingsError):
            raise
        # Without its cause, which may quote the password.
        raise SettingsError(f"{option}: cannot open {without_password(url)!r}; {form.advice()}") from None


def connection_pool(url: str, option: str) -> ConnectionPool:
    """Return the pool for the URL of one server."""
    return pool_of(parse_redis_url(url, option).options)


def pool_of(options: Mapping[str, Any]) -> ConnectionPool:
    """Return a pool whose connections have the limits of all of ours."""
    return ConnectionPool(**limited(options))


def limited(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of connections with the limits of all of ours."""
    network = {
        "socket_connect_timeout": redis_connection.CONNECT_LIMIT,
        # With these notifications, redis-py does not check whether a connection has ended while it was idle.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    return {
        **options,
        **({} if "path" in options else network),
        "socket_timeout": redis_connection.OPERATION_LIMIT,
        "retry": once(),
    }


def once() -> Retry:
    """A command that is sent twice may count twice."""
    return Retry(NoBackoff(), 0)


def unopened_connection(pool: ConnectionPool, **address: Any) -> AbstractConnection:
    """Return a new connection like those of a pool, perhaps to another address, which is not opened."""
    connection: AbstractConnection = pool.connection_class(**{**pool.connection_kwargs, **address})
    return connection


def _parse(url: str, form: Form, option: str) -> RedisURL:
    scheme, separator, rest = url.partition("://")
    base = "unix" if form is UNIX else scheme.partition("+")[0]
    if not separator and form is not SERVER:
        raise ValueError
    parts = urlsplit(f"{base}://{rest}")
    given = parse_qsl(parts.query, keep_blank_values=True)
    query = translated(option, given, PROVIDERS)
    if query.pop("ssl", None) and base == "redis":
        base = "rediss"
    path = re.fullmatch(form.path, parts.path)
    if set(query) - form.options or len(given) > len(dict(given)):
        raise ValueError
    if parts.fragment or path is None or (form is UNIX) != (not parts.hostname and bool(separator and rest)):
        raise ValueError
    prefix = _prefix(query.pop("prefix", None), option)
    found = path.groupdict()
    login, at, hosts = parts.netloc.rpartition("@")
    own = {name: query.pop(name) for name in ("sentinel_username", "sentinel_password") if name in query}
    rest = urlencode(query)
    first, *others = hosts.split(",")
    options: dict[str, Any] = {
        **parse_url(f"{base}://{login}{at}{first}{parts.path if form is UNIX else ''}?{rest}")
    }
    if found.get("db"):
        options["db"] = int(found["db"])
    if options.get("db", 0) < 0:
        raise ValueError
    unopened_connection(pool_of(options))  # fails if redis-py does not accept the options
    if form in (SERVER, UNIX):
        if others:
            raise ValueError
        return RedisURL(form, options, prefix=prefix)
    addresses = tuple(_address(host, form) for host in (first, *others))
    kept = {name: value for name, value in options.items() if name not in ("host", "port")}
    sentinel_options = {name.removeprefix("sentinel_"): value for name, value in own.items()}
    return RedisURL(form, kept, addresses, unquote(found.get("service") or ""), sentinel_options, prefix)


def _prefix(text: str | None, option: str) -> str:
    if text is None:
        return ""
    if not PREFIX.fullmatch(text):
        raise SettingsError(
            f"{option}: a prefix has up to 64 letters, digits, '-', '_' and '.', such as ?prefix=blog, "
            f"not {text[:64]!r}"
        )
    return f"{text}:"


def _address(host: str, form: Form) -> tuple[str, int]:
    options = parse_url(f"redis://{host}")
    if "host" not in options:
        raise ValueError
    return options["host"], options.get("port", form.port)


def uses_tls(options: Mapping[str, Any]) -> bool:
    """Whether connections with these arguments are encrypted."""
    return options.get("connection_class") is SSLConnection
