"""What the calls of the matrix give, written once for all transports."""

from __future__ import annotations

import datetime
import decimal
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.matrix.methods import KINDS, Part

INTERNAL = re.compile("Internal error [0-9a-f]{16}")
OLD = "Log in again: the login must not be older than 300 seconds."
MODES = ("toto", "http")
ANY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Result:
    """A result, which a client reads as a ``kind``."""

    value: Any
    kind: Any = Any


@dataclass(frozen=True)
class Error:
    """An error; ``statuses`` are those by ``MODES`` where a call has a response of its own."""

    code: int
    value: Any
    statuses: tuple[int, int]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Own:
    """Bytes of the method's own, or where it sends the client."""

    body: bytes
    content_type: str
    status: int = 200
    location: str = ""


@dataclass(frozen=True)
class Away:
    """A redirection after an error, which stays one where a call has no response of its own."""

    own: Own
    error: Error


@dataclass(frozen=True)
class Seen:
    """What a classic method is given, which forms and GET change as in Toto."""


Expected = Result | Error | Own | Away | Seen


@dataclass(frozen=True)
class Case:
    """One call, by someone with ``session``: none (""), or the "user", "visitor", "ended" or "stale" one.

    "editor" is that of a user with this role.
    """

    method: str
    parameters: Mapping[str, Any]
    expected: Expected
    session: str = ""
    needs: frozenset[str] = ANY
    """What a transport must not lack.

    ``names`` of a classic method's parameters, ``types``, a ``wire``, the ``verb`` POST, ``pages`` of errors.
    """
    by_form: Mapping[str, Expected] = field(default_factory=dict)
    """What is expected instead in some codecs, which can write less, or more."""

    def __str__(self) -> str:
        return f"{self.method} {dict(self.parameters)!r} by {self.session or 'anyone'}"


def refused(value: str, *problems: dict[str, str]) -> Error:
    """The error of wrong parameters."""
    return Error(1003, value, (200, 400), {"problems": list(problems)} if problems else {})


PART = {"a": 5, "tags": ["é", ""]}
PARTS = [PART, {"a": -(2**63)}]
MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, datetime.UTC)
VALUES: dict[str, list[Any]] = {
    "text": ["", "plain", "é€𝄞\u2028\x00\n", "<&?=+%20;/#>", "x" * 200],
    "int": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "float": [0.1, -1.5, 1.7976931348623157e308, 5e-324],
    "bool": [True, False],
    "bytes": [b"hi", bytes(range(256))],
    "moment": [MOMENT],
    "day": [datetime.date(2026, 1, 2)],
    "hour": [datetime.time(3, 4, 5)],
    "span": [datetime.timedelta(hours=1, seconds=1)],
    "exact": [decimal.Decimal("1.10"), decimal.Decimal("-1E+20")],
    "id": [uuid.UUID(int=2**100)],
    "maybe": [None, 5],
    "texts": [["a,b", "é"], ["one"], []],
    "ints": [[1, 2], [2**63 - 1]],
    "counts": [{"é": 1, "a.b": 2}, {}],
    "part": [PART],
    "parts": [PARTS, []],
}
ANYTHING_AT_ALL: list[Any] = [None, "", [], {}, [1, ["é", {"a": None}]], 2**63 - 1, 0.5, False]
NAMES, TYPES, WIRE, VERB, PAGES = (frozenset({name}) for name in ("names", "types", "wire", "verb", "pages"))
ANYTHING = {"text": "é€", "n": 2**63 - 1, "f": 0.1, "none": None, "list": [1, [2]], "object": {"": {}}}
MISSING = {"path": "title", "kind": "missing", "expected": "str"}
UNKNOWN = {"path": "titel", "kind": "unknown", "nearest": "title"}
TOO_LONG = {"path": "title", "kind": "value", "expected": "text of at most 5 characters"}
TOO_SMALL = {"path": "limit", "kind": "value", "expected": "a whole number of at least 1"}
NO_X = {"path": "x", "kind": "type", "expected": "int", "got": "str"}
NO_INTEGER = {"path": "limit", "kind": "type", "expected": "int", "got": "str"}
BELOW = {"path": "parts[1].a", "kind": "type", "expected": "int", "got": "str"}
NOT_AUTHORIZED = Error(1004, "Not authorized", (200, 401))
FORBIDDEN = Error(1004, "Not authorized", (200, 403))
CRASH = Error(1000, INTERNAL, (200, 500))
RAISED: dict[str, Error] = {
    "author": Error(2001, {"why": ["nö €", 1, None]}, (200, 400)),
    "conflict": Error(2002, "nö €", (409, 409)),
    "fine": Error(2003, "fine", (200, 200)),
    "gone": Error(2004, "gone", (410, 410)),
    "details": Error(2005, "more", (200, 400), {"seen": [1]}),
    "no value": Error(2006, None, (200, 400)),
    "crash": CRASH,
    "unsendable": CRASH,
    "wrong status": CRASH,
    "parameters": refused("wrong"),
    "unavailable": Error(1011, "Service unavailable", (503, 503)),
    "attempts": Error(1012, "Too many attempts", (429, 429)),
    "timed out": Error(1013, "Timed out", (504, 504)),
    "credentials": Error(1005, "Invalid user ID or password", (200, 401)),
    "exists": Error(1006, "User ID already in use.", (200, 409)),
    "user id": Error(1010, "Invalid user ID.", (200, 400)),
    "session id": Error(1007, "Invalid session ID.", (200, 401)),
    "hmac": Error(1008, "Invalid HMAC", (200, 401)),
    "authorized": NOT_AUTHORIZED,
    "method": Error(1001, "Cannot call 'x'.", (200, 404)),
}
OF_WIRE = {"unsendable": WIRE, "wrong status": WIRE}
ODD: dict[str, Mapping[str, Expected]] = {
    "object": {},
    "text that is no UTF-8": {},
    "keys without a text": {},
    "beyond 64 bits": {"json": Result(2**70)},
    "infinite": {"json": Result(None), "msgpack": Result(math.inf), "bson": Result(math.inf)},
}
"""What not every codec can send."""

