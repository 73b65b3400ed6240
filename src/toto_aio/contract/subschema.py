"""Whether one schema takes all that another one gives, and where it does not.

It is exact for what the types of methods become: types, unions, enumerations, bounds, objects, arrays and
references. Where nobody can tell, as between two patterns, the answer is that it does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, structs

from toto_aio.contract.types import REFERENCE, Schema

Types = Mapping[str, Any]

ANYTHING: Schema = {}


class Side(Struct, frozen=True):
    """A schema and the named schemas that it may refer to."""

    schema: Any
    types: Types

    def of(self, schema: Any) -> Side:
        """Another schema of the same document."""
        return Side(schema, self.types)


class Lack(Struct, frozen=True):
    """Where ``wide`` does not take what ``narrow`` gives. ``kind`` is ``needed``, ``unknown`` or ``type``."""

    path: str
    kind: str
    wide: Any = None
    narrow: Any = None


class Comparison:
    """Compares schemas. With ``adds``, objects may have more members than the wide side, and none less."""

    def __init__(self, *, adds: bool) -> None:
        self._adds = adds
        self._known: dict[tuple[int, int], tuple[Any, Any, list[Lack]]] = {}

    def lacks(self, wide: Side, narrow: Side, path: str) -> list[Lack]:
        """Everything that is given and not taken."""
        found: list[Lack] = []
        takers = list(_alternatives(wide))
        for given in _alternatives(narrow):
            attempts = [self._one(taker, given, path) for taker in takers]
            if not attempts or all(attempts):
                # Of several, the one that is most alike says what is wrong; of different types none does.
                alike = [each for each in attempts if not _is_whole(each, path)]
                alike.sort(key=len)
                found += alike[0] if alike else [Lack(path, "type", wide.schema, narrow.schema)]
        return _unique(found)

    def _one(self, wide: Side, narrow: Side, path: str) -> list[Lack]:
        """The same for schemas that are not unions."""
        taken, given = wide.schema, narrow.schema
        whole = [Lack(path, "type", taken, given)]
        if taken == ANYTHING:
            return []
        if given == ANYTHING:
            return whole
        if "const" in given:
            return [] if _takes(taken, given["const"]) else whole
        if "const" in taken or not _fits(taken.get("type"), given.get("type")):
            return whole
        if not _keeps_bounds(taken, given):
            return whole
        below = [structs.replace(lack, path=f"{path}{lack.path}") for lack in self._below(wide, narrow)]
        # What is different altogether says so of the whole.
        return whole if any(lack.path == path for lack in below) else below

    def _below(self, wide: Side, narrow: Side) -> list[Lack]:
        """What objects and arrays lack, by paths from there; of a type that contains itself, once."""
        look = {"object": self._object, "array": self._array}.get(narrow.schema.get("type"))
        if look is None:
            return []
        key = id(wide.schema), id(narrow.schema)
        if key not in self._known:
            self._known[key] = wide.schema, narrow.schema, []
            self._known[key] = wide.schema, narrow.schema, list(look(wide, narrow))
        return self._known[key][2]

    def _object(self, wide: Side, narrow: Side) -> Iterator[Lack]:
        taken, given = _members(wide.schema), _members(narrow.schema)
        needed, sure = _names(wide.schema), _names(narrow.schema)
        others = wide.schema.get("additionalProperties", ANYTHING)
        for name in taken:
            below = f".{name}"
            if name in needed and name not in sure:
                yield Lack(below, "needed" if name in given or not self._adds else "unknown")
            elif self._adds and name not in given and taken[name] is not False:
                yield Lack(below, "unknown")
        for name, schema in given.items():
            if schema is False:
                continue
            below = f".{name}"
            if name in taken and taken[name] is not False:
                yield from self.lacks(wide.of(taken[name]), narrow.of(schema), below)
            elif self._adds:
                continue
            elif others is False or name in taken:
                yield Lack(below, "unknown")
            else:
                yield from self.lacks(wide.of(others), narrow.of(schema), below)
        rest = narrow.schema.get("additionalProperties", ANYTHING)
        if rest is False or (self._adds and (taken or given)):
            return
        if others is False:
            yield Lack(".*", "unknown")
        else:
            yield from self.lacks(wide.of(others), narrow.of(rest), ".*")

    def _array(self, wide: Side, narrow: Side) -> Iterator[Lack]:
        first, second = wide.schema.get("prefixItems"), narrow.schema.get("prefixItems")
        items = wide.schema.get("items", ANYTHING)
        if isinstance(first, list):
            if not isinstance(second, list) or len(first) != len(second):
                yield Lack("", "type")
                return
            for index, (one, other) in enumerate(zip(first, second, strict=True)):
                yield from self.lacks(wide.of(one), narrow.of(other), f"[{index}]")
        elif isinstance(second, list):
            for index, other in enumerate(second):
                yield from self.lacks(wide.of(items), narrow.of(other), f"[{index}]")
        else:
            yield from self.lacks(wide.of(items), narrow.of(narrow.schema.get("items", ANYTHING)), "[]")


def _alternatives(side: Side, depth: int = 0) -> Iterator[Side]:
    """The schemas of which a union is one; a value of an enumeration is one too."""
    schema = side.schema
    if schema is False:
        return
    reference = _reference(schema)
    if reference is not None:
        found = side.types.get(reference.removeprefix(REFERENCE))
        if depth > _DEEPEST or not isinstance(found, dict):
            yield side.of(ANYTHING)
            return
        yield from _alternatives(side.of(found), depth + 1)
    elif not isinstance(schema, dict) or not schema:
        yield side.of(ANYTHING)
    elif isinstance(schema.get("enum"), list):
        yield from (side.of({"const": each}) for each in schema["enum"])
    elif any(isinstance(schema.get(name), list) for name in ("anyOf", "oneOf")):
        for each in schema.get("anyOf") or schema.get("oneOf") or ():
            yield from _alternatives(side.of(each), depth + 1)
    elif isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
        yield from _alternatives(side.of(schema["allOf"][0]), depth + 1)
    elif isinstance(schema.get("type"), list):
        yield from (side.of({**schema, "type": each}) for each in schema["type"])
    elif schema.get("type") == "boolean":
        yield from (side.of({"const": each}) for each in (False, True))
    elif schema.get("type") == "null":
        yield side.of({"const": None})
    elif "type" not in schema and "const" not in schema:
        yield side.of(ANYTHING)
    else:
        yield side


def _takes(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a schema without unions takes a single value."""
    if "const" in schema:
        return type(schema["const"]) is type(value) and bool(schema["const"] == value)
    kind = _KINDS.get(type(value))
    if not _fits(schema.get("type"), kind):
        return False
    if kind == "string":
        size = len(value)
        is_long = schema.get("minLength", 0) <= size <= schema.get("maxLength", size)
        return is_long and _matches(schema.get("pattern", ""), value)
    single = {"type": kind, "minimum": value, "maximum": value}
    return _keeps_bounds({**schema, "multipleOf": 1}, {**single, "multipleOf": 1}) and (
        "multipleOf" not in schema or value % schema["multipleOf"] == 0
    )


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return False


