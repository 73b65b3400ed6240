"""The OpenAPI document that is made of the records of methods."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest
from openapi_spec_validator import validate

import toto_aio.methods
from tests.support import ROOT
from tests.support.thirty import METHODS
from toto_aio.contract.openapi import openapi
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    default_parameters,
    error_redirect,
    fresh,
    idempotent,
    jsonp,
    rate,
    raw_response,
    requires,
    safe,
)
from toto_aio.registry import find_methods
from toto_aio.settings import read_settings

Parameters = dict[str, Any]


def described(methods: Any = toto_aio.methods, root: str = "/service", **options: Any) -> dict[str, Any]:
    """The document of these methods, which is valid."""
    settings = read_settings({"method_module": methods, **options})
    document = openapi(find_methods(methods, 60), settings, root)
    validate(document)
    return document


def test_what_the_record_of_a_classic_method_tells() -> None:
    """Its name, docstring, parameters and package."""

    @safe
    @requires("title", "tags")
    @default_parameters({"tags": [], "limit": 10})
    async def invoke(handler: Any, parameters: Parameters) -> None:
        """Find notes.

        By title and tags.
        """

    document = described({"notes.find": invoke})
    path = document["paths"]["/service/notes/find"]
    post, get = path["post"], path["get"]
    assert (post["operationId"], get["operationId"]) == ("notes.find", "notes.find:get")
    assert (post["summary"], post["tags"]) == ("Find notes", ["notes"])
    assert post["description"].startswith("By title and tags.\n\n")
    assert document["tags"] == [{"name": "notes"}]
    assert list(post["requestBody"]["content"]) == [
        "application/json",
        "application/msgpack",
        "application/bson",
    ]
    body = document["components"]["schemas"]["notes.find.parameters"]
    assert body["required"] == ["title"]
    assert body["properties"]["limit"]["default"] == 10
    assert {each["name"]: each["required"] for each in get["parameters"]} == {
        "title": True,
        "tags": False,
        "limit": False,
    }


def test_the_encodings_that_are_on() -> None:
    """A content type that is off is not in the document."""
    document = described(bson_enabled=False, msgpack_enabled=False)
    content = document["paths"]["/service/account/login"]["post"]["requestBody"]["content"]
    assert list(content) == ["application/json"]


def test_who_may_call() -> None:
    """Schemes are alternatives, the parts of a signature belong together, and nothing is enough if it is."""

    async def invoke(handler: Any, parameters: Parameters) -> None: ...

    def of(guard: Any = None, **options: Any) -> Any:
        async def own(handler: Any, parameters: Parameters) -> None: ...

        document = described({"m": guard(own) if guard else own}, **options)
        schemes = document["components"]["securitySchemes"]
        security = document["paths"]["/service/m"]["post"]["security"]
        assert {name for one in security for name in one} <= schemes.keys()
        return security

    assert of() == []
    assert of(authenticated) == [{"session": []}, {"bearer": []}]
    assert of(anonymous_session) == [{"session": []}, {"bearer": []}, {}]
    assert of(authenticated_with_parameter) == []
    assert of(authenticated, use_cookies=True) == [{"session": []}, {"bearer": []}, {"cookie": []}]
    for signing, parts in (
        ("session", ["signature", "timestamp", "nonce"]),
        ("toto1", ["signature"]),
        ("user_id", []),
    ):
        security = of(authenticated, signing=signing)
        alone = [["api_key"]] if parts else []
        assert [list(one) for one in security] == [["session", *parts], ["bearer", *parts], *alone]
    document = described(signing="session")
    of_accounts = document["paths"]["/service/account/sessions"]["post"]["security"]
    assert [next(iter(one)) for one in of_accounts] == ["session", "bearer"]


def test_the_policy() -> None:
    """A rate and a recent login are named, and a rate has the status of a call too many."""

    @fresh(300)
    @rate(10, per=60)
    async def drop(handler: Any, parameters: Parameters) -> None: ...

    async def free(handler: Any, parameters: Parameters) -> None: ...

    document = described({"drop": drop, "free": free})
    post, other = (document["paths"][f"/service/{name}"]["post"] for name in ("drop", "free"))
    assert (post["x-fresh"], post["x-rates"]) == (
        300,
        [{"times": 10, "per": 60.0, "by": "user", "of_all": False}],
    )
    assert {"x-fresh", "x-rates", "x-roles"}.isdisjoint(other)
    assert ("429" in post["responses"], "429" in other["responses"]) == (True, False)


@pytest.mark.parametrize("mode", ["toto", "http"])
def test_the_statuses_of_errors(mode: str) -> None:
    """Each error has the status of ``error_status``; with toto the response with 200 may be one."""
    document = described(error_status=mode)
    for name, added in (("create", {401, 409, 429}), ("login", {401, 429}), ("update", {401, 403, 429})):
        responses = document["paths"][f"/service/account/{name}"]["post"]["responses"]
        statuses = {int(status) for status in responses if status.isdecimal()}
        always = {200, 400, 408, 413, 415, 503, 504}
        assert statuses == always | (added | {500} if mode == "http" else {429}), name
        assert "default" in responses
    schema = document["components"]["schemas"]["account.login.response"]
    assert ("anyOf" in schema) == (mode == "toto")
    assert ("Failure401" in document["components"]["responses"]) == (mode == "http")
    if mode == "http":
        assert "WWW-Authenticate" in document["components"]["responses"]["Failure401"]["headers"]


def test_responses_of_a_methods_own() -> None:
    """Bytes have any type, a script has its own, and an error may lead somewhere else."""

    async def plain(handler: Any, parameters: Parameters) -> None: ...

    async def script(handler: Any, parameters: Parameters) -> None: ...

    async def page(handler: Any, parameters: Parameters) -> None: ...

    methods = {
        "raw": raw_response(plain),
        "script": jsonp("cb")(script),
        "page": error_redirect({1: "/"})(page),
    }
    paths = described(methods)["paths"]
    assert list(paths["/service/raw"]["post"]["responses"]["200"]["content"]) == ["*/*"]
    get = paths["/service/script"]["get"]
    assert "application/javascript" in get["responses"]["200"]["content"]
    assert "cb" in [each["name"] for each in get["parameters"]]
    assert "302" in paths["/service/page"]["post"]["responses"]


def test_without_methods_in_the_url() -> None:
    """Where calls name their method in the body, there is one operation for all of them."""
    document = described(method_select="parameter")
    assert list(document["paths"]) == ["/service"]
    calls = document["paths"]["/service"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"account.login", "account.logout"} <= {
        each["properties"]["method"]["const"] for each in calls["oneOf"]
    }


def test_at_the_root_of_the_site() -> None:
    """Paths begin with one slash, and names that no URL may have are encoded."""

    async def invoke(handler: Any, parameters: Parameters) -> None: ...

    assert list(described({"a.b": invoke, "x {y}": invoke}, root="")["paths"]) == ["/a/b", "/x%20%7By%7D"]


@pytest.mark.parametrize(
    ("example", "package"), [("hello", "methods"), ("embedded", "methods"), ("chat", "rooms")]
)
def test_every_example(example: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents of the examples are valid, and have their methods."""
    monkeypatch.syspath_prepend(ROOT / "examples" / example)
    try:
        assert described(package)["paths"]
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]  # another example has a package of that name


