"""The links of the OpenAPI document, from what gives an id to what takes it."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Meta
from openapi_spec_validator import validate

from tests.support.service import Serve
from tests.support.shelf import shelf
from toto_aio.invocation import requires, safe


class Made(TypedDict):
    """What a method gives."""

    id: uuid.UUID
    owner_id: str


class Odd(msgspec.Struct, rename={"odd_id": "odd/id"}):
    """What has an id with a name that no link can have."""

    odd_id: str
    maybe_id: str | None = None


async def make() -> Made:
    """Make something."""
    return Made(id=uuid.uuid4(), owner_id="ada")


async def odd() -> Odd:
    """Give something odd."""
    return Odd("x")


@safe
async def one(id: Annotated[uuid.UUID, Meta(description="Which")], owner_id: str = "") -> str:  # noqa: A002
    """Take the id."""
    return str(id)


async def both(owner_id: str, id: uuid.UUID) -> str:  # noqa: A002
    """Take both ids."""
    return owner_id


async def other_type(id: int) -> int:  # noqa: A002
    """Take another kind of id."""
    return id


async def of_odd(maybe_id: str) -> str:
    """Take what is not always there."""
    return maybe_id


@requires("id")
async def classic(handler: Any, parameters: dict[str, Any]) -> Any:
    """Take an id of any kind."""
    return parameters["id"]


async def links(serve: Serve, methods: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The links of each path and verb that has some."""
    service = await serve(methods, **options)
    document = await (await service.client.get("/service/openapi.json")).json()
    validate(document)
    found = {
        f"{verb} {path.removeprefix('/service/')}": operation["responses"]["200"].get("links")
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
    }
    return {name: linked for name, linked in found.items() if linked}


async def test_what_is_linked(serve: Serve) -> None:
    """What asks for ids that the result always has, of the same type and in the same package."""
    methods = {"make": make, "odd": odd, "one": one, "both": both, "typed": other_type, "of": of_odd}
    packaged = {f"things.{name}": method for name, method in methods.items()}
    found = await links(serve, {**packaged, "things.classic": classic, "one": one, "far.one": one})
    identified = {"id": "$response.body#/result/id"}
    assert found == {
        "post things/make": {
            "things.both": {
                "operationId": "things.both",
                "requestBody": {**identified, "owner_id": "$response.body#/result/owner_id"},
            },
            "things.one": {"operationId": "things.one", "requestBody": identified},
            "things.one-get": {
                "operationId": "things.one:get",
                "parameters": {"query.id": identified["id"]},
            },
        }
    }


async def test_the_shelf(serve: Serve) -> None:
    """A book that is given leads to what is done with one; a list does not, as it may be empty."""
    found = await links(serve, shelf())
    assert {name: sorted(linked) for name, linked in found.items()} == {
        "post books/add": ["books.get", "books.get-get", "books.remove", "books.rename"],
        "post books/get": ["books.remove", "books.rename"],
        "get books/get": ["books.remove", "books.rename"],
        "post books/rename": ["books.get", "books.get-get", "books.remove"],
    }
