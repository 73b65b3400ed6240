"""The decorators: what each declares for a method, in any order."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import permutations
from typing import Any

import pytest

from tests.support.packages import Package
from toto_aio.auth.rates import Rate
from toto_aio.channels import Channel
from toto_aio.deprecation import Deprecation
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    authenticated_with_parameter,
    cancellable,
    channel,
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
    safe,
    timeout,
)
from toto_aio.method_rules import Guard, Rules, rules_of
from toto_aio.registry import find_methods

Decorator = Callable[[Any], Any]

DECORATORS: dict[str, tuple[Decorator, Rules]] = {
    "authenticated": (authenticated, Rules(guard=Guard.AUTHENTICATED)),
    "anonymous_session": (anonymous_session, Rules(guard=Guard.ANONYMOUS)),
    "optionally_authenticated": (optionally_authenticated, Rules(guard=Guard.OPTIONAL)),
    "authenticated_with_parameter": (authenticated_with_parameter, Rules(guard=Guard.PARAMETER)),
    "roles": (roles("editor", "admin"), Rules(guard=Guard.AUTHENTICATED, roles=("admin", "editor"))),
    "fresh": (fresh(300), Rules(guard=Guard.AUTHENTICATED, fresh=300.0)),
    "rate": (rate(10, per=60), Rules(guard=Guard.OPTIONAL, rates=(Rate(10, 60.0, "user"),))),
    "rate by address": (rate(9, "1d", "address"), Rules(rates=(Rate(9, 86400.0, "address"),))),
    "requires": (requires("a", "b"), Rules(required=("a", "b"))),
    "default_parameters": (default_parameters({"c": [1]}), Rules(defaults={"c": [1]})),
    "asynchronous": (asynchronous, Rules(asynchronous=True)),
    "raw_response": (raw_response, Rules(raw=True)),
    "jsonp": (jsonp("call"), Rules(jsonp="call", safe=True)),
    "error_redirect": (
        error_redirect({1004: "/login", "404": "/missing"}, "/error"),
        Rules(redirects={"1004": "/login", "404": "/missing"}, default_redirect="/error"),
    ),
    "safe": (safe, Rules(safe=True)),
    "timeout": (timeout(5), Rules(timeout=5)),
    "cancellable": (cancellable, Rules(cancellable=True)),
    "channel": (channel("a:{b}", history=5), Rules(channel=Channel("a:{b}", history=5))),
    "deprecated": (
        deprecated(since="2027-01-31", sunset=date(2027, 6, 30)),
        Rules(deprecation=Deprecation(datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 6, 30, tzinfo=UTC))),
    ),
}
GUARDS = ("optionally_authenticated", "anonymous_session", "authenticated", "authenticated_with_parameter")


def function(documentation: str | None = "Do it.") -> Any:
    """A new ``invoke``."""

    async def invoke(handler: Any, parameters: dict[str, Any]) -> None: ...

    invoke.__doc__ = documentation
    return invoke


@pytest.mark.parametrize(("decorator", "rules"), DECORATORS.values(), ids=DECORATORS)
def test_each_decorator(decorator: Decorator, rules: Rules) -> None:
    """A decorator returns the function itself and declares one thing."""
    invoke = function()
    assert decorator(invoke) is invoke
    assert rules_of(invoke) == rules


def test_no_decorator() -> None:
    """A bare function needs nothing, and responds in the ordinary way."""
    assert rules_of(function()) == Rules()
    assert Rules().guard is Guard.NONE


@pytest.mark.parametrize(
    "order", list(permutations(["authenticated", "requires", "safe", "timeout"])), ids="-".join
)
def test_four_decorators_in_any_order(order: tuple[str, ...]) -> None:
    """Their order does not matter."""
    invoke = function()
    for name in order:
        DECORATORS[name][0](invoke)
    assert rules_of(invoke) == Rules(guard=Guard.AUTHENTICATED, required=("a", "b"), safe=True, timeout=5)


@pytest.mark.parametrize("shift", range(len(DECORATORS)))
def test_all_decorators_in_any_order(shift: int) -> None:
    """All of them together declare everything, whichever comes first and in both directions."""
    names = [*list(DECORATORS)[shift:], *list(DECORATORS)[:shift]]
    forwards, backwards = function(), function()
    for name in names:
        DECORATORS[name][0](forwards)
    for name in reversed(names):
        DECORATORS[name][0](backwards)
    assert (
        rules_of(forwards)
        == rules_of(backwards)
        == Rules(
            guard=Guard.PARAMETER,
            roles=("admin", "editor"),
            fresh=300.0,
            rates=(Rate(10, 60.0, "user"), Rate(9, 86400.0, "address")),
            required=("a", "b"),
            defaults={"c": [1]},
            asynchronous=True,
            raw=True,
            jsonp="call",
            redirects={"1004": "/login", "404": "/missing"},
            default_redirect="/error",
            safe=True,
            timeout=5,
            cancellable=True,
            channel=Channel("a:{b}", history=5),
            deprecation=DECORATORS["deprecated"][1].deprecation,
        )
    )


@pytest.mark.parametrize("first", GUARDS)
@pytest.mark.parametrize("second", GUARDS)
def test_the_strictest_guard_counts(first: str, second: str) -> None:
    """Of two decorators that ask for a session the stricter one counts, in either order."""
    invoke = function()
    DECORATORS[first][0](DECORATORS[second][0](invoke))
    assert rules_of(invoke).guard == max(DECORATORS[name][1].guard for name in (first, second))


@pytest.mark.parametrize(("decorator", "rules"), DECORATORS.values(), ids=DECORATORS)
def test_each_adds_a_line_to_the_documentation(decorator: Decorator, rules: Rules) -> None:
    """After the author's text, in a separate paragraph, or by itself if there is no text."""
    paragraphs = inspect.cleandoc(decorator(function()).__doc__).split("\n\n")
    assert paragraphs[0] == "Do it."
    assert len(paragraphs) == 2
    assert paragraphs[1].startswith("*")
    assert decorator(function(None)).__doc__ == paragraphs[1]