def _fits(taken: Any, given: Any) -> bool:
    return taken == given or (taken, given) == ("number", "integer")


def _keeps_bounds(taken: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether what is given is within the bounds of what is taken."""
    for lowest in ("minLength", "minItems", "minProperties"):
        if given.get(lowest, 0) < taken.get(lowest, 0):
            return False
    for highest in ("maxLength", "maxItems", "maxProperties"):
        if highest in taken and not (highest in given and given[highest] <= taken[highest]):
            return False
    if any(
        name in taken and taken[name] != given.get(name) for name in ("pattern", "format", "contentEncoding")
    ):
        return False
    if taken.get("uniqueItems") and not given.get("uniqueItems"):
        return False
    if "multipleOf" in taken and ("multipleOf" not in given or given["multipleOf"] % taken["multipleOf"]):
        return False
    return _lowest(given) >= _lowest(taken) and _highest(given) <= _highest(taken)


def _lowest(schema: Mapping[str, Any]) -> tuple[float, float]:
    """The least number, and whether it is itself excluded; of integers it never is."""
    step = 1 if schema.get("type") == "integer" else 0
    bounds = [(-math.inf, 0.0)]
    if "minimum" in schema:
        bounds.append((schema["minimum"], 0))
    if "exclusiveMinimum" in schema:
        bounds.append((schema["exclusiveMinimum"] + step, 1 - step))
    return max(bounds)


def _highest(schema: Mapping[str, Any]) -> tuple[float, float]:
    step = 1 if schema.get("type") == "integer" else 0
    bounds = [(math.inf, 0.0)]
    if "maximum" in schema:
        bounds.append((schema["maximum"], 0))
    if "exclusiveMaximum" in schema:
        bounds.append((schema["exclusiveMaximum"] - step, step - 1))
    return min(bounds)


def _unique(lacks: list[Lack]) -> list[Lack]:
    return [each for index, each in enumerate(lacks) if each not in lacks[:index]]


def _is_whole(lacks: list[Lack], path: str) -> bool:
    """Whether two schemas differ altogether, and not in something below."""
    return any(each.path == path for each in lacks)


def _reference(schema: Any) -> str | None:
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    return reference if isinstance(reference, str) else None


def _members(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _names(schema: Mapping[str, Any]) -> frozenset[str]:
    found = schema.get("required")
    return (
        frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()
    )


_DEEPEST = 64
_KINDS = {str: "string", int: "integer", float: "number"}
