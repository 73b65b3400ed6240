"""Redis URLs, and ready clients: how they become connections."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from toto_aio import redis_connection
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import without_password

QUERY_OPTIONS = frozenset(
    (
        "client_name",
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
"""The options that a ``redis://`` or ``rediss://`` URL may have after its ``?``."""

CLIENT_OPTIONS = frozenset(
    (
        *("host", "port", "path", "db", "username", "password", "credential_provider", "client_name"),
        *("socket_keepalive", "socket_keepalive_options", "socket_type"),
    )
)
"""The options of a ready client's connections, besides those of TLS, that ours have too."""


def connection_pool(url: str, option: str) -> ConnectionPool:
    """Return the pool for the URL that ``option`` holds; a bare ``redis`` is ``redis://localhost:6379/0``.

    Raises ``SettingsError``, which names the option, if any part of the URL is not understood.
    """
    is_unix = url.startswith("unix")
    try:
        return _unix_pool(url) if is_unix else _network_pool(url)
    except (ValueError, TypeError, RedisError):
        advice = (
            "unix:///path/of/redis.sock?db=0"
            if is_unix
            else "redis://user:password@host:6379/0, with %23, %2F, %3F and %40 for #, /, ? and @ in the "
            f"password, and after a ? only {', '.join(sorted(QUERY_OPTIONS))}"
        )
        # Without its cause, which may quote the password.
        raise SettingsError(f"{option}: cannot open {without_password(url)!r}; write {advice}") from None


def pool_like(client: Redis, option: str) -> ConnectionPool:
    """Return another pool of connections to the server of a ready client, with the limits of a URL's.

    Raises ``SettingsError``, which names the option, for a cluster or a sentinel.
    """
    given = client.connection_pool
    template = unopened_connection(given)
    is_one_server = isinstance(template, Connection | UnixDomainSocketConnection)
    if not is_one_server or isinstance(template, SentinelManagedConnection):
        raise SettingsError(
            f"{option}: cannot use a {type(template).__name__}; give a redis.asyncio.Redis of one server"
        )
    options = {
        name: value
        for name, value in given.connection_kwargs.items()
        if name in CLIENT_OPTIONS or name.startswith("ssl_")
    }
    return _pool(**options, connection_class=given.connection_class)


def unopened_connection(pool: ConnectionPool) -> AbstractConnection:
    """Return a new connection of a pool, which is neither opened nor kept by the pool."""
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


def _network_pool(url: str) -> ConnectionPool:
    parts = urlsplit(url if "://" in url else f"{url}://")
    options: dict[str, Any] = {**parse_url(parts.geturl())}
    unknown = set(parse_qs(parts.query, keep_blank_values=True)) - QUERY_OPTIONS
    if unknown or parts.fragment or not (parts.path[1:].isdecimal() or parts.path in ("", "/")):
        raise ValueError
    pool = _pool(**options)
    unopened_connection(pool)  # fails if redis-py does not accept the options
    return pool


def _unix_pool(url: str) -> ConnectionPool:
    parts = urlsplit(url)
    if parts.path in ("", "/") or parts.hostname or set(parse_qs(parts.query)) - {"db"}:
        raise ValueError
    options: dict[str, Any] = {**parse_url(url)}
    return _pool(**options)


def _pool(**options: Any) -> ConnectionPool:
    """Return a pool whose connections have the limits of all of ours."""
    if "path" not in options:
        options["socket_connect_timeout"] = redis_connection.CONNECT_LIMIT
        # With these notifications, redis-py does not check whether a connection has ended while it was idle.
        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return ConnectionPool(
        **options,
        socket_timeout=redis_connection.OPERATION_LIMIT,
        retry=Retry(NoBackoff(), 0),  # a command that is sent twice may count twice
    )