def test_what_the_documentation_says() -> None:
    """It tells a caller what is needed, and what happens otherwise."""
    documented = {name: str(decorator(function()).__doc__) for name, (decorator, _) in DECORATORS.items()}
    assert "``a``" in documented["requires"]
    assert "``b``" in documented["requires"]
    assert "``c: [1]``" in documented["default_parameters"]
    assert "``session_id``" in documented["authenticated_with_parameter"]
    assert "``call``" in documented["jsonp"]
    assert "authentication" in documented["authenticated"]
    assert "anonymous" in documented["anonymous_session"]
    assert "GET" in documented["safe"]


def test_lines_add_up() -> None:
    """Each of several decorators adds its line, and no other is lost."""
    invoke = authenticated(requires("a")(requires("b")(function())))
    paragraphs = invoke.__doc__.split("\n\n")
    assert paragraphs[0] == "Do it."
    assert len(paragraphs) == 4
    assert "``a``" in paragraphs[2]
    assert "``b``" in paragraphs[1]


def test_longer_documentation_keeps_its_shape() -> None:
    """The lines of a docstring are not indented more than before."""

    @authenticated
    async def invoke(handler: Any, parameters: dict[str, Any]) -> None:
        """Do it.

        Then undo it:
            all of it.
        """

    assert inspect.getdoc(invoke) == ("Do it.\n\nThen undo it:\n    all of it.\n\n*Requires authentication.*")


def test_requirements_add_up() -> None:
    """Names of several ``requires`` are all required, each once, in reading order."""
    assert rules_of(requires("a", "b")(requires("b", "c")(function()))).required == ("a", "b", "c")
    assert rules_of(requires()(function())).required == ()


def test_defaults_add_up() -> None:
    """Of two defaults for a name the upper one counts."""
    invoke = default_parameters({"a": 1, "b": 1})(default_parameters({"b": 2, "c": 2})(function()))
    assert rules_of(invoke).defaults == {"a": 1, "b": 1, "c": 2}


def test_redirects_add_up() -> None:
    """Codes of several ``error_redirect`` are all redirected, and codes are numbers or text."""
    invoke = error_redirect({1004: "/a"})(error_redirect({"1004": "/b", 404: "/c"}, "/d")(function()))
    assert rules_of(invoke).redirects == {"1004": "/a", "404": "/c"}
    assert rules_of(invoke).default_redirect == "/d"
    assert rules_of(error_redirect({}, "/upper")(invoke)).default_redirect == "/upper"


def test_a_mapping_of_the_author_is_left_alone() -> None:
    """A mapping passed to a decorator is neither changed nor shared between functions."""
    defaults, redirects = {"a": [1]}, {1004: "/a"}
    before = copy.deepcopy((defaults, redirects))
    first = default_parameters(defaults)(error_redirect(redirects)(function()))
    second = default_parameters({"b": 2})(default_parameters(defaults)(function()))
    assert (defaults, redirects) == before
    assert rules_of(first).defaults == {"a": [1]}
    assert rules_of(second).defaults == {"a": [1], "b": 2}


def test_jsonp_with_and_without_a_name() -> None:
    """``@jsonp``, ``@jsonp()`` and ``@jsonp("name")`` are allowed, and each implies ``safe``."""
    for decorator, name in (
        (jsonp, "jsonp"),
        (jsonp(), "jsonp"),
        (jsonp("call"), "call"),
        (jsonp(callback_name="f"), "f"),
    ):
        rules = rules_of(decorator(function()))
        assert (rules.jsonp, rules.safe) == (name, True)


@pytest.mark.parametrize("seconds", [0, -1, -0.5, float("nan"), 0.0])
def test_a_time_limit_must_be_positive(seconds: float) -> None:
    """Any other value raises where it is written."""
    with pytest.raises(ValueError, match="timeout"):
        timeout(seconds)