def test_the_types_of_typed_methods() -> None:
    """Parameters and results have the schemas of their types, and models are named once."""
    document = described(METHODS, error_status="http")
    schemas = document["components"]["schemas"]
    assert len(METHODS) == 30
    add = schemas["notes.add.parameters"]
    assert (add["required"], add["additionalProperties"]) == (["title"], False)
    assert add["properties"]["title"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 80,
        "description": "What it is called",
        "examples": ["Milk"],
    }
    assert add["properties"]["tags"]["default"] == []
    assert schemas["notes.add.response"]["properties"]["result"] == {"$ref": "#/components/schemas/Note"}
    assert schemas["notes.replace.parameters"]["required"] == ["title"]
    person = {"$ref": "#/components/schemas/Person"}
    assert schemas["people.invite.parameters"]["properties"]["person"] == person
    assert schemas["people.invite.response"]["properties"]["result"] == person
    assert schemas["people.meet.parameters"]["properties"]["age"]["maximum"] == 150
    when = schemas["people.invite.parameters"]["properties"]["when"]["anyOf"][0]
    assert when["format"] == "date-time"
    born = schemas["Author"]["properties"]["born"]["anyOf"][0]
    assert born["format"] == "date"
    assert schemas["math.total.parameters"]["properties"]["numbers"]["items"]["maximum"] == 1000
    assert schemas["math.pair.parameters"]["properties"]["both"]["prefixItems"][0]["maximum"] == 2**63 - 1


