"""Links of OpenAPI: which methods take an id that the result of another one has.

A link is made where nobody has to guess: both methods are of one package and say their types, the result
always has a property called ``id`` or ``..._id``, and the other method asks for a parameter of the same name
and with the same schema. The result is an object: a list may be empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from toto_aio.contract.schema import Schemas
from toto_aio.contract.types import REFERENCE, Schema
from toto_aio.dispatch.method import Method
from toto_aio.settings import Settings

ID = re.compile(r"(\w+_)?id", re.ASCII)
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
ABOUT = frozenset(("title", "description", "default", "examples"))
"""What a schema says about a value, and does not ask of it."""


class Links:
    """The links between some methods, which are typed if they have any."""

    def __init__(self, methods: Iterable[Method], schemas: Schemas, settings: Settings) -> None:
        self._schemas = schemas
        self._settings = settings
        self._takers: dict[str, list[tuple[Method, dict[str, Schema]]]] = {}
        for method in methods:
            if method.signature is not None and (ids := _ids(schemas.body(method))):
                self._takers.setdefault(_package(method), []).append((method, ids))

    def of(self, method: Method) -> dict[str, Any]:
        """The links of the result of a method, by names that say where they lead."""
        takers = self._takers.get(_package(method), ())
        given = _ids(self._resolved(self._schemas.result(method))) if takers else {}
        found: dict[str, Any] = {}
        for taker, ids in takers:
            if taker is not method and given.items() >= ids.items():
                found |= dict(self._to(taker, {name: f"$response.body#/result/{name}" for name in ids}))
        return found

    def _to(self, taker: Method, values: dict[str, str]) -> Iterator[tuple[str, Any]]:
        name = NOT_IN_NAMES.sub("_", taker.name)
        yield name, {"operationId": taker.name, "requestBody": values}
        if taker.reachable_by_get(self._settings.get_methods):
            parameters = {f"query.{each}": value for each, value in values.items()}
            yield f"{name}-get", {"operationId": f"{taker.name}:get", "parameters": parameters}

    def _resolved(self, schema: Schema) -> Schema:
        """The schema of the object that a reference leads to."""
        reference = schema.get("$ref")
        if reference is None:
            return schema
        return self._schemas.components.get(reference.removeprefix(REFERENCE), {})


def _package(method: Method) -> str:
    return method.name.rpartition(".")[0]


def _ids(schema: Schema) -> dict[str, Schema]:
    """The ids that an object always has, with what is asked of them."""
    properties = schema.get("properties", {})
    return {
        name: {key: value for key, value in properties[name].items() if key not in ABOUT}
        for name in schema.get("required", ())
        if ID.fullmatch(name) and isinstance(properties.get(name), dict)
    }
