"""Rates, as an author or an operator writes them."""

from __future__ import annotations

from typing import Any

import pytest

from toto_aio.auth.rates import Rate, make_rate, read_rates


@pytest.mark.parametrize(
    ("texts", "rates"),
    [
        ([], ()),
        (["100/60"], (Rate(100, 60.0, "user", True),)),
        (["9 / 1d", "10/1m/address"], (Rate(10, 60.0, "address", True), Rate(9, 86400.0, "user", True))),
        (["5/1.5m/session"], (Rate(5, 90.0, "session", True),)),
    ],
)
def test_the_option(texts: list[str], rates: tuple[Rate, ...]) -> None:
    """Calls, a time and perhaps whose calls are counted; the shortest first."""
    assert read_rates(texts) == rates


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("100", "write 100/60 "),
        ("", "write 100/60 "),
        ("a/60", "write 100/60 "),
        ("-1/60", "write 100/60 "),
        ("\u0661/60", "write 100/60 "),
        ("1/2/user/3", "write 100/60 "),
        ("0/60", "from 1 to 1000000000, not"),
        ("9999999999/60", "from 1 to 1000000000"),
        ("1/0", "per: write 1 to "),
        ("1/soon", "per: write 1 to "),
        ("1/99999d", "per: write 1 to "),
        ("1/60/team", "by: write one of user, address, session, not 'team'"),
    ],
)
def test_a_wrong_option(text: str, says: str) -> None:
    """The error says what to write."""
    with pytest.raises(ValueError, match=r"^rate: ") as error:
        read_rates([text])
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("times", "per", "by"),
    [
        *((times, 60, "user") for times in (0, -1, True, 1.5, "10", None, 10**10)),
        *((1, per, "user") for per in (0, 0.5, -1, True, None, "60 s x", float("nan"), float("inf"))),
        *((1, 60, by) for by in (None, "", "ip", ["user"])),
    ],
)
def test_a_wrong_rate(times: Any, per: Any, by: Any) -> None:
    """So does that of an author's."""
    with pytest.raises(ValueError, match=r"^rate: .*write "):
        make_rate(times, per, by)


def test_two_that_say_the_same() -> None:
    """Of two rates for the same time and the same callers, one would never matter."""
    with pytest.raises(ValueError, match=r"10 calls to all methods in 60 s by user.*write one of them"):
        read_rates(["10/60", "20/1m"])
    assert len(read_rates(["10/60", "20/60/address", "10/61"])) == 3
