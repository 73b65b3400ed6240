"""What was written for a parameter, as JSON of the type that the method asks for.

Text that is not a value of its type stays text: the service then says what is wrong, with everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from toto_aio.cli.call.document import Document, Schema
from toto_aio.dispatch.text import BOOLEANS

MAX_LEVELS = 8
"""The most levels of unions within unions."""


def value_of(texts: Sequence[str | None], schema: Schema, document: Document) -> Any:
    """The value of a parameter that was written so often; None is an option without a value."""
    kinds = kinds_of(schema, document)
    lists = [each for each in kinds if each.get("type") == "array"]
    if lists and not any(each == "null" and len(texts) == 1 for each in texts):
        return _list([each or "" for each in texts], lists[0], document)
    values = [True if each is None else _value(each, kinds) for each in texts]
    return values[0] if len(values) == 1 else values


def free_value(text: str) -> Any:
    """The value of a parameter that can be anything: JSON if it is that, and otherwise text."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
    is_long = isinstance(value, int) and not -(2**63) <= value < 2**63
    return text if is_long else value


def is_boolean(schema: Schema, document: Document) -> bool:
    """Whether a parameter is a boolean, whose option needs no value."""
    kinds = [each for each in kinds_of(schema, document) if each.get("type") != "null"]
    return bool(kinds) and all(each.get("type") == "boolean" for each in kinds)


def choices(schema: Schema, document: Document, levels: int = MAX_LEVELS) -> list[str]:
    """The few values that a parameter, or an item of its list, may have."""
    found: list[str] = []
    for kind in kinds_of(schema, document):
        if kind.get("type") == "array":
            items = kind.get("items")
            found += choices(items, document, levels - 1) if items and levels else []
        elif kind.get("type") == "boolean":
            found += ["true", "false"]
        else:
            found += [str(each) for each in _words(kind) if isinstance(each, str | int)]
    return found


def placeholder(schema: Schema, document: Document, levels: int = MAX_LEVELS) -> str:
    """What a value looks like, for help: ``INTEGER``, ``TEXT,...``, ``blue|red``."""
    kinds = [each for each in kinds_of(schema, document) if each.get("type") != "null"]
    if not kinds or not levels:
        return "JSON"
    names = [_placeholder(each, document, levels) for each in kinds]
    return "|".join(dict.fromkeys(names))


def _placeholder(kind: Schema, document: Document, levels: int) -> str:
    words = [str(each) for each in _words(kind)]
    if words:
        return "|".join(words[:8]) + ("|..." if len(words) > 8 else "")
    if kind.get("type") == "array":
        items = kind.get("items")
        return f"{placeholder(items, document, levels - 1)},..." if items else "JSON"
    if kind.get("type") == "string":
        hint = kind.get("format") or kind.get("contentEncoding")
        return {"date-time": "TIME", "base64": "BASE64"}.get(str(hint), str(hint or "text").upper())
    return {"integer": "INTEGER", "number": "NUMBER", "boolean": "true|false"}.get(
        str(kind.get("type")), "JSON"
    )


def kinds_of(schema: Any, document: Document, levels: int = MAX_LEVELS) -> Sequence[Schema]:
    """What a value may be: the alternatives of a union."""
    schema = document.resolved(schema)
    for name in ("anyOf", "oneOf"):
        parts = schema.get(name)
        if isinstance(parts, list) and levels:
            found = [kind for part in parts for kind in kinds_of(part, document, levels - 1)]
            return found if not _is_anything(found) else [_of_default(schema)]
    kind = schema.get("type")
    if isinstance(kind, list):
        return [{**schema, "type": each} for each in kind]
    return [schema if kind is not None or _words(schema) else _of_default(schema)]


def _is_anything(kinds: Sequence[Schema]) -> bool:
    return {each.get("type") for each in kinds} >= {"string", "array", "object"}


def _of_default(schema: Schema) -> Schema:
    """What is known of a parameter of a classic method: that it is text, if its default is."""
    return {"type": "string"} if isinstance(schema.get("default"), str) else {}


def _list(texts: Sequence[str], schema: Schema, document: Document) -> Any:
    """The items of a list: a JSON array, or texts between commas, which objects and lists have inside."""
    if len(texts) == 1 and texts[0].lstrip().startswith("["):
        whole = free_value(texts[0])
        if isinstance(whole, list):
            return whole
    items, places = schema.get("items"), schema.get("prefixItems")
    kinds = [kinds_of(each, document) for each in places or [items or {}]]
    has_own_commas = any(each.get("type") in ("object", "array") for kind in kinds for each in kind)
    parts = list(texts) if has_own_commas else [part for text in texts if text for part in text.split(",")]
    return [_value(part, kinds[min(place, len(kinds) - 1)]) for place, part in enumerate(parts)]


def _value(text: str, kinds: Sequence[Schema]) -> Any:
    """One text as a value of one of these types, the first that it fits."""
    if not any(each.get("type") or _words(each) for each in kinds):
        return free_value(text)
    for kind in kinds:
        for word in _words(kind):
            if text == word or (text == str(word) and isinstance(word, int)):
                return word
    for kind in sorted(kinds, key=lambda each: each.get("type") == "string"):
        read = _READERS.get(str(kind.get("type")))
        value = _NOTHING if read is None or _is_ambiguous(text, kind, kinds) else read(text)
        if value is not _NOTHING:
            return value
    return text


def _is_ambiguous(text: str, kind: Schema, kinds: Sequence[Schema]) -> bool:
    """Whether "null" may be meant as text."""
    return kind.get("type") == "null" and any(map(_is_plain_text, kinds))


def _is_plain_text(kind: Schema) -> bool:
    return kind.get("type") == "string" and not ("format" in kind or _words(kind))


def _words(kind: Schema) -> list[Any]:
    enum = kind.get("enum")
    if isinstance(enum, list):
        return enum
    return [kind["const"]] if "const" in kind else []


_NOTHING = object()
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def _boolean(text: str) -> Any:
    return BOOLEANS.get(text.lower(), _NOTHING)


def _integer(text: str) -> Any:
    value = int(text) if _INTEGER.fullmatch(text) else _NOTHING
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else _NOTHING


def _json_of(*types: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = free_value(text)
        return value if isinstance(value, types) and not isinstance(value, bool) else _NOTHING

    return read


_READERS: Mapping[str, Callable[[str], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "number": _json_of(int, float),
    "object": _json_of(dict),
    "array": _json_of(list),
    "null": lambda text: None if text == "null" else _NOTHING,
    "string": lambda text: text,
}
