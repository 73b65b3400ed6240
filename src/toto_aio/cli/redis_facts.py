"""What ``toto-aio check`` asks a Redis about its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

from toto_aio.redis_connection import ERRORS, RedisLink
from toto_aio.redis_eviction import parse_info
from toto_aio.redis_target import redis_target

POLICY = "maxmemory-policy"
"""The option that decides whether Redis drops keys that have not expired."""
OPTIONS = {"appendonly": "yes", "appendfsync": "always", "save": "", POLICY: "noeviction"}
"""The options that decide whether Redis keeps accounts, sessions and counters safely, and the safe values.

Of ``save`` any value is safe, except for none.
"""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What one Redis has said."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Those of its options that could be read."""
    refusal: str = ""
    """Why others could not be read."""


async def ask(option: str, url: str) -> RedisFacts:
    """Ask the Redis at the URL of an option. Raises ``SettingsError`` if the URL is not understood."""
    target = redis_target(url, option)
    link = target.link(False)
    try:
        return _worst([await _ask(server) for server in await link.primaries()])
    except ERRORS as exc:
        return RedisFacts(refusal=f"Cannot open {target.name}: {str(exc) or 'no answer'}")
    finally:
        await link.close()
        await target.close()


async def _ask(server: RedisLink) -> RedisFacts:
    await server.read("PING")
    options: dict[str, str] = {}
    refusals: list[str] = []
    try:
        for option in OPTIONS:  # one by one: before version 7 Redis takes one at a time
            pair = [text.decode() for text in await server.read("CONFIG", "GET", option)]
            options.update(dict([pair] if pair else []))
    except ResponseError as exc:
        refusals.append(str(exc))
    if POLICY not in options:  # managed services often refuse CONFIG, and permit INFO
        try:
            options[POLICY] = parse_info(await server.read("INFO", "memory"))["maxmemory_policy"]
        except (ResponseError, KeyError) as exc:
            refusals.append(str(exc))
    hidden = [name for name in OPTIONS if name not in options]
    return RedisFacts(options, "; ".join(refusals) or f"it hides {', '.join(hidden)}" if hidden else "")


def _worst(servers: Sequence[RedisFacts]) -> RedisFacts:
    """What is to be known of a cluster: of each option the value that is the least safe."""
    options = {
        name: min(values, key=lambda value: value == safe or bool(value and not safe))
        for name, safe in OPTIONS.items()
        if (values := [facts.options[name] for facts in servers if name in facts.options])
    }
    return RedisFacts(options, next((facts.refusal for facts in servers if facts.refusal), ""))
