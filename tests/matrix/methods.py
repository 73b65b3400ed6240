"""The methods of the matrix, classic and typed, and of every kind of answer."""

# ruff: noqa: D103
from __future__ import annotations

import asyncio
import datetime
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from toto_aio import Handler, TotoException, exceptions
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    authenticated_with_parameter,
    default_parameters,
    deprecated,
    error_redirect,
    fresh,
    jsonp,
    optionally_authenticated,
    rate,
    raw_response,
    requires,
    roles,
    timeout,
)

Parameters = dict[str, Any]


class Part(Struct):
    """A part of a note."""

    a: int
    tags: list[str] = []


class Gone(TotoException):
    """An author's error whose class has a status."""

    status = 410


KINDS: dict[str, Any] = {
    "text": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "moment": datetime.datetime,
    "day": datetime.date,
    "hour": datetime.time,
    "span": datetime.timedelta,
    "exact": decimal.Decimal,
    "id": uuid.UUID,
    "maybe": int | None,
    "texts": list[str],
    "ints": list[int],
    "counts": dict[str, int],
    "part": Part,
    "parts": list[Part],
    "any": Any,
}
"""The types of the methods ``of.text``, ``of.int`` and so on, which return what they are given."""


def returning(kind: Any, *, threaded: bool = False) -> Callable[..., Any]:
    """A typed method that returns its one parameter."""

    async def method(x: Any) -> Any:
        return x

    def plain(x: Any) -> Any:
        return x

    function = plain if threaded else method
    function.__annotations__ = {"x": kind, "return": kind}
    return function


async def echo(handler: Handler, parameters: Parameters) -> Any:
    return parameters


def echo_in_a_thread(handler: Handler, parameters: Parameters) -> Any:
    return parameters


@requires("a", "b")
@default_parameters({"c": "given"})
async def needs(handler: Handler, parameters: Parameters) -> Any:
    return [parameters["c"]]


async def note(
    title: Annotated[str, Meta(max_length=5)],
    limit: Annotated[int, Meta(ge=1)] = 10,
    *,
    done: bool = False,
    parts: list[Part] | None = None,
) -> list[Any]:
    return [title, limit, done, parts]


def note_in_a_thread(title: Annotated[str, Meta(max_length=5)], limit: int = 10) -> list[Any]:
    return [title, limit]


async def nothing(handler: Handler) -> None: ...


ERRORS: dict[str, Callable[[], Exception]] = {
    "author": lambda: TotoException(2001, {"why": ["nö €", 1, None]}),
    "conflict": lambda: TotoException(2002, "nö €", status=409),
    "fine": lambda: TotoException(2003, "fine", status=200),
    "gone": lambda: Gone(2004, "gone"),
    "details": lambda: TotoException(2005, "more", details={"seen": [1]}),
    "no value": lambda: TotoException(2006, None),
    "crash": lambda: ZeroDivisionError("a secret"),
    "unsendable": lambda: TotoException(2007, object()),
    "wrong status": lambda: TotoException(2008, "x", status=99),
    "parameters": lambda: exceptions.InvalidParameters("wrong"),
    "unavailable": lambda: exceptions.Unavailable(),
    "attempts": lambda: exceptions.TooManyAttempts(retry_after=7),
    "timed out": lambda: exceptions.TimedOut(),
    "credentials": lambda: exceptions.InvalidCredentials(),
    "exists": lambda: exceptions.UserIDExists(),
    "user id": lambda: exceptions.InvalidUserID(),
    "session id": lambda: exceptions.InvalidSessionID(),
    "hmac": lambda: exceptions.InvalidHMAC(),
    "authorized": lambda: exceptions.NotAuthorized(),
    "method": lambda: exceptions.MethodNotFound.named("x"),
}
"""What ``fail`` raises."""


async def fail(kind: str) -> None:
    raise ERRORS[kind]()


def fail_in_a_thread(kind: str) -> None:
    raise ERRORS[kind]()


