"""How an operation of the Redis store is carried out: its scripts, its scans, and its limit of time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from toto_aio import redis_connection
from toto_aio.exceptions import Unavailable
from toto_aio.redis_connection import ERRORS, Argument, RedisLink
from toto_aio.redis_script import Script
from toto_aio.stores import portions


@asynccontextmanager
async def limited() -> AsyncIterator[None]:
    """Limit the time of a block, and raise ``Unavailable`` for the errors of Redis in it."""
    try:
        async with asyncio.timeout(redis_connection.OPERATION_LIMIT):
            yield
    except ERRORS as exc:
        raise Unavailable from exc


async def run(link: RedisLink, script: Script, key: str, *arguments: Argument) -> Any:
    """Run a script on a key, and return what it returns."""
    return await script.run(link.call, 1, key, *arguments)


async def scan(link: RedisLink, *command: str, pattern: str = "*") -> AsyncIterator[list[str]]:
    """What a command such as SCAN goes through, in portions, each of which is a short step."""
    cursor: bytes | int = 0
    while cursor != b"0":
        async with limited():
            cursor, found = await link.read(*command, cursor, "MATCH", pattern, "COUNT", portions.PORTION)
        yield [str(name, "utf-8") for name in found]


def milliseconds(seconds: float) -> int:
    """Convert seconds to whole milliseconds, rounded up."""
    return math.ceil(seconds * 1000)
