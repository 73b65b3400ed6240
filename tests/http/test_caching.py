"""Responses that depend on who calls, and caches that must not give them to others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Serve
from toto_aio.invocation import anonymous_session, authenticated, optionally_authenticated, raw_response, safe

VARY = "Cookie, Authorization, x-toto-session-id"


@safe
async def plain(handler: Any, parameters: Any) -> str:
    """Return the same to all."""
    return "plain"


@safe
@optionally_authenticated
async def optional(handler: Any, parameters: Any) -> str:
    """Return the user, if there is one."""
    return "" if handler.session is None else str(handler.session.user_id)


@safe
@authenticated
async def who(handler: Any, parameters: Any) -> str:
    """Return the user."""
    return str(handler.session.user_id)


@safe
async def asks(handler: Any, parameters: Any) -> bool:
    """Ask for the session without a decorator."""
    return await handler.retrieve_session() is not None


@safe
@raw_response
@authenticated
async def raw(handler: Any, parameters: Any) -> bytes:
    """Return bytes."""
    return b"bytes"


@safe
@authenticated
async def stream(handler: Any, parameters: Any) -> None:
    """Send pieces."""
    handler.respond_raw("one", "text/plain", finish=False)
    handler.respond_raw("two", "text/plain")


@safe
@authenticated
async def away(handler: Any, parameters: Any) -> None:
    """Redirect."""
    handler.redirect("/elsewhere")


@safe
@authenticated
async def own(handler: Any, parameters: Any) -> str:
    """Say how long the response may be kept."""
    handler.set_header("cache-control", "private, max-age=60")
    handler.set_header("VARY", "x-toto-session-id")
    return "own"


@safe
@anonymous_session
async def visit(handler: Any, parameters: Any) -> bool:
    """Create a session."""
    return True


METHODS = {each.__name__: each for each in (plain, optional, who, asks, raw, stream, away, own, visit)}


@pytest.mark.parametrize("allow_origin", [[], ["https://app.example"]], ids=["", "cors"])
@pytest.mark.parametrize("verb", ["GET", "POST"])
async def test_with_a_session(serve: Serve, verb: str, allow_origin: list[str]) -> None:
    """No cache stores a response with a session, or gives it to another caller."""
    service = await serve(METHODS, allow_origin=allow_origin)
    headers = {"x-toto-session-id": await service.create()}
    vary = f"{VARY}, Origin" if allow_origin else VARY
    for method in ("optional", "who", "asks", "raw", "stream", "away", "visit"):
        response = await service.client.request(
            verb, f"/service/{method}", headers=headers, allow_redirects=False
        )
        assert ", ".join(response.headers.getall("Vary")) == vary, method
        assert response.headers["Cache-Control"] == "no-store", method


async def test_without_a_session(serve: Serve) -> None:
    """A response that depends on the session says so; one that doesn't may be kept and given to all."""
    service = await serve(METHODS)
    for method, vary, cache_control in (
        ("plain", None, None),
        ("optional", VARY, None),
        ("who", VARY, None),
        ("asks", VARY, None),
        ("visit", VARY, "no-store"),
    ):
        response = await service.client.get(f"/service/{method}")
        assert response.headers.get("Vary") == vary, method
        assert response.headers.get("Cache-Control") == cache_control, method


async def test_headers_of_a_method(serve: Serve) -> None:
    """What a method sets counts, however it spells it."""
    service = await serve(METHODS)
    response = await service.client.get("/service/own", headers={"x-toto-session-id": await service.create()})
    assert response.headers.getall("Cache-Control") == ["private, max-age=60"]
    assert response.headers.getall("Vary") == ["x-toto-session-id"]


async def test_logins(serve: Serve) -> None:
    """Responses that create or end a session are not stored; neither is a batch that does."""
    service = await serve(METHODS)
    ada = {"user_id": "ada", "password": "correct horse"}
    created = await service.post(json={"method": "account.create", "parameters": ada})
    login = await service.post(json={"batch": {"1": {"method": "account.login", "parameters": ada}}})
    session = (await login.json())["session"]["session_id"]
    logout = await service.post("/account/logout", headers={"x-toto-session-id": session})
    for response in (created, login, logout):
        assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", VARY)
