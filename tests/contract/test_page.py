"""The OpenAPI document of a running service, at ``openapi.json`` below its root."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate

from tests.support.service import Serve
from toto_aio import create_app
from toto_aio.invocation import authenticated, safe
from toto_aio.settings import SettingsError

Parameters = dict[str, Any]
PATH = "/service/openapi.json"
ORIGIN = "https://app.example"


async def add(handler: Any, parameters: Parameters) -> int:
    """Add two numbers."""
    return 3


METHODS = {"notes.add": add, "read": safe(lambda handler, parameters: 1), "mine": authenticated(add)}


async def test_the_document(serve: Serve) -> None:
    """Everyone gets it by default, with a tag by which a cache knows that it has it."""
    service = await serve(METHODS, allow_origin=ORIGIN)
    response = await service.client.get(PATH, headers={"Origin": ORIGIN})
    document = await response.json()
    validate(document)
    assert (response.status, response.content_type) == (200, "application/json")
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"/service/notes/add", "/service/read", "/service/mine"} <= document["paths"].keys()
    tag = response.headers["ETag"]
    for shown, status in ((tag, 304), ("*", 304), (f'"other", W/{tag}', 304), ('"other"', 200)):
        again = await service.client.get(PATH, headers={"If-None-Match": shown})
        assert (again.status, again.headers["ETag"]) == (status, tag), shown
        assert (await again.read() == b"") == (status == 304)
    head = await service.client.head(PATH)
    assert (head.status, head.headers["Content-Length"]) == (200, response.headers["Content-Length"])


async def test_it_hides_no_method(serve: Serve) -> None:
    """A call by POST has its path below the root as before, whatever stands there for GET."""
    service = await serve(METHODS)
    assert (await (await service.post("/openapi.json", json={})).json())["error"]["code"] == 1001
    assert await (await service.client.get("/service/read")).json() == {"result": 1}


@pytest.mark.parametrize("mode", ["toto", "http"])
async def test_only_for_those_who_are_logged_in(serve: Serve, mode: str) -> None:
    """With openapi=authenticated a user gets it, in no shared cache; others get 401, as it is no call."""
    service = await serve(METHODS, openapi="authenticated", error_status=mode)
    for headers in ({}, {"x-toto-session-id": "unknown"}):
        refused = await service.client.get(PATH, headers=headers)
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer ")
        assert await refused.json() == {"error": {"code": 1004, "value": "Not authorized"}}
    shown = {"x-toto-session-id": await service.create()}
    response = await service.client.get(PATH, headers=shown)
    assert response.status == 200
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert "x-toto-session-id" in response.headers["Vary"]
    again = await service.client.get(PATH, headers={**shown, "If-None-Match": response.headers["ETag"]})
    assert again.status == 304


async def test_off(serve: Serve) -> None:
    """With openapi=off the path is that of a method, which there is not."""
    service = await serve(METHODS, openapi="off", error_status="http")
    response = await service.client.get(PATH)
    assert (response.status, (await response.json())["error"]["code"]) == (404, 1001)


async def test_a_method_of_that_name_stays(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The start warns, and GET calls the method; with an option that was set it does not start."""
    methods = {"openapi.json": safe(lambda handler, parameters: "mine")}
    with caplog.at_level(logging.WARNING):
        service = await serve(methods)
    assert "/service/openapi.json is the method 'openapi.json' already" in caplog.text
    assert await (await service.client.get(PATH)).json() == {"result": "mine"}
    for option in ("on", "authenticated"):
        with pytest.raises(SettingsError, match=r"openapi: .* is the method 'openapi.json' already"):
            await serve(methods, openapi=option)
    assert await (await (await serve(methods, openapi="off")).client.get(PATH)).json() == {"result": "mine"}


async def test_the_paths_of_an_embedded_service() -> None:
    """They have the prefix of the application around it."""
    parent = web.Application()
    parent.add_subapp("/api", create_app(method_module=METHODS, database="memory://", root="/"))
    async with TestClient(TestServer(parent)) as client:
        response = await client.get("/api/openapi.json")
        assert "/api/notes/add" in json.loads(await response.text())["paths"]
