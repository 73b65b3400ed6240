"""Results that are compared with the return annotations of methods."""

# ruff: noqa: D103, E501
from __future__ import annotations

import datetime
import decimal
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest
from msgspec import Struct

from toto_aio import testing
from toto_aio.dispatch.results import ResultError
from toto_aio.exceptions import InternalError
from toto_aio.invocation import asynchronous, raw_response


class Note(Struct, rename="camel"):
    """A result."""

    title: str
    due_date: datetime.date | None = None


@dataclass
class Owner:
    """Part of a result."""

    name: str
    balance: decimal.Decimal


class Model(pydantic.BaseModel):
    """A result with another name on the wire."""

    title: str = pydantic.Field(alias="Title")


class Row:
    """A row, as drivers have them."""

    def keys(self) -> list[str]:
        return ["title"]

    def __getitem__(self, name: str) -> Any:
        return "x"


NOTE = Note("x", datetime.date(2026, 1, 2))


def note() -> Note:
    return NOTE


def notes() -> list[Note]:
    return [NOTE, {"title": "y"}]  # type: ignore[list-item]


def owner() -> Owner:
    return Owner("x", decimal.Decimal("1.10"))


def model() -> Model:
    return Model(Title="x")


def row() -> dict[str, str]:
    return Row()  # type: ignore[return-value]


def row_as_note() -> Note:
    return Row()  # type: ignore[return-value]


def own_row() -> Row:
    return Row()


def none() -> None:
    return None


def maybe() -> int | None:
    return None


def iterator() -> Iterator[int]:
    return iter([1, 2])


def iterator_as_list() -> list[int]:
    return iter([1, 2])  # type: ignore[return-value]


def anything() -> Any:
    return object


def no_annotation():  # type: ignore[no-untyped-def]
    return 5


@raw_response
def raw() -> bytes:
    return b"x"


@asynchronous
def later(handler: Any) -> int:
    handler.respond(5)
    return None  # type: ignore[return-value]


RIGHT = (
    note,
    notes,
    owner,
    model,
    row,
    row_as_note,
    own_row,
    none,
    maybe,
    iterator,
    iterator_as_list,
    raw,
    later,
)


def wrong_field() -> list[Note]:
    return [NOTE, {"title": 5}]  # type: ignore[list-item]


def missing_field() -> Note:
    return {"due_date": None}  # type: ignore[return-value]


def wrong_name() -> Owner:
    return {"name": "x", "balance": 1.5}  # type: ignore[return-value]


def null() -> Note:
    return None  # type: ignore[return-value]


def something() -> None:
    return 5  # type: ignore[return-value]


def wrong_model() -> Model:
    return {"Title": 5}  # type: ignore[return-value]


def not_finite() -> float:
    return float("nan")


def classic(handler, parameters) -> int:  # type: ignore[no-untyped-def]
    return "text"  # type: ignore[return-value]


@asynchronous
def later_wrong(handler: Any) -> int:
    handler.respond("text")
    return None  # type: ignore[return-value]


WRONG: dict[Callable[..., Any], str] = {
    wrong_field: "result[1].title: expected str, got int",
    missing_field: "result.title is missing",
    wrong_name: "result.balance: expected decimal, got float",
    null: "result: expected object, got null",
    something: "result: expected null, got int",
    wrong_model: "result.Title: expected str, got int",
    not_finite: "result: expected float, got null",
    later_wrong: "result: expected int, got str",
}


async def test_results_in_process() -> None:
    """A result that is what its annotation says is given as it is; another is an error that names the path."""
    async with testing.calling() as call:
        function: Callable[..., Any]
        for function in RIGHT:
            result = await call(function)
            if function is note:
                assert result is NOTE
            if function in (iterator, iterator_as_list):
                assert list(result) == [1, 2]
        for wrong, text in WRONG.items():
            with pytest.raises(ResultError) as error:
                await call(wrong)
            assert str(error.value).endswith(f": {text}"), wrong.__name__
        assert await call(classic) == "text"
        assert await call(no_annotation) == 5


async def test_results_of_a_service(caplog: pytest.LogCaptureFixture) -> None:
    """Tests compare them, and so does ``debug``, which shows the text; other services send what there is."""
    caplog.set_level(logging.ERROR)
    methods: dict[str, Callable[..., Any]] = {"wrong": wrong_field, "right": notes}
    async with testing.serving(methods) as client:
        assert await client.call("right") == [{"title": "x", "dueDate": "2026-01-02"}, {"title": "y"}]
        with pytest.raises(InternalError):
            await client.call("wrong")
    assert "ResultError: wrong: result[1].title: expected str, got int" in caplog.text
    async with testing.serving(methods, check_results=False, debug=True) as client:
        with pytest.raises(InternalError, match=r"result.1..title: expected str, got int"):
            await client.call("wrong")
        answers = await client.batch({"a": {"method": "wrong"}, "b": {"method": "right"}})
        assert isinstance(answers["a"], InternalError)
    async with testing.serving(methods, check_results=False) as client:
        assert await client.call("wrong") == [{"title": "x", "dueDate": "2026-01-02"}, {"title": 5}]


async def test_a_generator_of_results() -> None:
    """A method that says how Python has its result, and not what is sent, is not compared."""

    async def stream() -> AsyncIterator[int]:
        return [1]  # type: ignore[return-value]

    async with testing.calling() as call:
        assert await call(stream) == [1]
