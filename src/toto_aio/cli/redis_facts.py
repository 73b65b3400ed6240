"""What ``toto-aio check`` asks a Redis about its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from toto_aio.redis_url import connection_pool
from toto_aio.settings.urls import address_of

POLICY = "maxmemory-policy"
"""The option that decides whether Redis drops keys that have not expired."""
OPTIONS = ("appendonly", "appendfsync", "save", POLICY)
"""The options that decide whether Redis keeps accounts, sessions and counters safely."""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What one Redis has said."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Those of its options that could be read."""
    refusal: str = ""
    """Why others could not be read."""


async def ask(option: str, url: str) -> RedisFacts:
    """Ask the Redis at the URL of an option. Raises ``SettingsError`` if the URL is not understood."""
    client = Redis.from_pool(connection_pool(url, option))
    try:
        return await _ask(client)
    except (RedisError, OSError) as exc:
        return RedisFacts(refusal=f"Cannot open {address_of(url)}: {exc}")
    finally:
        await client.aclose()


async def _ask(client: Redis) -> RedisFacts:
    await client.ping()
    options: dict[str, str] = {}
    refusals: list[str] = []
    try:
        for option in OPTIONS:  # one by one: before version 7 Redis takes one at a time
            options.update(_decoded(await client.config_get(option)))
    except ResponseError as exc:
        refusals.append(str(exc))
    if POLICY not in options:  # managed services often refuse CONFIG, and permit INFO
        try:
            options.update({POLICY: str((await client.info("memory"))["maxmemory_policy"])})
        except (ResponseError, KeyError) as exc:
            refusals.append(str(exc))
    hidden = [name for name in OPTIONS if name not in options]
    return RedisFacts(options, "; ".join(refusals) or f"it hides {', '.join(hidden)}" if hidden else "")


def _decoded(options: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for pair in options.items():
        name, value = (text.decode() if isinstance(text, bytes) else str(text) for text in pair)
        yield name, value
