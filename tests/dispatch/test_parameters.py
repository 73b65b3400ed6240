"""Typed methods: which parameters a call has, and what is wrong with them."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from toto_aio import testing
from toto_aio.exceptions import InvalidParameters


class Inner(Struct):
    """A part of a note."""

    a: int


async def add(
    title: str,
    tags: list[str] = [],  # noqa: B006
    limit: Annotated[int, Meta(ge=1)] = 10,
    inner: list[Inner] = [],  # noqa: B006
) -> list[Any]:
    """Show what arrives."""
    return [title, tags, limit, inner]


async def test_a_typed_method() -> None:
    """Its parameters come by name; every problem is named at once, for people and for programs."""
    async with testing.serving({"add": add}) as client:
        assert await client.call("add", {"title": "x"}) == ["x", [], 10, []]
        with pytest.raises(InvalidParameters) as error:
            await client.call("add", {"titel": "x", "inner": [{"a": 1}, {"a": "x"}], "limit": 0})
    assert error.value.value == (
        "title is missing; limit: expected a whole number of at least 1; inner[1].a: expected int, got str; "
        "titel is unknown, did you mean title?"
    )
    assert error.value.problems == [
        {"path": "title", "kind": "missing", "expected": "str"},
        {"path": "limit", "kind": "value", "expected": "a whole number of at least 1"},
        {"path": "inner[1].a", "kind": "type", "expected": "int", "got": "str"},
        {"path": "titel", "kind": "unknown", "nearest": "title"},
    ]