@pytest.mark.parametrize("seconds", [1, 0.001, 3600.5])
def test_a_time_limit(seconds: float) -> None:
    """It is a number of seconds, whole or fractional."""
    assert rules_of(timeout(seconds)(function())).timeout == seconds


def test_wraps_keeps_the_record() -> None:
    """An author's own wrapping decorator, with ``functools.wraps``, loses nothing."""
    invoke = function()
    for name in ("authenticated", "requires", "timeout"):
        DECORATORS[name][0](invoke)

    @functools.wraps(invoke)
    async def wrapper(handler: Any, parameters: dict[str, Any]) -> Any:
        return await invoke(handler, parameters)

    assert rules_of(wrapper) == Rules(guard=Guard.AUTHENTICATED, required=("a", "b"), timeout=5)
    assert wrapper.__doc__ == invoke.__doc__


def test_decorators_above_a_wrapper_count() -> None:
    """Decorators above the author's own decorator are added to those below it."""
    invoke = authenticated(function())

    @requires("a")
    @functools.wraps(invoke)
    async def wrapper(handler: Any, parameters: dict[str, Any]) -> Any:
        return await invoke(handler, parameters)

    assert rules_of(wrapper) == Rules(guard=Guard.AUTHENTICATED, required=("a",))


def test_a_wrapper_does_not_change_what_it_wraps() -> None:
    """Rules for a wrapper, say around a built-in method, are not rules for the method itself."""
    invoke = requires("a")(function())

    @authenticated
    @requires("b")
    @functools.wraps(invoke)
    async def wrapper(handler: Any, parameters: dict[str, Any]) -> Any:
        return await invoke(handler, parameters)

    assert rules_of(wrapper) == Rules(guard=Guard.AUTHENTICATED, required=("b", "a"))
    assert rules_of(invoke) == Rules(required=("a",))


def test_functions_do_not_share_a_record() -> None:
    """Declarations for one function do not apply to another."""
    first, second = authenticated(function()), function()
    requires("a")(first)
    assert rules_of(second) == Rules()
    assert rules_of(function()) == Rules()


def test_plain_functions_are_decorated_alike() -> None:
    """A plain ``def invoke`` takes the same decorators, and stays a plain function."""

    def invoke(handler: Any, parameters: dict[str, Any]) -> int:
        return len(parameters)

    decorated = invoke
    for decorator, _ in DECORATORS.values():
        decorated = decorator(decorated)
    assert decorated is invoke
    assert decorated(None, {"a": 1}) == 1


def test_dates_of_deprecated() -> None:
    """A date is its beginning in UTC, a datetime has a time zone, and anything else is refused."""
    noon = datetime(2027, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    for since in (noon, "2027-01-31T12:00+02:00", "2027-01-31T10:00:00+00:00"):
        found = rules_of(deprecated(since=since)(function())).deprecation
        assert found == Deprecation(datetime(2027, 1, 31, 10, tzinfo=UTC)), since
        assert found.headers() == {"Deprecation": "@1801389600"}
    wrong: list[Any] = ["soon", "", "2027-01-31T12:00", datetime(2027, 1, 31, 12), 2027, None, True]
    for since in wrong:
        with pytest.raises((TypeError, ValueError)):
            deprecated(since=since)
    with pytest.raises(ValueError, match="sunset is before since"):
        deprecated(since="2027-01-31", sunset="2027-01-30")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("timeout", "write @timeout(5) for @timeout"),
        ("rate", "write @rate(10, per=60) for @rate"),
        ("fresh", "write @fresh(300) for @fresh"),
        ("deprecated", 'write @deprecated(since="2027-01-31") for @deprecated'),
        ("error_redirect", 'write @error_redirect({1004: "/login"}) for @error_redirect'),
        ("channel", 'write @channel("room:{room}"): it needs the pattern'),
        ("roles", 'write @roles("admin") for @roles'),
        ("authenticated()", "write @authenticated for @authenticated(): it takes no arguments"),
        ("authenticated_with_parameter()", "write @authenticated_with_parameter for"),
        ("anonymous_session()", "write @anonymous_session for"),
        ("optionally_authenticated()", "write @optionally_authenticated for"),
        ("asynchronous()", "write @asynchronous for"),
        ("raw_response()", "write @raw_response for"),
        ("safe()", "write @safe for"),
        ("cancellable(timeout=5)", "write @cancellable for @cancellable(timeout)"),
        ("method()", "write @method for @method()"),
        ("method('plus')", "write @method for @method('plus'): it takes no arguments"),
        ("idempotent('key')", "write @idempotent for @idempotent('key')"),
    ],
)
def test_decorators_that_are_written_otherwise(package: Package, written: str, said: str) -> None:
    """The start ends at the module, and says how a decorator is written: with arguments, or without."""
    module = f"from toto_aio.invocation import *\n@{written}\nasync def invoke(): ...\n"
    with pytest.raises(TypeError) as caught:
        find_methods(package({"hello.py": module}), 60)
    assert str(caught.value).startswith(said)