CASES: list[Case] = [
    *(
        Case(f"of.{name}", {"x": value}, Result(value, KINDS[name]))
        for name, values in VALUES.items()
        for value in values
    ),
    *(
        Case(f"thread.{name}", {"x": VALUES[name][-1]}, Result(VALUES[name][-1], KINDS[name]))
        for name in ("text", "int", "part")
    ),
    *(Case("of.any", {"x": value}, Result(value), needs=TYPES) for value in ANYTHING_AT_ALL),
    *(Case(name, ANYTHING, Seen()) for name in ("echo", "echo_in_a_thread")),
    *(Case(name, {}, Seen()) for name in ("echo", "echo_in_a_thread")),
    Case("echo", {"x": "é", "_y": ["1", "2"], "z": ""}, Seen()),
    Case("nothing", {}, Result(None)),
    Case("note", {"title": "é"}, Result(["é", 10, False, None])),
    Case("note", {"title": "", "limit": 1, "done": True}, Result(["", 1, True, None])),
    Case(
        "note",
        {"title": "x", "parts": PARTS},
        Result(["x", 10, False, [Part(5, ["é", ""]), Part(-(2**63))]], tuple[str, int, bool, list[Part]]),
    ),
    Case("note", {}, refused("title is missing", MISSING)),
    Case(
        "note",
        {"titel": "s3cret", "limit": 0},
        refused(
            "title is missing; limit: expected a whole number of at least 1; "
            "titel is unknown, did you mean title?",
            MISSING,
            TOO_SMALL,
            UNKNOWN,
        ),
    ),
    Case(
        "note",
        {"title": "s3cret", "limit": "s3cret"},
        refused(
            "title: expected text of at most 5 characters; limit: expected int, got str", TOO_LONG, NO_INTEGER
        ),
    ),
    Case(
        "note",
        {"title": "x", "parts": [{"a": 1}, {"a": "s3cret"}]},
        refused("parts[1].a: expected int, got str", BELOW),
    ),
    Case("note_in_a_thread", {"title": "x"}, Result(["x", 10])),
    Case(
        "note_in_a_thread",
        {"title": "s3cret", "limit": "s3cret"},
        refused(
            "title: expected text of at most 5 characters; limit: expected int, got str", TOO_LONG, NO_INTEGER
        ),
    ),
    Case("needs", {}, refused("Missing parameters: a, b")),
    Case("needs", {"b": "1"}, refused("Missing parameters: a"), needs=NAMES),
    Case("needs", {"a": "1", "b": ""}, Result(["given"]), needs=NAMES),
    Case("unknown", {}, Error(1001, "Cannot call 'unknown'.", (200, 404))),
    Case("Note", {"title": "x"}, Error(1001, "Cannot call 'Note'.", (200, 404))),
    Case("of", {}, Error(1001, "Cannot call 'of'.", (200, 404))),
    *(Case("fail", {"kind": kind}, error, needs=OF_WIRE.get(kind, ANY)) for kind, error in RAISED.items()),
    *(Case("fail_in_a_thread", {"kind": kind}, RAISED[kind]) for kind in ("author", "crash", "conflict")),
    *(Case("odd", {"kind": kind}, CRASH, needs=WIRE, by_form=others) for kind, others in ODD.items()),
    Case("private", {"x": 5}, NOT_AUTHORIZED),
    Case("private", {"y": "s3cret"}, NOT_AUTHORIZED),
    Case("private", {"x": 5}, NOT_AUTHORIZED, "visitor"),
    Case("private", {"x": 5}, NOT_AUTHORIZED, "ended"),
    Case("private", {"x": 5}, Result(["ada", 5]), "user"),
    Case(
        "private",
        {"x": "s3cret"},
        refused("x: expected int, got str", NO_X),
        "user",
    ),
    *(
        Case(name, {}, expected, session)
        for name in ("private_classic", "private_in_a_thread")
        for session, expected in (
            *(("", NOT_AUTHORIZED), ("visitor", NOT_AUTHORIZED)),
            *(("ended", NOT_AUTHORIZED), ("user", Result("ada"))),
        )
    ),
    *(
        Case("edit", {"x": 5}, expected, session)
        for session, expected in (
            *(("", NOT_AUTHORIZED), ("visitor", NOT_AUTHORIZED), ("ended", NOT_AUTHORIZED)),
            *(("user", FORBIDDEN), ("editor", Result(["eve", 5]))),
        )
    ),
    Case("edit", {"x": "s3cret"}, FORBIDDEN, "user"),
    Case("edit", {"x": "s3cret"}, refused("x: expected int, got str", NO_X), "editor"),
    *(
        Case(name, {}, expected, session)
        for name in ("edit_classic", "edit_in_a_thread")
        for session, expected in (("", NOT_AUTHORIZED), ("user", FORBIDDEN), ("editor", Result("eve")))
    ),
    Case("old", {"x": 5}, Result(5)),
    Case("old", {"x": "s3cret"}, refused("x: expected int, got str", NO_X)),
    *(
        Case("maybe", {}, Result(user), session)
        for session, user in (("", None), ("visitor", ""), ("ended", None), ("user", "ada"))
    ),
    *(
        Case("visit", {}, Result(user), session)
        for session, user in (("", ""), ("visitor", ""), ("ended", ""), ("user", "ada"))
    ),
    Case("shown", {"x": 5}, NOT_AUTHORIZED),
    Case("shown", {"x": 5}, NOT_AUTHORIZED, "user"),
    Case("shown", {"x": 5, "session_id": "user"}, Result(["ada", 5])),
    Case("shown", {"x": 5, "session_id": "visitor"}, NOT_AUTHORIZED),
    Case("shown", {"x": 5, "session_id": "ended"}, NOT_AUTHORIZED, "user"),
    Case("shown_classic", {}, NOT_AUTHORIZED, "user"),
    Case("shown_classic", {"session_id": "user"}, Result("ada")),
    Case("slow", {}, Error(1013, "Timed out", (504, 504))),
    Case("later", {"x": 5}, Result(5)),
    Case("later_fails", {}, Error(2001, "late", (200, 400))),
    Case("script", {"x": 5}, Result(5)),
    Case("raw", {"x": "é"}, Own("é".encode(), "text/plain")),
    Case("written", {"x": "é"}, Own("é".encode(), "text/plain")),
    Case("streamed", {"x": "abc"}, Own(b"abc", "text/plain")),
    Case("redirected", {"x": "there"}, Own(b"", "", 302, "/there")),
    Case("script", {"x": 5, "back": "f"}, Own(b"/**/f(5)", "application/javascript")),
    Case("script_classic", {"back": "f"}, Own(b"/**/f(5)", "application/javascript")),
    Case("script_classic", {"back": "1"}, refused("The callback must be the name of a function.")),
    Case("sent_away", {"x": 5}, Away(Own(b"", "", 302, "/late"), Error(2001, "x", (200, 400)))),
    Case("recent", {}, Result("recent"), session="user"),
    Case("recent", {}, NOT_AUTHORIZED),
    Case("recent", {}, Error(1004, OLD, (200, 401), {"max_age": 300}), session="stale"),
    Case("forbidden", {}, Own(b"no", "text/plain", 403), needs=WIRE | PAGES),
]
"""Every call. ``shown`` has the name of a session for its id, which the test puts there."""

WRONG_LOGIN = {"user_id": "mallory", "password": "battery staple"}
TOO_MANY = Case("account.login", WRONG_LOGIN, Error(1012, "Too many attempts", (429, 429)), needs=VERB)
"""A login after too many with a wrong password, whichever way those came."""
TOO_OFTEN = Case("seldom", {}, Error(1012, "Too many calls: at most 1 call in 86400 seconds.", (429, 429)))
"""A call after one from the same address, whichever way that came."""
DEEP: Any = []
for _ in range(70):
    DEEP = [DEEP]
TOO_DEEP = Case(
    "of.any", {"x": DEEP}, Error(1003, "Nested deeper than 64 levels.", (400, 400)), needs=TYPES | WIRE
)
"""What is refused before it is a call: a batch as a whole, a frame without an id."""
