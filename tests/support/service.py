"""A running service, called as a client would call it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from itertools import chain
from pathlib import Path
from typing import Any

import aiohttp
import bson
import msgpack
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support.limits import WATCHDOG
from toto_aio.http.fast import protocols
from toto_aio.lifespan import LIFESPAN

ENCODINGS: list[Any] = [
    pytest.param("application/json", lambda value: json.dumps(value).encode(), json.loads, id="json"),
    pytest.param("application/bson", bson.encode, bson.decode, id="bson"),
    pytest.param("application/msgpack", msgpack.packb, msgpack.unpackb, id="msgpack"),
]
"""Each content type with the functions by which a client encodes and decodes it."""

Client = TestClient[web.Request, Any]
Serve = Callable[..., Awaitable["Service"]]


class PlainServer(TestServer):
    """aiohttp's test server with the default of real ones: a disconnect cancels nothing."""

    async def _make_runner(self, **options: Any) -> web.BaseRunner:
        return await super()._make_runner(**{**options, "handler_cancellation": False})


class FastServer(TestServer):
    """The same with the connections that ``toto-aio serve`` uses."""

    async def _make_runner(self, **options: Any) -> web.BaseRunner:
        return FastRunner(self.app, **{**options, "handler_cancellation": False})


class FastRunner(web.AppRunner):
    """A runner whose sites use the fast path's protocols."""

    fast = True

    @property
    def server(self) -> Any:
        """The factory of connection protocols."""
        server = super().server
        return None if server is None else protocols(self.app, server, fast=self.fast)


class GeneralServer(TestServer):
    """The same with the connections that ``toto-aio serve`` uses without its fast path."""

    async def _make_runner(self, **options: Any) -> web.BaseRunner:
        return GeneralRunner(self.app, **{**options, "handler_cancellation": False})


class GeneralRunner(FastRunner):
    """A runner whose sites use the protocols of the general path."""

    fast = False


class Service:
    """A running service, called as a client would call it."""

    def __init__(self, client: Client, root: str = "/service") -> None:
        self.client = client
        self.root = root

    async def post(self, path: str = "", **arguments: Any) -> aiohttp.ClientResponse:
        """The response to a POST to the root, or below it."""
        return await self.client.post(f"{self.root}{path}", **arguments)

    async def call(
        self, method: str, parameters: Any = None, *, session: str | None = None, **headers: str
    ) -> dict[str, Any]:
        """The whole response to a call: result, error, session."""
        if session is not None:
            headers["x-toto-session-id"] = session
        body = {"method": method, "parameters": {} if parameters is None else parameters}
        response = await self.post(json=body, headers=headers)
        return await response.json()  # type: ignore[no-any-return]

    async def result(self, method: str, parameters: Any = None, *, session: str | None = None) -> Any:
        """The result of a call that must succeed."""
        answer = await self.call(method, parameters, session=session)
        assert "error" not in answer, answer
        return answer["result"]

    def cut_off(self, *limits: float) -> None:
        """End all calls, or those with such a time limit, as it would: at a moment that no load can shift."""
        deadlines = self.client.app[LIFESPAN].runtime.deadlines
        for deadline in [*deadlines.new, *chain.from_iterable(deadlines._by_limit.values())]:
            if deadline.seconds in limits or not limits:
                deadline.expire()

    async def create(self, user_id: str = "ada", password: str = "correct horse") -> str:
        """Create an account; return the id of its session."""
        result = await self.result("account.create", {"user_id": user_id, "password": password})
        return str(result["session_id"])


def shown(value: object) -> str:
    """A value in the id of a test, which is the same in each process that runs tests."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(WATCHDOG):
        while not condition():  # a condition tells nobody
            await asyncio.sleep(0.01)


def memory(pid: int) -> int:
    """The memory that a process uses, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024
