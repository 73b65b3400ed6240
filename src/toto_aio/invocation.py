"""Decorators for ``invoke``: who may call a method, what it needs, and how it answers.

    @authenticated
    @requires("title")
    async def invoke(handler, parameters): ...

A decorator writes into one record on the function and wraps nothing, so their order does not matter. Each
that a caller should know of adds a line to the method's documentation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, TypeVar, overload

__all__ = [
    "anonymous_session",
    "asynchronous",
    "authenticated",
    "authenticated_with_parameter",
    "cancellable",
    "default_parameters",
    "error_redirect",
    "jsonp",
    "optionally_authenticated",
    "raw_response",
    "requires",
    "safe",
    "timeout",
]

Invoke = TypeVar("Invoke", bound=Callable[..., Any])


class Guard(IntEnum):
    """What a method asks of the caller's session; of several decorators the strictest counts."""

    NONE = 0
    OPTIONAL = 1
    ANONYMOUS = 2
    AUTHENTICATED = 3
    PARAMETER = 4


@dataclass(slots=True)
class Rules:
    """What the decorators say of one ``invoke``."""

    guard: Guard = Guard.NONE
    required: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    asynchronous: bool = False
    raw: bool = False
    jsonp: str | None = None
    redirects: dict[str, str] = field(default_factory=dict)
    default_redirect: str | None = None
    safe: bool = False
    cancellable: bool = False
    timeout: float | None = None


def rules_of(function: Callable[..., Any]) -> Rules:
    """The record of a function; a wrapper made with ``functools.wraps`` has that of what it wraps."""
    return getattr(function, "__toto_aio_rules__", None) or Rules()


def authenticated(function: Invoke) -> Invoke:
    """Only for a logged-in user: others get ``NotAuthorized``."""
    return _guard(function, Guard.AUTHENTICATED, "*Requires authentication.*")


def anonymous_session(function: Invoke) -> Invoke:
    """With the caller's session, or else with a new anonymous one."""
    return _guard(function, Guard.ANONYMOUS, "*Makes an anonymous session if there is none.*")


def optionally_authenticated(function: Invoke) -> Invoke:
    """With the caller's session if there is one."""
    return _guard(function, Guard.OPTIONAL, "*Uses the session if there is one.*")


def authenticated_with_parameter(function: Invoke) -> Invoke:
    """Only for a logged-in user, whose session id is the parameter ``session_id``. Never signed."""
    return _guard(function, Guard.PARAMETER, "*Requires authentication by the parameter* ``session_id``.")


def requires(*names: str) -> Callable[[Invoke], Invoke]:
    """Refuse a call that lacks one of these parameters."""

    def decorate(function: Invoke) -> Invoke:
        rules = _rules(function)
        rules.required = (*names, *(name for name in rules.required if name not in names))
        return _document(function, f"*Required parameters:* {', '.join(f'``{name}``' for name in names)}.")

    return decorate


def default_parameters(defaults: Mapping[str, Any]) -> Callable[[Invoke], Invoke]:
    """Set the parameters that a call leaves out; they count for ``requires``."""

    def decorate(function: Invoke) -> Invoke:
        rules = _rules(function)
        rules.defaults = {**rules.defaults, **defaults}
        listed = ", ".join(f"``{name}: {value!r}``" for name, value in defaults.items())
        return _document(function, f"*Default parameters:* {listed}.")

    return decorate


def asynchronous(function: Invoke) -> Invoke:
    """The answer comes later, from ``handler.respond``; a value that is returned is the answer at once."""
    _rules(function).asynchronous = True
    return _document(function, "*Answers when it has something to say.*")


def raw_response(function: Invoke) -> Invoke:
    """What is returned, bytes or text, is the body; its type is ``handler.response_type``.

    By default that is ``application/octet-stream``.
    """
    _rules(function).raw = True
    return _document(function, "*Answers with bytes of its own.*")


@overload
def jsonp(callback_name: Invoke) -> Invoke: ...
@overload
def jsonp(callback_name: str = "jsonp") -> Callable[[Invoke], Invoke]: ...
def jsonp(callback_name: Any = "jsonp") -> Any:
    """Answer with a script that calls the function that the parameter ``callback_name`` names.

    Implies ``safe``. Without the parameter the answer is like any other. It carries the result alone, and
    cannot serve a method that needs a session.
    """

    def decorate(function: Invoke) -> Invoke:
        rules = _rules(function)
        rules.jsonp, rules.safe = name, True
        return _document(function, f"*Supports JSONP with the callback parameter* ``{name}``.")

    if callable(callback_name):
        name = "jsonp"
        return decorate(callback_name)
    name = callback_name
    return decorate


def error_redirect(redirect_map: Mapping[Any, str], default: str | None = None) -> Callable[[Invoke], Invoke]:
    """Redirect on an error: to the URL of its ``code`` or ``status_code`` in the map, else to ``default``.

    Without a URL for it, the error is answered as usual; so it is in a batch and on a socket.
    """

    def decorate(function: Invoke) -> Invoke:
        rules = _rules(function)
        rules.redirects = {**rules.redirects, **{str(code): url for code, url in redirect_map.items()}}
        rules.default_redirect = default or rules.default_redirect
        return _document(function, "*Redirects on errors.*")

    return decorate


def safe(function: Invoke) -> Invoke:
    """The method only reads: GET and HEAD reach it."""
    _rules(function).safe = True
    return _document(function, "*Can be called by GET.*")


def cancellable(function: Invoke) -> Invoke:
    """The method is cancelled when its client leaves: for work that is of use to nobody else."""
    _rules(function).cancellable = True
    return _document(function, "*Ends when the client leaves.*")


def timeout(seconds: float) -> Callable[[Invoke], Invoke]:
    """The method may take so long, in place of ``method_timeout``; then the answer is ``TimedOut``."""
    if not seconds > 0:
        raise ValueError(f"timeout: expected a positive number of seconds, got {seconds!r}")

    def decorate(function: Invoke) -> Invoke:
        _rules(function).timeout = seconds
        return _document(function, f"*Takes at most* {seconds:g} *seconds.*")

    return decorate


def _rules(function: Callable[..., Any]) -> Rules:
    """The record of a function to write into: its own, not that of what it wraps."""
    rules = replace(rules_of(function))
    function.__toto_aio_rules__ = rules  # type: ignore[attr-defined]
    return rules


def _guard(function: Invoke, guard: Guard, line: str) -> Invoke:
    rules = _rules(function)
    rules.guard = max(rules.guard, guard)
    return _document(function, line)


def _document(function: Invoke, line: str) -> Invoke:
    function.__doc__ = f"{inspect.cleandoc(function.__doc__)}\n\n{line}" if function.__doc__ else line
    return function
