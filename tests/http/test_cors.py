"""Requests of pages of other origins, as a browser sends them."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from tests.support.service import Serve
from toto_aio import Handler, TotoException, create_app
from toto_aio.settings import SettingsError

Parameters = dict[str, Any]
PAGE = "https://app.example"
FOREIGN = "https://evil.example"


async def echo(handler: Handler, parameters: Parameters) -> Any:
    """Return the parameters."""
    return parameters


async def fail(handler: Handler, parameters: Parameters) -> Any:
    """Fail."""
    raise TotoException(2001, "x")


async def stream(handler: Handler, parameters: Parameters) -> None:
    """Respond in pieces."""
    handler.respond_raw(b"one", "text/plain", finish=False)


async def away(handler: Handler, parameters: Parameters) -> None:
    """Respond with one of aiohttp's exceptions."""
    raise web.HTTPNotFound


METHODS = {"echo": echo, "fail": fail, "stream": stream, "away": away}
CORS = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Allow-Headers")


async def test_without_the_option(serve: Serve) -> None:
    """No page of another origin may read a response."""
    service = await serve(METHODS)
    for verb in ("POST", "OPTIONS"):
        headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        response = await service.client.request(verb, "/service/echo", headers=headers)
        assert not set(response.headers) & {*CORS, "Vary"}


@pytest.mark.parametrize(
    "path", [f"/service/{name}" for name in METHODS] + ["/service/nothing", "/elsewhere"]
)
@pytest.mark.parametrize(
    ("allowed", "origin", "answer"),
    [
        ([PAGE, "http://localhost:3000"], PAGE, PAGE),
        (f"{PAGE},http://localhost:3000", "http://localhost:3000", "http://localhost:3000"),
        ([PAGE], FOREIGN, None),
        ([PAGE], "https://app.example.evil.example", None),
        ([PAGE], "null", None),
        ([PAGE], None, None),
        ("*", FOREIGN, "*"),
        (["*"], "null", "*"),
        ("*", None, "*"),
    ],
)
async def test_answers(serve: Serve, path: str, allowed: Any, origin: str | None, answer: str | None) -> None:
    """Every response states which page may read it, including errors and streams."""
    service = await serve(METHODS, allow_origin=allowed)
    response = await service.client.post(path, json={}, headers={"Origin": origin} if origin else {})
    assert response.headers.get("Access-Control-Allow-Origin") == answer
    exposed = "x-toto-hmac, Retry-After, WWW-Authenticate, idempotent-replayed" if answer else None
    assert response.headers.get("Access-Control-Expose-Headers") == exposed
    assert response.headers.get("Vary") == (None if "*" in allowed else "Origin")
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Access-Control-Allow-Methods" not in response.headers


@pytest.mark.parametrize("allowed", [PAGE, "*"])
@pytest.mark.parametrize("name", ["Access-Control-Expose-Headers", "access-control-expose-headers"])
@pytest.mark.parametrize("path", ["own", "pieces"])
async def test_headers_that_a_method_exposes(serve: Serve, allowed: str, name: str, path: str) -> None:
    """They are added to those of the service, whole and in pieces."""

    async def own(handler: Handler, parameters: Parameters) -> None:
        handler.set_header(name, "x-own, x-more")

    async def pieces(handler: Handler, parameters: Parameters) -> None:
        handler.set_header(name, "x-own, x-more")
        handler.respond_raw(b"one", "text/plain", finish=False)

    service = await serve({"own": own, "pieces": pieces}, allow_origin=allowed)
    for _ in range(2):
        response = await service.post(f"/{path}", json={}, headers={"Origin": PAGE})
        exposed = response.headers.getall("Access-Control-Expose-Headers")
        assert exposed == ["x-own, x-more, x-toto-hmac, Retry-After, WWW-Authenticate, idempotent-replayed"]


async def test_pre_flight(serve: Serve) -> None:
    """A browser first asks whether it may send the headers of a signed call."""
    service = await serve(METHODS, allow_origin=[PAGE])
    asked = "authorization,content-type,x-toto-hmac,x-toto-nonce,x-toto-session-id,x-toto-timestamp"
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    response = await service.client.options("/service/echo", headers=headers)
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
    assert set(asked.split(",")) <= set(response.headers["Access-Control-Allow-Headers"].split(", "))
    assert "POST" in response.headers["Access-Control-Allow-Methods"].split(", ")
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    response = await service.client.options("/service/echo", headers={**headers, "Origin": FOREIGN})
    assert not set(response.headers) & set(CORS)


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://", "", "https://a b"])
def test_what_is_no_origin(origin: str) -> None:
    """A wrong entry stops the start with one line."""
    with pytest.raises(SettingsError, match="allow_origin"):
        create_app(method_module=METHODS, allow_origin=[origin])
