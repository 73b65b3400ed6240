"""The OpenRPC document, and ``rpc.discover``, which gives it to clients of JSON-RPC."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.support.service import Serve, Service
from tests.support.thirty import METHODS
from toto_aio import Handler
from toto_aio.contract.openrpc import openrpc
from toto_aio.invocation import authenticated, authenticated_with_parameter, deprecated, fresh, rate, roles
from toto_aio.registry import find_methods
from toto_aio.settings import Settings

NAME = "rpc.discover"


async def note(handler: Handler, title: str, tags: list[str] = [], limit: int = 10) -> list[str]:  # noqa: B006
    """Add a note.

    It is not kept.
    """
    return [title, *tags, str(limit)]


async def search(handler: Handler, *, limit: int = 3, word: str) -> str:
    """Search."""
    return word * limit


@authenticated_with_parameter
async def mine(handler: Handler, limit: int = 1) -> int:
    """What a user has."""
    return limit


@deprecated(since="2026-01-31")
@roles("editor")
@fresh(300)
@rate(10, per=60)
async def edit(handler: Handler, parameters: Any) -> None:
    """Edit."""


OWN = {"notes.add": note, "search": search, "mine": mine, "edit": edit}


def document_of(methods: dict[str, Any]) -> dict[str, Any]:
    """The document of some methods."""
    return openrpc(find_methods(methods, 60.0), Settings(), "/service/rpc")


async def ask(service: Service, **headers: str) -> dict[str, Any]:
    """The response of ``rpc.discover``."""
    message = {"jsonrpc": "2.0", "method": NAME, "id": 1}
    response = await service.post("/rpc", json=message, headers=headers)
    found: dict[str, Any] = await response.json()
    return found


def test_what_it_says() -> None:
    """Each method has its parameters, the required ones first, its result, and how params may be written."""
    document = document_of(OWN)
    assert document["openrpc"] == "1.3.2"
    assert document["servers"] == [{"name": "http", "url": "/service/rpc"}]
    methods = {each["name"]: each for each in document["methods"]}
    assert list(methods) == sorted(OWN)
    add = methods["notes.add"]
    assert (add["summary"], add["description"]) == ("Add a note", "It is not kept.")
    assert (add["tags"], add["paramStructure"]) == ([{"name": "notes"}], "either")
    assert [(each["name"], each["required"]) for each in add["params"]] == [
        ("title", True),
        ("tags", False),
        ("limit", False),
    ]
    assert add["result"] == {
        "name": "result",
        "schema": {"type": "array", "items": {"type": "string"}},
    }
    assert [each["code"] for each in add["errors"]] == [-32602]
    by_name = {name: each["paramStructure"] for name, each in methods.items() if name != "notes.add"}
    assert by_name == {"search": "by-name", "mine": "by-name", "edit": "by-name"}
    assert [each["name"] for each in methods["search"]["params"]] == ["word", "limit"]
    assert [each["name"] for each in methods["mine"]["params"]] == ["session_id", "limit"]
    assert [each["code"] for each in methods["mine"]["errors"]] == [-32602, 1004]
    assert (methods["edit"]["deprecated"], methods["edit"]["x-roles"]) == (True, ["editor"])
    assert methods["edit"]["x-fresh"] == 300
    assert methods["edit"]["x-rates"] == [{"times": 10, "per": 60.0, "by": "user", "of_all": False}]
    assert 1012 in [error["code"] for error in methods["edit"]["errors"]]
    assert 1012 not in [error["code"] for error in methods["mine"]["errors"]]


def test_thirty_methods() -> None:
    """Schemas are valid, references lead somewhere, and methods with bytes of their own are left out."""
    document = document_of(METHODS)
    records = find_methods(METHODS, 60.0)
    assert {each["name"] for each in document["methods"]} == {
        name for name, record in records.items() if not record.rules.raw
    }
    for method in document["methods"]:
        for each in (*method["params"], method["result"]):
            Draft202012Validator.check_schema(each["schema"])
        needs = [each["required"] for each in method["params"]]
        assert needs == sorted(needs, reverse=True), method["name"]
    known = document["components"]["schemas"]
    for schema in known.values():
        Draft202012Validator.check_schema(schema)
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in known, reference


def references(value: Any) -> list[str]:
    """All references in a document."""
    if isinstance(value, list):
        return [found for each in value for found in references(each)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [found for each in value.values() for found in references(each)]


async def test_discover(serve: Serve) -> None:
    """Everyone gets the document by every way in, and what it says of positions is so."""
    service = await serve(OWN)
    document = (await ask(service))["result"]
    assert {*OWN, "account.login"} <= {each["name"] for each in document["methods"]}
    assert NAME not in {each["name"] for each in document["methods"]}
    assert await service.result(NAME) == document
    message = {"jsonrpc": "2.0", "method": NAME, "id": 2}
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_str(json.dumps(message))
        assert (await socket.receive_json())["result"] == document
    values = {"title": "a", "tags": ["b"], "limit": 4}
    add = next(each for each in document["methods"] if each["name"] == "notes.add")
    message = {
        "jsonrpc": "2.0",
        "method": "notes.add",
        "params": [values[each["name"]] for each in add["params"]],
    }
    response = await service.post("/rpc", json={**message, "id": 3})
    assert (await response.json())["result"] == ["a", "b", "4"]


async def test_for_users_only(serve: Serve) -> None:
    """With openapi=authenticated users get it, without the methods whose role they lack."""

    @authenticated
    async def promote(handler: Handler) -> None:
        assert handler.session is not None
        await handler.accounts.set_roles(handler.session.user_id, ["editor"])

    service = await serve({**OWN, "promote": promote}, openapi="authenticated")
    assert (await ask(service))["error"]["code"] == 1004
    session = await service.create()
    shown = {"x-toto-session-id": session}
    before = {each["name"] for each in (await ask(service, **shown))["result"]["methods"]}
    await service.result("promote", session=session)
    after = {each["name"] for each in (await ask(service, **shown))["result"]["methods"]}
    assert (after - before, before - after) == ({"edit"}, set())


@pytest.mark.parametrize("options", [{"openapi": "off"}, {"json_rpc": "off"}], ids=["openapi", "json_rpc"])
async def test_off(serve: Serve, options: dict[str, str]) -> None:
    """There is no such method if documents, or JSON-RPC, are off."""
    service = await serve(OWN, **options)
    assert (await service.call(NAME))["error"]["code"] == 1001


async def test_an_authors_own(serve: Serve) -> None:
    """A method of that name of the author's stays."""
    service = await serve({NAME: lambda handler, parameters: "mine"})
    assert (await ask(service))["result"] == "mine"
