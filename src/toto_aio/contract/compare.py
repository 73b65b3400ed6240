"""What a change of a service means for its clients: what breaks old ones, and what does not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from toto_aio.contract.interface import Interface, Operation
from toto_aio.contract.subschema import Comparison, Side, Types
from toto_aio.contract.types import VALUE


class Change(Struct, frozen=True):
    """A change of a method; ``place`` is empty if it is one of the method as a whole."""

    method: str
    place: str
    text: str
    breaks: bool

    def __str__(self) -> str:
        where = f"{self.method}: {self.place}" if self.place else self.method
        return f"{'breaks' if self.breaks else 'fine'}: {where}: {self.text}"


def changes(old: Interface, new: Interface) -> list[Change]:
    """The changes, those that break old clients first; each kind by the names of methods, then channels."""
    found: list[Change] = []
    for one, other in ((old.methods, new.methods), (old.channels, new.channels)):
        for name in sorted(one.keys() | other.keys()):
            if name not in other:
                found.append(Change(name, "", "it is gone", True))
            elif name not in one:
                found.append(Change(name, "", "it is new", False))
            else:
                found += _changes(one[name], old.types, other[name], new.types)
    return sorted(found, key=lambda change: not change.breaks)


def _changes(before: Operation, old: Types, after: Operation, new: Types) -> Iterator[Change]:
    yield from _policy(before, after)
    yield from _types(after.name, "parameters", Side(before.parameters, old), Side(after.parameters, new))
    if not before.is_raw and not after.is_raw:
        yield from _types(after.name, "result", Side(before.result, old), Side(after.result, new))


def _policy(before: Operation, after: Operation) -> Iterator[Change]:
    """Who may call, and how."""

    def change(text: str, *, breaks: bool = False) -> Change:
        return Change(after.name, "", text, breaks)

    needs = after.session == "required"
    if needs is not (before.session == "required"):
        yield change(
            "it needs a user's session now" if needs else "it needs no user's session any more", breaks=needs
        )
    lost = set(before.roles) - set(after.roles)
    if after.roles and not before.roles:
        yield change(f"it needs the role {' or '.join(after.roles)} now", breaks=True)
    elif before.roles and not after.roles:
        yield change("it needs no role any more")
    else:
        yield from (change(f"the role {role} is not enough any more", breaks=True) for role in sorted(lost))
        added = sorted(set(after.roles) - set(before.roles))
        yield from (change(f"the role {role} is enough now") for role in added)
    if before.fresh != after.fresh:
        text = "it needs no new login any more"
        if after.fresh:
            text = f"it needs a login of the last {after.fresh:g} s now"
        yield change(text, breaks=0 < after.fresh < (before.fresh or math.inf))
    if before.is_safe != after.is_safe:
        yield change(
            "it may be called by GET and again now"
            if after.is_safe
            else "it is not safe any more: GET is refused",
            breaks=before.is_safe,
        )
    if before.is_idempotent != after.is_idempotent:
        yield change(
            "a repeat with the same idempotency key is done once now"
            if after.is_idempotent
            else "it is not idempotent any more: a repeat is done again",
            breaks=before.is_idempotent,
        )
    yield from (change(text, breaks=breaks) for text, breaks in _rates(before, after))
    if before.is_raw != after.is_raw:
        yield change(
            "it responds with bytes of its own now" if after.is_raw else "it gives a result now", breaks=True
        )
    for name in sorted(set(before.files) ^ set(after.files)):
        is_taken = name in after.files
        text = "it may be a file now" if is_taken else "it may not be a file any more"
        yield Change(after.name, f"parameters.{name}", text, not is_taken)
    if after.is_deprecated and not before.is_deprecated:
        yield change("it is deprecated now")


def _rates(before: Operation, after: Operation) -> Iterator[tuple[str, bool]]:
    """How often it may be called: who kept the rates of before is to keep those of now."""
    for rate in after.rates:
        if rate not in before.rates:
            yield f"it is limited to {rate} now", not rate.is_kept_by(before.rates)
    counted = {rate.by for rate in after.rates}
    for rate in before.rates:
        if rate.by not in counted:
            yield f"it is not limited to {rate} any more", False


_TEXTS = {
    "parameters": {
        "needed": ("it is needed now", "it may be left out now"),
        "unknown": ("it is not taken any more", "it is new"),
        "type": ("{now} is taken now, {before} was",) * 2,
    },
    "result": {
        "needed": ("it may be left out now", "it is always given now"),
        "unknown": ("it is gone", "it is new"),
        "type": ("{now} is given now, {before} was",) * 2,
    },
}
"""By place and kind of ``Lack``: the text of what breaks old clients, and of what does not."""


def _types(name: str, place: str, old: Side, new: Side) -> Iterator[Change]:
    """What a method takes, or gives.

    It must go on taking whatever old clients send. A result must stay what they can read; they ignore members
    that they do not know.
    """
    takes = place == "parameters"
    breaking, harmless = ((new, old), (old, new)) if takes else ((old, new), (new, old))
    said = set()
    for breaks, (wide, narrow) in ((True, breaking), (False, harmless)):
        for lack in Comparison(adds=not takes).lacks(wide, narrow, place):
            if breaks:
                said.add(lack.path)
            elif lack.path in said:
                continue
            now, before = (lack.wide, lack.narrow) if wide is new else (lack.narrow, lack.wide)
            text = _TEXTS[place][lack.kind][0 if breaks else 1]
            yield Change(name, lack.path, text.format(now=shown(now), before=shown(before)), breaks)


def shown(schema: Any) -> str:
    """A schema in a few words."""
    if not isinstance(schema, dict) or not schema or schema == VALUE:
        return "anything"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return _json(schema["const"])
    if isinstance(schema.get("enum"), list):
        return " or ".join(map(_json, schema["enum"]))
    for name in ("anyOf", "oneOf"):
        if isinstance(schema.get(name), list):
            return " or ".join(map(shown, schema[name]))
    kind = schema.get("type")
    text = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    if text == "array" and "items" in schema:
        text = f"array of {shown(schema['items'])}"
    bounds = [f"{name} {schema[name]}" for name in _SHOWN if name in schema and not _is_own(schema, name)]
    return f"{text} ({', '.join(bounds)})" if bounds else text


def _is_own(schema: dict[str, Any], name: str) -> bool:
    """Whether a bound is that of all integers, or the pattern of a format."""
    if name == "pattern":
        return "format" in schema or "contentEncoding" in schema
    return schema[name] in (-(2**63), 2**63 - 1)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_SHOWN = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("pattern", "format", "contentEncoding", "minItems", "maxItems", "uniqueItems", "minProperties"),
    "maxProperties",
)
