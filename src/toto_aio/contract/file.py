"""The file with the contract of a service, which is committed: what clients rely on, without its texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from toto_aio.contract.interface import Interface, Operation
from toto_aio.contract.types import Schema

VERSION = 1
TEXTS = frozenset({"description", "title", "examples", "default", "contentMediaType"})
"""What a schema has that no client depends on."""


def write_contract(interface: Interface) -> str:
    """The contract as JSON, in an order of its own: it changes when the contract does."""
    written = {
        "version": VERSION,
        "methods": _written(interface.methods),
        "types": {name: bare(schema) for name, schema in interface.types.items()},
    }
    if interface.channels:
        written["channels"] = _written(interface.channels)
    text = msgspec.json.encode(written, order="sorted")
    return msgspec.json.format(text).decode() + "\n"


def _written(operations: Mapping[str, Operation]) -> dict[str, Any]:
    found = {}
    for method in operations.values():
        kept = Operation(
            "",
            bare(method.parameters),
            bare(method.result),
            files=method.files,
            session=method.session,
            roles=tuple(sorted(method.roles)),
            fresh=method.fresh,
            is_safe=method.is_safe,
            is_raw=method.is_raw,
            is_deprecated=method.is_deprecated,
            is_idempotent=method.is_idempotent,
            rates=method.rates,
        )
        found[method.name] = {key: value for key, value in msgspec.to_builtins(kept).items() if value}
    return found


def read_contract(text: str) -> Interface:
    """The contract in such a file. Raises ``ValueError``."""
    found = msgspec.json.decode(text, type=_File)
    if found.version != VERSION:
        raise ValueError(f"it has version {found.version}, and this toto_aio reads version {VERSION}")
    return Interface(_read(found.methods), found.types, _read(found.channels))


def _read(operations: Mapping[str, Mapping[str, Any]]) -> dict[str, Operation]:
    return {
        name: msgspec.convert({"parameters": {}, "result": True, **each, "name": name}, Operation)
        for name, each in operations.items()
    }


def bare(schema: Any) -> Any:
    """A schema without texts, at any depth."""
    if not isinstance(schema, dict):
        return schema
    found: Schema = {}
    for name, value in schema.items():
        if name in ("properties", "$defs") and isinstance(value, dict):
            found[name] = {each: bare(below) for each, below in value.items()}
        elif name in ("items", "additionalProperties"):
            found[name] = bare(value)
        elif name in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            found[name] = [bare(each) for each in value]
        elif name not in TEXTS:
            found[name] = value
    return found


class _File(msgspec.Struct):
    version: int
    methods: dict[str, dict[str, Any]]
    types: dict[str, dict[str, Any]] = {}
    channels: dict[str, dict[str, Any]] = {}