def test_typed_methods_by_get_and_in_forms() -> None:
    """A query has a parameter for each, and a form the files of a method that takes them."""
    document = described(METHODS)
    find = document["paths"]["/service/notes/find"]["get"]
    assert [(each["name"], each["required"]) for each in find["parameters"]] == [
        ("word", True),
        ("limit", False),
        ("exact", False),
    ]
    integer = {"type": "integer", "minimum": 1, "maximum": 1000}
    schemas = {each["name"]: each["schema"] for each in find["parameters"]}
    assert schemas["limit"] == {"anyOf": [integer, {"const": ""}]}  # which is as if it were left out
    assert schemas["word"] == {"type": "string"}
    content = document["paths"]["/service/data/upload"]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]
    assert form["properties"]["file"]["format"] == "binary"
    assert form["required"] == ["file"]
    plain = document["paths"]["/service/notes/add"]["post"]["requestBody"]
    assert "multipart/form-data" not in plain["content"]


class Node(pydantic.BaseModel):
    """A model of pydantic that contains itself."""

    name: str
    below: list[Node] = []


@dataclass
class Odd:
    """A class with a method's own type, which has no schema."""

    value: Any
    handler: type[Any] | None = None


async def grow(handler: Any, node: Node) -> Node:
    """Grow."""
    return node


async def odd(handler: Any, name: str) -> Odd:
    """Return something of which msgspec knows nothing."""
    return Odd(name)


def test_types_that_contain_themselves_or_have_no_schema() -> None:
    """The first are named once, and the others are anything."""
    document = described({"grow": grow, "odd": odd}, error_status="http")
    schemas = document["components"]["schemas"]
    node = {"$ref": "#/components/schemas/Node"}
    assert schemas["grow.parameters"]["properties"]["node"] == node
    assert schemas["Node"]["properties"]["below"]["items"] == node
    assert schemas["odd.response"]["properties"]["result"] == {}


def test_idempotent() -> None:
    """A method that may be repeated has the header, and the errors of keys; no other has."""

    @idempotent
    async def pay(handler: Any, amount: int) -> int: ...  # type: ignore[empty-body]

    async def free(handler: Any, parameters: Parameters) -> None: ...

    for error_status in ("http", "toto"):
        document = described({"pay": pay, "free": free}, error_status=error_status)
        post, other = (document["paths"][f"/service/{name}"]["post"] for name in ("pay", "free"))
        [header] = post["parameters"]
        assert (header["name"], header["in"], header.get("required", False)) == (
            "idempotency-key",
            "header",
            False,
        )
        assert "idempotent-replayed" in post["responses"]["200"]["headers"]
        assert {"409", "422"} <= post["responses"].keys()
        assert {"409", "422"}.isdisjoint(other["responses"])
        assert "parameters" not in other
        assert "1014" in document["components"]["responses"]["Failure409"]["description"]
