"""How a typed method gets its values: as they are if they are of its types, else as msgspec makes them."""

from __future__ import annotations

import gc
import weakref
from typing import Annotated, Any

import pytest
from msgspec import Meta

from tests.support.service import eventually
from toto_aio import testing
from toto_aio.dispatch import calling
from toto_aio.exceptions import InvalidParameters

Least = Annotated[int, Meta(ge=1)]


async def plain(
    title: str,
    limit: Annotated[int, Meta(description="How many.")] = 10,
    *,
    price: float = 1,
    class_: str | None = None,
    more: Any = None,
) -> list[Any]:
    """Only types without constraints."""
    return [title, limit, price, class_, more]


async def limited(
    title: str, limit: Least = 10, *, price: float = 1, class_: str | None = None, more: Any = None
) -> list[Any]:
    """The same, but msgspec has something to check."""
    return [title, limit, price, class_, more]


async def nothing() -> str:
    """No parameters."""
    return "nothing"


def fails(handler: Any, key: str) -> None:
    """Fail as a look-up of parameters does."""
    raise KeyError(key)


METHODS = {"plain": plain, "limited": limited, "nothing": nothing, "fails": fails}
GOOD: list[tuple[dict[str, Any], list[Any]]] = [
    ({"title": "x"}, ["x", 10, 1, None, None]),
    ({"title": "x", "limit": 5, "price": 1.5, "class": "c", "more": [1]}, ["x", 5, 1.5, "c", [1]]),
    ({"more": {"a": None}, "class": None, "title": ""}, ["", 10, 1, None, {"a": None}]),
    ({"title": "x", "price": 2}, ["x", 10, 2.0, None, None]),
    ({"title": "x", "limit": 5.0}, ["x", 5, 1, None, None]),
    ({"title": "x", "limit": 2**62}, ["x", 2**62, 1, None, None]),
]
BAD: list[tuple[dict[str, Any], set[tuple[str, str]]]] = [
    ({}, {("title", "missing")}),
    ({"titel": "x"}, {("title", "missing"), ("titel", "unknown")}),
    ({"title": "x", "class_": "c"}, {("class_", "unknown")}),
    ({"title": None}, {("title", "type")}),
    ({"title": "x", "limit": True, "price": "1"}, {("limit", "type"), ("price", "type")}),
    (
        {"title": "x", "limit": 1.5, "price": True, "class": 1},
        {("limit", "type"), ("price", "type"), ("class", "type")},
    ),
]


async def test_values_that_are_of_the_types_and_others() -> None:
    """A method gets the same values, and a wrong call the same problems, whoever looks at the types."""
    async with testing.serving(METHODS) as client:
        for name in ("plain", "limited"):
            for sent, expected in GOOD:
                got = await client.call(name, sent)
                assert (got, list(map(type, got))) == (expected, list(map(type, expected))), (name, sent)
            for sent, problems in BAD:
                with pytest.raises(InvalidParameters) as error:
                    await client.call(name, sent)
                assert {(each["path"], each["kind"]) for each in error.value.problems} == problems, (
                    name,
                    sent,
                )
        assert await client.call("nothing", {}) == "nothing"
        with pytest.raises(InvalidParameters, match="x is unknown"):
            await client.call("nothing", {"x": 1})


async def test_plain_values_need_no_msgspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose values are of the plain types of its method, or left out, doesn't pay for a conversion."""

    def convert(value: Any, kind: Any) -> Any:
        raise AssertionError(f"{value} was converted to {kind}")

    monkeypatch.setattr(calling, "convert", convert)
    async with testing.serving(METHODS) as client:
        for sent, expected in GOOD[:3]:
            assert await client.call("plain", sent) == expected


async def test_an_error_in_a_refused_call_has_no_values(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the error of a refused call nor what it was raised in has a value that was sent."""
    async with testing.serving(METHODS) as client:
        with pytest.raises(InvalidParameters):
            await client.call("limited", {"title": "x", "limit": "5417"})
    assert "5417" not in caplog.text


async def test_an_error_of_the_method_is_its_own() -> None:
    """A KeyError that a method raises is not taken for a parameter that is missing."""
    async with testing.serving(METHODS) as client:
        with pytest.raises(Exception, match="Internal error"):
            await client.call("fails", {"key": "x"})


async def test_an_error_that_a_method_keeps_in_a_parameter() -> None:
    """It is collected, though it has the frame that has called the method, and so the parameter."""
    kept: list[weakref.ref[BaseException]] = []

    class Mistake(Exception):
        """Something that can be told from other errors."""

    def keeps(handler: Any, items: list[Any]) -> None:
        try:
            raise Mistake
        except Mistake as exc:
            kept.append(weakref.ref(exc))
            items.append(exc)

    async with testing.serving({"keeps": keeps}) as client:
        await client.call("keeps", {"items": []})

    def is_gone() -> bool:
        gc.collect()  # which the thread of the method may have been too late for
        return [each() for each in kept] == [None]

    await eventually(is_gone)
