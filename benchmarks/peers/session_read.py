"""A hand-written service: each request reads its session with the driver, as its documentation shows.

    session_read.py KIND URL

It verifies the signature of the request, reads the record that toto_aio has written, responds with the
parameters, and signs the response.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import uvloop
from aiohttp import web

Read = Callable[[str], Awaitable[Any]]
USER = b"ada"
"""The user of all sessions."""


@asynccontextmanager
async def postgresql(url: str) -> AsyncIterator[Read]:
    """asyncpg's pool."""
    import asyncpg  # type: ignore[import-untyped]

    async with asyncpg.create_pool(url, min_size=10, max_size=10) as pool:
        yield lambda key: pool.fetchrow("SELECT * FROM toto_sessions WHERE session_key = $1", key)


@asynccontextmanager
async def mysql(url: str) -> AsyncIterator[Read]:
    """asyncmy's pool."""
    import asyncmy

    parts = urlsplit(url)
    where: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "db": parts.path.strip("/"),
    }
    async with asyncmy.create_pool(**where, password=unquote(parts.password or ""), maxsize=10) as pool:

        async def read(key: str) -> Any:
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("SELECT * FROM toto_sessions WHERE session_key = %s", (key,))
                return await cursor.fetchone()

        yield read


@asynccontextmanager
async def mongodb(url: str) -> AsyncIterator[Read]:
    """pymongo's client."""
    from pymongo import AsyncMongoClient

    client: AsyncMongoClient[Any] = AsyncMongoClient(url)
    async with client:
        sessions = client[urlsplit(url).path.strip("/")]["toto_sessions"]
        yield lambda key: sessions.find_one({"_id": key})


@asynccontextmanager
async def redis(url: str) -> AsyncIterator[Read]:
    """redis-py's client."""
    from redis.asyncio import Redis

    async with Redis.from_url(url) as client:
        yield lambda key: client.get(f"toto:session:{key}")


KINDS = {"postgresql": postgresql, "mysql": mysql, "mongodb": mongodb, "redis": redis}


def sign(body: bytes) -> str:
    """The HMAC of a body."""
    return base64.b64encode(hmac.digest(USER, body, "sha1")).decode()


def main() -> None:
    """Serve on a free port, and announce it."""
    kind, url = sys.argv[1:]
    decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()
    reads: list[Read] = []

    async def service(request: web.Request) -> web.Response:
        text = await request.read()
        if not hmac.compare_digest(request.headers["x-toto-hmac"], sign(text)):
            raise web.HTTPForbidden
        call = decoder.decode(text)
        key = hashlib.sha256(request.headers["x-toto-session-id"].encode()).hexdigest()
        if await reads[0](key) is None:
            raise web.HTTPForbidden
        body = encoder.encode({"result": call["parameters"]})
        return web.Response(body=body, headers={"x-toto-hmac": sign(body)}, content_type="application/json")

    async def life(app: web.Application) -> AsyncIterator[None]:
        async with KINDS[kind](url) as read:
            reads.append(read)
            yield

    app = web.Application()
    app.router.add_post("/service", service)
    app.cleanup_ctx.append(life)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Serving on http://127.0.0.1:{listener.getsockname()[1]}/service", file=sys.stderr, flush=True)
    web.run_app(app, sock=listener, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
