"""The kinds of changes that ``tests.support.mutations`` makes, and what each means for old clients."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

Document = dict[str, Any]
Schema = dict[str, Any]


class Kind(NamedTuple):
    """A kind of change of a schema: whether it breaks clients that send it, and those that receive it.

    ``change`` returns False where it does not apply.
    """

    name: str
    change: Callable[[Schema, random.Random], bool | None]
    breaks_senders: bool
    breaks_receivers: bool


class OperationKind(NamedTuple):
    """A kind of change of an operation, the rest of whose document is changed too, if need be."""

    name: str
    change: Callable[[Document, str, Schema], bool | None]
    breaks: bool


def _object(schema: Schema) -> bool:
    return schema.get("type") == "object" and bool(schema.get("properties"))


def _one(schema: Schema, chance: random.Random, *, required: bool | None = None) -> str | None:
    """The name of a member, if there is one that is, or is not, required."""
    if not _object(schema):
        return None
    needed = schema.get("required", [])
    names = [
        name
        for name, each in schema["properties"].items()
        if each is not False and required in (None, name in needed)
    ]
    return chance.choice(sorted(names)) if names else None


def _add_required(schema: Schema, chance: random.Random) -> bool:
    if _add(schema, chance) is False:
        return False
    schema["required"] = sorted([*schema.get("required", ()), "added"])
    return True


def _add(schema: Schema, _: random.Random) -> bool:
    if not _object(schema):
        return False
    schema["properties"]["added"] = {"type": "string"}
    return True


def _is_closed(schema: Schema) -> bool:
    return schema.get("additionalProperties", True) is False


def _remove(
    schema: Schema, chance: random.Random, *, required: bool | None = None, closed: bool = True
) -> bool:
    name = _one(schema, chance, required=required)
    if name is None or len(schema["properties"]) == 1 or _is_closed(schema) is not closed:
        return False
    del schema["properties"][name]
    schema["required"] = [each for each in schema.get("required", ()) if each != name]
    return True


def _rename(schema: Schema, chance: random.Random) -> bool:
    name = _one(schema, chance)
    if name is None or not _is_closed(schema):
        return False
    schema["properties"] = {
        "renamed" if each == name else each: below for each, below in schema["properties"].items()
    }
    if "required" in schema:
        schema["required"] = ["renamed" if each == name else each for each in schema["required"]]
    return True


def _require(schema: Schema, chance: random.Random) -> bool:
    name = _one(schema, chance, required=False)
    if name is None:
        return False
    schema["properties"][name].pop("default", None)
    schema["required"] = sorted([*schema.get("required", ()), name])
    return True


def _release(schema: Schema, chance: random.Random) -> bool:
    name = _one(schema, chance, required=True)
    if name is None:
        return False
    schema["required"] = [each for each in schema["required"] if each != name]
    return True


def _typed(before: str, after: Schema) -> Callable[[Schema, random.Random], bool]:
    """Change a type, and what belongs to it."""

    def change(schema: Schema, _: random.Random) -> bool:
        if schema.get("type") != before or "enum" in schema or "const" in schema:
            return False
        schema.clear()
        schema.update(after)
        return True

    return change


def _tuple(schema: Schema, _: random.Random) -> bool:
    if "prefixItems" not in schema:
        return False
    schema["prefixItems"] = [*schema["prefixItems"][:-1], {"type": "boolean"}]
    return True


def _bounded(kind: str, name: str, move: Callable[[Any], Any], *, new: Any = None) -> Any:
    """Move a bound of a type; ``new`` is the bound of those that have none."""

    def change(schema: Schema, _: random.Random) -> bool:
        if schema.get("type") not in (("integer", "number") if kind == "number" else (kind,)):
            return False
        if (name in schema) is (new is not None) or "enum" in schema or abs(schema.get(name, 0)) >= 2**62:
            return False
        schema[name] = move(schema[name]) if new is None else new
        return True

    return change


def _loosened(kind: str, name: str) -> Any:
    """Leave a bound out."""

    def change(schema: Schema, _: random.Random) -> bool:
        if schema.get("type") != kind or name not in schema or abs(schema[name]) >= 2**62:
            return False
        del schema[name]
        return True

    return change


def _value_gone(schema: Schema, _: random.Random) -> bool:
    if len(schema.get("enum", ())) < 2:
        return False
    schema["enum"] = schema["enum"][:-1]
    return True


def _value_more(schema: Schema, _: random.Random) -> bool:
    if "enum" not in schema:
        return False
    schema["enum"] = [*schema["enum"], "another"]
    return True


def _nullable(schema: Schema, _: random.Random) -> bool:
    if schema.get("type") not in ("string", "integer", "number", "boolean") or "enum" in schema:
        return False
    kind = dict(schema)
    schema.clear()
    schema["anyOf"] = [kind, {"type": "null"}]
    return True


def _never_null(schema: Schema, _: random.Random) -> bool:
    others = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if not 0 < len(others) < len(schema.get("anyOf", ())):
        return False
    del schema["anyOf"]
    schema.pop("default", None)
    schema.update(others[0] if len(others) == 1 else {"anyOf": others})
    return True


def _alternative(schema: Schema, _: random.Random) -> bool:
    if "anyOf" not in schema:
        return False
    schema["anyOf"] = [*schema["anyOf"], {"type": "boolean"}]
    return True


def _closed(schema: Schema, _: random.Random) -> bool:
    if not _object(schema) or _is_closed(schema):
        return False
    schema["additionalProperties"] = False
    return True


def _opened(schema: Schema, _: random.Random) -> bool:
    if not _object(schema) or not _is_closed(schema):
        return False
    schema["additionalProperties"] = {}
    return True


def _default(schema: Schema, chance: random.Random) -> bool:
    if not isinstance(schema.get("default"), int | str):
        return False
    del schema["default"]
    return True


def _text(schema: Schema, _: random.Random) -> bool:
    if "type" not in schema:
        return False
    schema["description"] = "Another text."
    return True


SCHEMAS = (
    Kind("a member that is required", _add_required, True, False),
    Kind("a member that may be left out", _add, False, False),
    Kind("a required member gone", lambda *to: _remove(*to, required=True), True, True),
    Kind("an optional member gone", lambda *to: _remove(*to, required=False), True, True),
    Kind("a member gone where others are taken", lambda *to: _remove(*to, closed=False), False, True),
    Kind("a member renamed", _rename, True, True),
    Kind("a member required now", _require, True, False),
    Kind("a member optional now", _release, False, True),
    Kind("text instead of an integer", _typed("integer", {"type": "string"}), True, True),
    Kind("another item of a tuple", _tuple, True, True),
    Kind("an integer instead of text", _typed("string", {"type": "integer"}), True, True),
    Kind("a list instead of text", _typed("string", {"type": "array", "items": {}}), True, True),
    Kind("a number instead of an integer", _typed("integer", {"type": "number"}), False, True),
    Kind("an integer instead of a number", _typed("number", {"type": "integer"}), True, False),
    Kind("an object instead of a list", _typed("array", {"type": "object"}), True, True),
    Kind("a smaller maximum", _bounded("number", "maximum", lambda most: most - 1), True, False),
    Kind("a larger maximum", _bounded("number", "maximum", lambda most: most + 1), False, True),
    Kind("a larger minimum", _bounded("number", "minimum", lambda least: least + 1), True, False),
    Kind("no minimum any more", _loosened("number", "minimum"), False, True),
    Kind("even numbers alone", _bounded("number", "multipleOf", int, new=2), True, False),
    Kind("a length", _bounded("string", "maxLength", int, new=20), True, False),
    Kind("a shorter length", _bounded("string", "maxLength", lambda most: most - 1), True, False),
    Kind("a longer length", _bounded("string", "maxLength", lambda most: most + 1), False, True),
    Kind("no longest length any more", _loosened("string", "maxLength"), False, True),
    Kind("a least length", _bounded("string", "minLength", int, new=3), True, False),
    Kind("a least number of items", _bounded("array", "minItems", int, new=1), True, False),
    Kind("a greatest number of items", _bounded("array", "maxItems", int, new=5), True, False),
    Kind("a value less", _value_gone, True, False),
    Kind("a value more", _value_more, False, True),
    Kind("null as well", _nullable, False, True),
    Kind("null no more", _never_null, True, False),
    Kind("an alternative more", _alternative, False, True),
    Kind("no other members any more", _closed, True, False),
    Kind("other members as well", _opened, False, False),
    Kind("a default less, where nothing is required", _default, False, False),
    Kind("another description", _text, False, False),
)


def _gone(document: Document, path: str, _: Schema) -> bool:
    if path.endswith("/echo"):
        return False
    del document["paths"][path]
    return True


def _another(document: Document, path: str, operation: Schema) -> None:
    document["paths"][f"{path}/more"] = {"post": {**operation, "operationId": "another.method"}}


def _moved(document: Document, path: str, operation: Schema) -> bool:
    if path.endswith("/echo"):
        return False
    del document["paths"][path]
    document["paths"][f"{path}/moved"] = {"post": {**operation, "operationId": "moved"}}
    return True


def _needs_login(_: Document, __: str, operation: Schema) -> bool:
    if operation["security"]:
        return False
    operation["security"] = [{"session": []}, {"bearer": []}]
    return True


def _needs_none(_: Document, __: str, operation: Schema) -> bool:
    if not operation["security"]:
        return False
    operation["security"] = []
    return True


def _may_be_anonymous(_: Document, __: str, operation: Schema) -> bool:
    if not operation["security"] or {} in operation["security"]:
        return False
    operation["security"].append({})
    return True


def _by_get_no_more(document: Document, path: str, operation: Schema) -> bool:
    if "get" not in document["paths"][path]:
        return False
    del document["paths"][path]["get"], operation["x-safe"]
    return True


def _bytes(_: Document, __: str, operation: Schema) -> bool:
    content = operation["responses"]["200"]["content"]
    if "*/*" in content:
        return False
    operation["responses"]["200"]["content"] = {"*/*": {}}
    return True


def _stated(**members: Any) -> Callable[[Document, str, Schema], None]:
    def change(_: Document, __: str, operation: Schema) -> None:
        operation.update(members)

    return change


def _error_gone(_: Document, __: str, operation: Schema) -> None:
    del operation["responses"]["503"]


def _error_more(_: Document, __: str, operation: Schema) -> None:
    operation["responses"]["418"] = operation["responses"]["503"]


RATE = {"times": 5, "per": 60, "by": "user"}
OPERATIONS = (
    OperationKind("a method gone", _gone, True),
    OperationKind("a method more", _another, False),
    OperationKind("a method renamed", _moved, True),
    OperationKind("a session needed", _needs_login, True),
    OperationKind("no session needed any more", _needs_none, False),
    OperationKind("a session may be left out", _may_be_anonymous, False),
    OperationKind("GET refused", _by_get_no_more, True),
    OperationKind("bytes instead of a result", _bytes, True),
    OperationKind("a role needed", _stated(**{"x-roles": ["admin"]}), True),
    OperationKind("a newer login needed", _stated(**{"x-fresh": 60}), True),
    OperationKind("a rate", _stated(**{"x-rates": [RATE]}), True),
    OperationKind("deprecated", _stated(deprecated=True), False),
    OperationKind("another summary", _stated(summary="Another one"), False),
    OperationKind("an error less", _error_gone, False),
    OperationKind("an error more", _error_more, False),
)
