"""Changes of an OpenAPI document, each of one kind and at one place, with what it means for old clients.

The schemas of a method are written out where they are used, so that a change has one direction: what a method
takes, or what it gives.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.support.mutation_kinds import OPERATIONS, SCHEMAS, Document, Kind, OperationKind, Schema
from toto_aio.contract.types import REFERENCE

Path = tuple[str | int, ...]

KEPT = frozenset({"TotoValue", "TotoSession", "TotoError", "TotoFailure"})
"""Schemas that stay references: those of every service."""


class Mutation(NamedTuple):
    """Two documents of which ``after`` has one change; ``breaks`` is what it means for old clients."""

    kind: str
    place: str
    breaks: bool
    before: Document
    after: Document

    def __str__(self) -> str:
        return f"{self.kind} at {self.place}"


def mutations(document: Document, number: int, seed: int) -> list[Mutation]:
    """So many changes, of each kind about as many, at places that the seed chooses."""
    chance = random.Random(seed)  # noqa: S311  # not a secret
    whole = _written_out(document)
    found: list[Mutation] = []
    waiting = [_of_schemas(kind, whole, chance) for kind in SCHEMAS]
    waiting += [_of_operations(kind, whole, chance) for kind in OPERATIONS]
    while waiting and len(found) < number:
        for each in list(waiting):
            mutation = next(each, None)
            if mutation is None:
                waiting.remove(each)
            else:
                found.append(mutation)
    return found[:number]


def _of_schemas(kind: Kind, whole: Document, chance: random.Random) -> Iterator[Mutation]:
    """The changes of a kind at the places where it applies, in the order of chance."""
    places = list(_places(whole))
    chance.shuffle(places)
    seen: set[str] = set()
    for name, path in places:
        if name in seen or kind.change(copy.deepcopy(_at(whole, path)), chance) is False:
            continue
        seen.add(name)  # another method first: there are enough
        method, _, side = name.rpartition(".")
        before = _only(whole, method)
        after = copy.deepcopy(before)
        kind.change(_at(after, path), chance)
        breaks = kind.breaks_senders if side == "parameters" else kind.breaks_receivers
        yield Mutation(kind.name, "/".join(map(str, path[2:])), breaks, before, after)


def _of_operations(kind: OperationKind, whole: Document, chance: random.Random) -> Iterator[Mutation]:
    names = list(whole["paths"])
    chance.shuffle(names)
    for name in names:
        method = whole["paths"][name]["post"]["operationId"]
        before = _only(whole, method)
        after = copy.deepcopy(before)
        if kind.change(after, name, after["paths"][name]["post"]) is not False:
            yield Mutation(kind.name, method, kind.breaks, before, after)


def _written_out(document: Document) -> Document:
    """The document, in which the schemas of methods refer to none but themselves."""
    found = copy.deepcopy(document)
    schemas = found["components"]["schemas"]
    for name in schemas:
        if name.endswith((".parameters", ".response")):
            schemas[name] = _expanded(schemas[name], schemas, ())
    return found


def _expanded(schema: Any, schemas: Mapping[str, Schema], above: tuple[str, ...]) -> Any:
    if isinstance(schema, list):
        return [_expanded(each, schemas, above) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix(REFERENCE)
    if name and name not in KEPT and name not in above:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_expanded(copy.deepcopy(schemas[name]), schemas, (*above, name)), **rest}
    return {key: _expanded(value, schemas, above) for key, value in schema.items()}


def _only(whole: Document, method: str) -> Document:
    """The document with one method, and another one that stays as it is."""
    paths = {
        path: item for path, item in whole["paths"].items() if item["post"]["operationId"] in (method, "echo")
    }
    found = copy.deepcopy({**whole, "paths": paths})
    schemas, used = found["components"]["schemas"], set(KEPT)
    waiting: list[Any] = [paths]
    while waiting:
        names = {part.split('"')[0] for part in json.dumps(waiting.pop()).split(REFERENCE)[1:]} - used
        used |= names
        waiting += [schemas[name] for name in sorted(names)]
    found["components"]["schemas"] = {name: each for name, each in schemas.items() if name in used}
    for name in KEPT - {"TotoValue"}:  # these are long, and no method's
        schemas_of_all = found["components"]["schemas"]
        schemas_of_all[name] = {"type": "object"}
    return found


def _places(whole: Document) -> Iterator[tuple[str, Path]]:
    """The schemas in what each method takes and gives, and below, by the name of the one they are in."""
    for name, schema in whole["components"]["schemas"].items():
        base: Path = ("components", "schemas", name)
        if name.endswith(".parameters"):
            yield from ((name, (*base, *path)) for path in _below(schema))
        elif name.endswith(".response"):
            at: Path = ("properties", "result")
            yield from ((name, (*base, *at, *path)) for path in _below(_at(schema, at)))


def _below(schema: Any) -> Iterator[Path]:
    if not isinstance(schema, dict):
        return
    yield ()
    for name, each in schema.get("properties", {}).items():
        yield from (("properties", name, *path) for path in _below(each))
    for name in ("items", "additionalProperties"):
        yield from ((name, *path) for path in _below(schema.get(name)))


def _at(found: Any, path: Path) -> Any:
    for part in path:
        found = found[part]
    return found
