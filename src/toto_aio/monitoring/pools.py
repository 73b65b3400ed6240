"""The connections of a store's pools: the store's own pool, and the one that methods get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toto_aio.stores.sql.pool import Use

COUNTERS: dict[str, Callable[[Any], Use]] = {
    "asyncpg.pool:Pool": lambda pool: _use(pool.get_size(), pool.get_idle_size(), pool.get_max_size()),
    "asyncmy.pool:Pool": lambda pool: _use(pool.size, pool.freesize, pool.maxsize),
    "aiomysql.pool:Pool": lambda pool: _use(pool.size, pool.freesize, pool.maxsize),
    "redis.asyncio.client:Redis": lambda client: _of_redis(client.connection_pool),
}
"""By the type of the pool that methods get, how to count. pymongo doesn't tell its connections."""

METHODS = "methods"
"""The name of the pool that methods get."""


def pools(store: Any, name: str) -> dict[str, Callable[[], Use]]:
    """The pools of the store ``name``, each with a function that counts its connections."""
    found: dict[str, Callable[[], Use]] = {}
    own, db = getattr(store, "pool", None), getattr(store, "db", None)
    if own is not None:
        found[name] = lambda: own.use
    for kind in type(db).__mro__ if name == "database" else ():
        if count := COUNTERS.get(f"{kind.__module__}:{kind.__qualname__}"):
            found[METHODS] = lambda: count(db)
            break
    return found


def _use(size: int, idle: int, limit: int) -> Use:
    return Use(size - idle, idle, limit)


def _of_redis(pool: Any) -> Use:
    idle, used = (number for number, _ in pool.get_connection_count())
    return Use(used, idle, pool.max_connections)
