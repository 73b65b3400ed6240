"""Numbers of typed methods: JSON has one kind of them, and 5.0 is the integer 5, as JSON Schema has it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypedDict

import bson
import msgpack
import pytest

from tests.support.service import Serve
from toto_aio import testing
from toto_aio.exceptions import InvalidParameters


class Shape(TypedDict):
    """Something with required fields."""

    sides: list[int]
    name: str


async def give(
    count: int,
    ratio: float = 0.5,
    shape: Shape | None = None,
    anything: Any = None,
    price: Decimal = Decimal(1),
) -> list[Any]:
    """Show what arrives."""
    return [count, ratio, shape, anything, price]


async def test_an_integer_with_a_point(serve: Serve) -> None:
    """It is taken where an integer is wanted, at any depth and in each encoding; other floats are not."""
    service = await serve({"give": give})
    shape = {"sides": [3.0, 4], "name": "x"}
    for content_type, encode in (
        ("application/json", None),
        ("application/msgpack", msgpack.packb),
        ("application/bson", bson.encode),
    ):
        sent: dict[str, Any] = {"count": 5.0, "ratio": 2.0, "shape": shape}
        given = {"json": sent} if encode is None else {"data": encode(sent)}
        headers = {"Content-Type": content_type, "Accept": content_type}
        response = await service.post("/give", headers=headers, **given)
        assert response.status == 200
        body = await response.read()
        for part in (b"error",):
            assert part not in body, (content_type, body)
    result = await service.result("give", {"count": 5.0, "shape": shape})
    assert result == [5, 0.5, {"sides": [3, 4], "name": "x"}, None, "1"]
    assert type(result[0]) is int
    async with testing.serving({"give": give}) as client:
        for wrong in (5.5, 1e300, "5", -(2.0**70)):
            with pytest.raises(InvalidParameters) as error:
                await client.call("give", {"count": wrong})
            assert error.value.problems[0]["path"] == "count"


async def test_a_typed_dict_that_lacks_a_field(serve: Serve) -> None:
    """Its problem is named, and not an internal error."""
    service = await serve({"give": give})
    answer = await service.call("give", {"count": 1, "shape": {"sides": []}})
    assert answer["error"]["code"] == 1003
    assert answer["error"]["problems"][0]["path"] == "shape.name"
