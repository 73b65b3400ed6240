"""A service in a few lines, served by aiohttp's own test server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from toto_aio import create_app

Client = TestClient[web.Request, web.Application]
Serve = Callable[..., Awaitable["Service"]]


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
        """The whole answer of a call: result, error, session."""
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

    async def create(self, user_id: str = "ada", password: str = "correct horse") -> str:
        """A new account; the id of its session."""
        result = await self.result("account.create", {"user_id": user_id, "password": password})
        return str(result["session_id"])


@pytest.fixture
def serve(aiohttp_client: AiohttpClient) -> Serve:
    """Serve methods: ``await serve({"echo": echo}, signing="off")``; in memory unless told otherwise.

    The built-in methods are there too.
    """

    async def serve(methods: Mapping[str, Any] | None = None, **options: Any) -> Service:
        import toto_aio.methods
        from toto_aio.registry import find_methods

        built_in = {name: method.invoke for name, method in find_methods(toto_aio.methods, 60).items()}
        options = {"database": "memory://", "method_module": {**built_in, **(methods or {})}, **options}
        return Service(await aiohttp_client(create_app(**options)))

    return serve


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The messages that were logged as errors."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
