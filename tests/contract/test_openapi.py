"""The OpenAPI document that is made of the records of methods."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from openapi_spec_validator import validate

import toto_aio.methods
from tests.support import ROOT
from toto_aio.contract.openapi import openapi
from toto_aio.invocation import (
    anonymous_session,
    authenticated,
    authenticated_with_parameter,
    default_parameters,
    error_redirect,
    jsonp,
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
    assert of(authenticated) == [{"session": []}]
    assert of(anonymous_session) == [{"session": []}, {}]
    assert of(authenticated_with_parameter) == []
    assert of(authenticated, use_cookies=True) == [{"session": []}, {"cookie": []}]
    signed: dict[str, list[str]] = {"session": [], "signature": [], "timestamp": [], "nonce": []}
    assert of(authenticated, signing="session") == [signed]
    assert of(authenticated, signing="toto1") == [{"session": [], "signature": []}]
    assert of(authenticated, signing="user_id") == [{"session": []}]


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