ODD: dict[str, Callable[[], Any]] = {
    "object": object,
    "text that is no UTF-8": lambda: "\ud800",
    "keys without a text": lambda: {None: 1},
    "beyond 64 bits": lambda: 2**70,
    "infinite": lambda: math.inf,
}
"""What ``odd`` returns."""


async def odd(kind: str) -> Any:
    return ODD[kind]()


@authenticated
async def private(handler: Handler, x: int) -> list[Any]:
    assert handler.session is not None
    return [handler.session.user_id, x]


@authenticated
async def private_classic(handler: Handler, parameters: Parameters) -> Any:
    assert handler.session is not None
    return handler.session.user_id


@authenticated
def private_in_a_thread(handler: Handler) -> str:
    assert handler.session is not None
    return handler.session.user_id


@roles("editor", "owner")
async def edit(handler: Handler, x: int) -> list[Any]:
    assert handler.session is not None
    return [handler.session.user_id, x]


@roles("editor")
async def edit_classic(handler: Handler, parameters: Parameters) -> Any:
    assert handler.session is not None
    return handler.session.user_id


@roles("editor")
def edit_in_a_thread(handler: Handler) -> str:
    assert handler.session is not None
    return handler.session.user_id


@deprecated(since="2026-01-01", sunset="2027-01-01")
async def old(x: int) -> int:
    return x


@optionally_authenticated
async def maybe(handler: Handler) -> Any:
    return None if handler.session is None else handler.session.user_id


@anonymous_session
async def visit(handler: Handler) -> str:
    assert handler.session is not None
    return handler.session.user_id


@authenticated_with_parameter
async def shown(handler: Handler, x: int) -> list[Any]:
    assert handler.session is not None
    return [handler.session.user_id, x]


@authenticated_with_parameter
async def shown_classic(handler: Handler, parameters: Parameters) -> Any:
    assert handler.session is not None
    return handler.session.user_id


@jsonp("back")
async def script_classic(handler: Handler, parameters: Parameters) -> Any:
    return 5


@timeout(0.01)
async def slow(handler: Handler) -> None:
    await asyncio.Event().wait()


@asynchronous
async def later(handler: Handler, x: int) -> None:
    handler.respond(x)


@asynchronous
async def later_fails(handler: Handler) -> None:
    handler.respond(error=TotoException(2001, "late"))


@raw_response
async def raw(handler: Handler, x: str) -> str:
    handler.response_type = "text/plain"
    return x


async def written(handler: Handler, x: str) -> None:
    handler.respond_raw(x, "text/plain")


async def streamed(handler: Handler, x: str) -> None:
    for each in x:
        handler.respond_raw(each, "text/plain", finish=False)


async def redirected(handler: Handler, x: str) -> None:
    handler.redirect(f"/{x}")


@jsonp("back")
async def script(x: int) -> int:
    return x


@error_redirect({1003: "/wrong", 2001: "/late"})
async def sent_away(x: int) -> int:
    raise TotoException(2001, "x")


async def forbidden(handler: Handler) -> None:
    raise web.HTTPForbidden(text="no")


@fresh(300)
async def recent(handler: Handler, parameters: Parameters) -> str:
    return "recent"


@rate(1, per="1d", by="address")
async def seldom(handler: Handler, parameters: Parameters) -> str:
    return "once"


METHODS: dict[str, Any] = {
    **{f"of.{name}": returning(kind) for name, kind in KINDS.items()},
    **{f"thread.{name}": returning(KINDS[name], threaded=True) for name in ("text", "int", "part")},
    **{
        each.__name__: each
        for each in (
            *(echo, echo_in_a_thread, needs, note, note_in_a_thread, nothing, fail, fail_in_a_thread),
            *(
                odd,
                private,
                private_classic,
                private_in_a_thread,
                edit,
                edit_classic,
                edit_in_a_thread,
                old,
                maybe,
                visit,
                shown,
                shown_classic,
                script_classic,
                slow,
                later,
            ),
            *(later_fails, raw, written, streamed, redirected, script, sent_away, forbidden, recent, seldom),
        )
    },
}
