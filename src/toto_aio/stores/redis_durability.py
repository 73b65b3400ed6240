"""Whether a Redis is configured to keep what it has acknowledged."""

from __future__ import annotations

from redis.exceptions import ResponseError

from toto_aio.redis_connection import RedisLink

DURABLE_CONFIGURATION = {"appendonly": b"yes", "appendfsync": b"always"}
"""How Redis must be configured to lose no account."""


async def account_risk(server: RedisLink) -> str:
    """How a server can lose accounts, as the log is to say it; "" if it cannot."""
    try:
        found = [await server.read("CONFIG", "GET", option) for option in DURABLE_CONFIGURATION]
    except ResponseError:
        return "can be lost unless its configuration, which this user may not read, has"
    is_durable = all(
        not pair or pair[1] == value
        for value, pair in zip(DURABLE_CONFIGURATION.values(), found, strict=True)
    )
    return "" if is_durable else "can be lost: write in its configuration"
