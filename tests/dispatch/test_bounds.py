"""Bounds in words."""

from __future__ import annotations

from typing import Any

import pytest

from toto_aio.dispatch.bounds import amount, between


@pytest.mark.parametrize(
    ("least", "most", "shown"),
    [
        (None, None, ""),
        (0, None, ""),
        (1, None, "at least 1 item"),
        (2, None, "at least 2 items"),
        (None, 0, "at most 0 items"),
        (0, 1, "at most 1 item"),
        (None, 5, "at most 5 items"),
        (1, 200, "1 to 200 items"),
        (1, 1, "1 item"),
        (3, 3, "3 items"),
    ],
)
def test_amounts(least: int | None, most: int | None, shown: str) -> None:
    """They are ranges with one unit, in the singular for one, and nothing if any number will do."""
    assert amount(least, most, "item") == shown


@pytest.mark.parametrize(
    ("bounds", "shown"),
    [
        ((None, None), ""),
        ((1, 100), "from 1 to 100"),
        ((0, None), "at least 0"),
        ((None, 0.5), "at most 0.5"),
        ((7, 7), "exactly 7"),
        ((None, None, 0, None), "more than 0"),
        ((None, None, 0, 1), "more than 0 and less than 1"),
        ((0, None, None, 1), "at least 0 and less than 1"),
        ((None, 1, 0, None), "at most 1 and more than 0"),
    ],
)
def test_numbers(bounds: tuple[Any, ...], shown: str) -> None:
    """A range is one phrase; a bound that is no value of the range says so."""
    assert between(*bounds) == shown
