"""What a URL or a ready client of Redis stands for, for the store and the broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from toto_aio.redis_cluster import ClusterConnection
from toto_aio.redis_connection import RedisConnection, RedisLink
from toto_aio.redis_url import (
    CLUSTER,
    SENTINEL,
    RedisURL,
    limited,
    once,
    parse_redis_url,
    pool_of,
    unopened_connection,
    uses_tls,
)
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import address_of

SENTINEL_LIMIT = 0.5
"""Seconds that each Sentinel has to answer before the next one is asked."""

CLIENT_OPTIONS = frozenset(
    (
        *("host", "port", "path", "db", "username", "password", "credential_provider", "client_name"),
        *("socket_keepalive", "socket_keepalive_options", "socket_type"),
    )
)
"""The options of a ready client's connections, besides those of TLS, that ours have too."""


@dataclass(frozen=True)
class RedisTarget:
    """A server, the primary that Sentinel names, or a cluster."""

    name: str
    """How logs and errors call it."""
    prefix: str
    """What every key and channel begins with."""
    database: int
    link: Callable[[bool], RedisLink]
    """Makes the connection of the store or the broker. With True, a replica is refused."""
    locate: Callable[[str], Awaitable[AbstractConnection]]
    """Returns an unopened connection to the server that has a key."""
    client: Callable[[], Any]
    """Makes the client for methods, which has connections of its own."""
    close: Callable[[], Awaitable[None]]
    """Closes what finds the servers. The links and the client are closed by whoever made them."""
    is_cluster: bool = False


def redis_target(server: Any, option: str) -> RedisTarget:
    """Return what a URL or a ready client stands for.

    Raises ``SettingsError``, which names the option, if it is not understood.
    """
    if isinstance(server, str):
        url = parse_redis_url(server, option)
        return _BY_FORM.get(url.form, _server_of_url)(url, address_of(server))
    if isinstance(server, RedisCluster):
        return _cluster_of_client(server)
    return _server_of_client(server, option)


def _server_of_url(url: RedisURL, name: str) -> RedisTarget:
    pool = pool_of(url.options)
    return _one_server(name, url.prefix, pool, lambda: Redis.from_pool(pool))


def _sentinel_of_url(url: RedisURL, name: str) -> RedisTarget:
    tls = {key: value for key, value in url.options.items() if key.startswith("ssl_")}
    own = {**tls, "ssl": uses_tls(url.options), **url.sentinel_options}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        url.hosts,
        sentinel_kwargs={
            **own,
            "socket_timeout": SENTINEL_LIMIT,
            "socket_connect_timeout": SENTINEL_LIMIT,
            "retry": once(),
        },
    )
    managed = SentinelManagedSSLConnection if uses_tls(url.options) else SentinelManagedConnection
    options = limited({**url.options, "connection_class": managed})
    return _by_sentinel(
        name,
        url.prefix,
        pool_of(url.options),
        partial(sentinel.discover_master, url.service),
        lambda: sentinel.master_for(url.service, **options),
        sentinel.aclose,
    )


def _cluster_of_url(url: RedisURL, name: str) -> RedisTarget:
    def client() -> RedisCluster:
        options = limited(
            {key: value for key, value in url.options.items() if key not in ("connection_class", "db")}
        )
        nodes = [ClusterNode(host, port) for host, port in url.hosts]
        return RedisCluster(startup_nodes=nodes, ssl=uses_tls(url.options), **options)

    return _cluster(name, url.prefix, pool_of(url.options), url.hosts, client)


_BY_FORM = {SENTINEL: _sentinel_of_url, CLUSTER: _cluster_of_url}


def _server_of_client(client: Redis, option: str) -> RedisTarget:
    given: Any = client.connection_pool
    kind = given.connection_class
    is_sentinel = isinstance(given, SentinelConnectionPool)
    if not issubclass(kind, (Connection, UnixDomainSocketConnection)) or (
        is_sentinel and not given.is_master
    ):
        raise SettingsError(
            f"{option}: cannot use a {kind.__name__}; give a redis.asyncio.Redis of one server, "
            "sentinel.master_for('name') or a redis.asyncio.RedisCluster"
        )
    plain = SSLConnection if issubclass(kind, SSLConnection) else Connection
    pool = pool_of(
        {
            **_taken(given.connection_kwargs),
            "connection_class": plain if is_sentinel else kind,
        }
    )
    if is_sentinel:
        find = partial(given.sentinel_manager.discover_master, given.service_name)
        return _by_sentinel("of the client", "", pool, find, lambda: client, _nothing)
    return _one_server("of the client", "", pool, lambda: client)


def _cluster_of_client(client: RedisCluster) -> RedisTarget:
    options = client.connection_kwargs
    manager = client.nodes_manager
    nodes = {**manager.startup_nodes, **manager.nodes_cache}.values()
    hosts = tuple((node.host, int(node.port)) for node in nodes)
    pool = pool_of({**_taken(options), "connection_class": options["connection_class"]})
    return _cluster("of the client", "", pool, hosts, lambda: client)


def _taken(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in options.items() if name in CLIENT_OPTIONS or name.startswith("ssl_")
    }


def _one_server(name: str, prefix: str, pool: ConnectionPool, client: Callable[[], Any]) -> RedisTarget:
    async def locate(key: str = "") -> AbstractConnection:
        return unopened_connection(pool)

    return RedisTarget(
        name,
        prefix,
        pool.connection_kwargs.get("db") or 0,
        lambda primary: RedisConnection(locate, primary=primary),
        locate,
        client,
        _nothing,
    )


def _by_sentinel(
    name: str,
    prefix: str,
    pool: ConnectionPool,
    find: Callable[[], Awaitable[tuple[str, int]]],
    client: Callable[[], Any],
    close: Callable[[], Awaitable[None]],
) -> RedisTarget:
    async def locate(key: str = "") -> AbstractConnection:
        try:
            host, port = await find()
        except MasterNotFoundError:  # whose text has every option of each client
            raise ConnectionRefusedError("no Sentinel that answers names a primary") from None
        return unopened_connection(pool, host=host, port=port)

    return RedisTarget(
        name,
        prefix,
        pool.connection_kwargs.get("db") or 0,
        # Until all Sentinels know of a failover, one may name the server that is a replica by now.
        lambda primary: RedisConnection(locate, primary=True),
        locate,
        client,
        close,
    )


def _cluster(
    name: str,
    prefix: str,
    pool: ConnectionPool,
    hosts: tuple[tuple[str, int], ...],
    client: Callable[[], Any],
) -> RedisTarget:
    def at(host: str, port: int) -> AbstractConnection:
        return unopened_connection(pool, host=host, port=port)

    async def locate(key: str) -> AbstractConnection:
        finder = ClusterConnection(at, hosts)
        try:
            return await finder.locate(key)
        finally:
            await finder.close()

    return RedisTarget(
        name,
        prefix,
        0,
        lambda primary: ClusterConnection(at, hosts),
        locate,
        client,
        _nothing,
        is_cluster=True,
    )


async def _nothing() -> None:
    """Close nothing."""
