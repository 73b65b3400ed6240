"""Lua scripts, which Redis runs as one step."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import ResponseError

from toto_aio.redis_connection import OPERATION_LIMIT, Argument


class Script:
    """A Lua script on keys of one slot, which Redis knows by its hash after it has run once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, call: Callable[..., Awaitable[Any]], *arguments: Argument) -> Any:
        """Its reply. ``call`` sends a command, which ends with the number of keys, the keys and the rest."""
        loop = asyncio.get_running_loop()
        end = loop.time() + OPERATION_LIMIT
        try:
            return await call("EVALSHA", self.sha, *arguments)
        except ResponseError as exc:
            if not str(exc).startswith("NOSCRIPT"):
                raise
        async with asyncio.timeout_at(end):  # both together take no longer than one command may
            return await call("EVAL", self.text, *arguments)
