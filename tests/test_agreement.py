"""Tests of settings and methods that do not agree, which stop the start."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.service import Serve
from toto_aio import Handler, create_app
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    optionally_authenticated,
)
from toto_aio.methods import account
from toto_aio.methods.account import login
from toto_aio.settings import SettingsError

Parameters = dict[str, Any]


async def echo(handler: Handler, parameters: Parameters) -> Parameters:
    """Return the parameters."""
    return parameters


def refusal(methods: dict[str, Any], **options: Any) -> str:
    """The line that stops the start with these methods and options."""
    with pytest.raises(SettingsError) as caught:
        create_app(method_module=methods, **{"database": "memory://", **options})
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("option", ["socket_opened_method", "socket_closed_method"])
def test_a_method_that_does_not_exist(option: str) -> None:
    """An option that names it is refused; so is a function, which Toto took there."""
    for name in ("nothing", "tests.test_agreement.echo", "echo.invoke"):
        said = refusal({"echo": echo}, **{option: name})
        assert said.startswith(f"{option}: there is no method {name!r}: write the name of one")
    options: dict[str, Any] = {option: "echo"}
    create_app(method_module={"echo": echo}, database="memory://", **options)


@pytest.mark.parametrize(
    ("root", "expected"), [("/service", "/service/live"), ("/", "/live"), ("api", "/api/live")]
)
def test_a_socket_path_without_a_slash(root: str, expected: str) -> None:
    """It lay below the root in Toto, and is refused with both paths that it may mean."""
    said = refusal({"echo": echo}, root=root, socket_path="live")
    assert said.startswith(f"socket_path: write {expected} (below the root")
    assert said.endswith("or /live")


def needing(decorator: Any) -> Any:
    """A method with a decorator."""

    async def need(handler: Handler, parameters: Parameters) -> Any:
        return None if handler.session is None else handler.session.user_id

    return decorator(need)


@pytest.mark.parametrize(
    ("method", "what"),
    [
        (needing(authenticated), "accounts"),
        (needing(authenticated_with_parameter), "accounts"),
        (needing(anonymous_session), "sessions"),
        (login, "accounts"),
        (account.create, "accounts"),
    ],
)
def test_no_database_for_a_method_that_needs_one(method: Any, what: str) -> None:
    """With ``database=none`` the start is refused, and says what to write."""
    for url in ("none", "none://"):
        said = refusal({"echo": echo, "need": method}, database=url)
        assert said.startswith(f"database: 'need' needs {what}")
        assert "write database=sqlite:///toto.db" in said


async def test_no_database(serve: Serve) -> None:
    """Other methods are served, a session that a client shows does not exist, and none can be created."""

    async def create(handler: Handler, parameters: Parameters) -> None:
        assert handler.connection.db is None
        await handler.create_session(parameters.get("user_id"), verify_password=False)

    optional = needing(optionally_authenticated)
    methods = {"echo": echo, "optional": optional, "create": create}
    app_methods = {"database": "none", "method_module": methods, "debug": True}
    service = await serve(None, **app_methods)
    assert await service.result("echo", {"a": 1}) == {"a": 1}
    assert (await service.call("optional", session="s" * 43))["result"] is None
    said = (await service.call("create"))["error"]["value"]
    assert "The service has no sessions, by database=none: write database=sqlite:///toto.db" in said
    assert (await service.call("create", {"user_id": "ada"}))["error"]["code"] == 1005


async def test_sessions_without_accounts(serve: Serve) -> None:
    """A ``session_store`` keeps anonymous sessions where there are no accounts."""
    methods = {"need": needing(anonymous_session)}
    service = await serve(None, database="none", session_store="memory://", method_module=methods)
    first = await service.call("need")
    assert first["result"] == ""
    again = await service.call("need", session=first["session"]["session_id"])
    assert again["session"]["session_id"] == first["session"]["session_id"]
