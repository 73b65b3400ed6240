"""What a change of a method's policy means for its clients: who may call, how often, and again."""

from __future__ import annotations

from typing import Any

from tests.support.contracts import compared, plain, with_rules
from toto_aio.invocation import (
    authenticated,
    deprecated,
    fresh,
    idempotent,
    optionally_authenticated,
    rate,
    raw_response,
    roles,
    safe,
)

LOGIN = ["breaks: m: it needs a user's session now"]
REPEATABLE = with_rules(idempotent)
TABLE: list[tuple[str, Any, Any, list[str]]] = [
    ("a login", plain, with_rules(authenticated), ["breaks: m: it needs a user's session now"]),
    ("a session that may be left out", plain, with_rules(optionally_authenticated), []),
    ("no login", with_rules(authenticated), plain, ["fine: m: it needs no user's session any more"]),
    (
        "a role",
        with_rules(authenticated),
        with_rules(roles("admin")),
        ["breaks: m: it needs the role admin now"],
    ),
    (
        "another role",
        with_rules(roles("admin", "editor")),
        with_rules(roles("admin", "owner")),
        ["breaks: m: the role editor is not enough any more", "fine: m: the role owner is enough now"],
    ),
    (
        "a new login",
        plain,
        with_rules(fresh(60)),
        [*LOGIN, "breaks: m: it needs a login of the last 60 s now"],
    ),
    (
        "a newer login",
        with_rules(fresh(60)),
        with_rules(fresh(30)),
        ["breaks: m: it needs a login of the last 30 s now"],
    ),
    (
        "an older login",
        with_rules(fresh(30)),
        with_rules(fresh(60)),
        ["fine: m: it needs a login of the last 60 s now"],
    ),
    (
        "any login",
        with_rules(fresh(30)),
        with_rules(authenticated),
        ["fine: m: it needs no new login any more"],
    ),
    ("safe", plain, with_rules(safe), ["fine: m: it may be called by GET and again now"]),
    ("not safe", with_rules(safe), plain, ["breaks: m: it is not safe any more: GET is refused"]),
    ("bytes", with_rules(), with_rules(raw_response), ["breaks: m: it responds with bytes of its own now"]),
    (
        "a repeat is done once",
        plain,
        REPEATABLE,
        ["fine: m: a repeat with the same idempotency key is done once now"],
    ),
    (
        "a repeat is done again",
        REPEATABLE,
        plain,
        ["breaks: m: it is not idempotent any more: a repeat is done again"],
    ),
    (
        "a rate",
        plain,
        with_rules(rate(10, per=60)),
        ["breaks: m: it is limited to 10 calls in 60 s by user now"],
    ),
    (
        "no rate",
        with_rules(rate(10, per=60)),
        plain,
        ["fine: m: it is not limited to 10 calls in 60 s by user any more"],
    ),
    (
        "a stricter rate",
        with_rules(rate(10, per=60)),
        with_rules(rate(10, per=61)),
        ["breaks: m: it is limited to 10 calls in 61 s by user now"],
    ),
    (
        "a rate that is no stricter",
        with_rules(rate(10, per=60)),
        with_rules(rate(10, per=30), rate(240, per="1d", by="address")),
        [
            "breaks: m: it is limited to 240 calls in 86400 s by address now",
            "fine: m: it is limited to 10 calls in 30 s by user now",
        ],
    ),
    (
        "a rate of a day that the rate of a minute keeps",
        with_rules(rate(10, per=60)),
        with_rules(rate(10, per=60), rate(14_400, per="1d")),
        ["fine: m: it is limited to 14400 calls in 86400 s by user now"],
    ),
    (
        "another rate by another count",
        with_rules(rate(10, per=60)),
        with_rules(rate(10, per=60, by="session")),
        [
            "breaks: m: it is limited to 10 calls in 60 s by session now",
            "fine: m: it is not limited to 10 calls in 60 s by user any more",
        ],
    ),
    (
        "the end is announced",
        plain,
        with_rules(deprecated(since="2027-01-31")),
        ["fine: m: it is deprecated now"],
    ),
]


def test_what_each_change_means() -> None:
    """Each change is named once, with what it means."""
    for name, before, after, wanted in TABLE:
        assert compared(before, after) == wanted, name
