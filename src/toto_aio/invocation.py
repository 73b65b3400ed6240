"""Decorators for ``invoke``: who may call a method, what it needs, and how it responds.

    @authenticated
    @timeout(5)
    async def invoke(handler, title: str): ...

``from toto_aio.invocation import *`` also gives ``TotoException`` and the names of its codes, as in Toto.

A decorator writes into one record on the function and wraps nothing, so the order of decorators doesn't
matter. Each that a caller should know about adds a line to the method's documentation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar, overload

from toto_aio.auth.rates import By, in_order, make_rate
from toto_aio.auth.roles import role_names
from toto_aio.channels import Channel
from toto_aio.decorating import bare, require_arguments, with_arguments
from toto_aio.deprecation import read_deprecation
from toto_aio.exceptions import (
    ERROR_INVALID_HMAC,
    ERROR_INVALID_METHOD,
    ERROR_INVALID_RESPONSE_HMAC,
    ERROR_INVALID_SESSION_ID,
    ERROR_INVALID_USER_ID,
    ERROR_MISSING_METHOD,
    ERROR_MISSING_PARAMS,
    ERROR_NOT_AUTHORIZED,
    ERROR_SERVER,
    ERROR_USER_ID_EXISTS,
    ERROR_USER_NOT_FOUND,
    TotoException,
)
from toto_aio.marked import mark
from toto_aio.method_rules import Guard, own_rules, rules_of

__all__ = [
    "ERROR_INVALID_HMAC",
    "ERROR_INVALID_METHOD",
    "ERROR_INVALID_RESPONSE_HMAC",
    "ERROR_INVALID_SESSION_ID",
    "ERROR_INVALID_USER_ID",
    "ERROR_MISSING_METHOD",
    "ERROR_MISSING_PARAMS",
    "ERROR_NOT_AUTHORIZED",
    "ERROR_SERVER",
    "ERROR_USER_ID_EXISTS",
    "ERROR_USER_NOT_FOUND",
    "TotoException",
    "anonymous_session",
    "asynchronous",
    "authenticated",
    "authenticated_with_parameter",
    "cancellable",
    "channel",
    "default_parameters",
    "deprecated",
    "error_redirect",
    "fresh",
    "idempotent",
    "jsonp",
    "method",
    "optionally_authenticated",
    "rate",
    "raw_response",
    "requires",
    "roles",
    "safe",
    "timeout",
]

Invoke = TypeVar("Invoke", bound=Callable[..., Any])


@bare
def method(function: Invoke) -> Invoke:
    """Make a function a method, beside the ``invoke`` of its module.

    ``add`` in ``notes.py`` is ``notes.add``, and ``list_`` is ``notes.list``. A module that imports the
    function doesn't have it as a method too.
    """
    name = getattr(function, "__name__", "")
    if name.startswith("_"):
        raise TypeError(f"@method: rename {name}: names with an underscore in front are not methods")
    own_rules(function).is_marked = True
    mark(function)
    return function


def channel(
    pattern: str,
    *,
    history: int = 0,
    ttl: float = 3600.0,
    presence: bool = False,
    join_leave: bool = False,
    publish: str = "",
) -> Callable[[Invoke], Invoke]:
    """Let the function decide who may subscribe to the channels of a pattern: ``@channel("room:{room}")``.

    It runs as the caller, with the variables of the pattern as parameters, and raises to refuse; what it
    returns comes with the subscription. ``history`` is how many publications are kept for those who come
    back, until nothing was published for ``ttl`` seconds. With ``presence`` subscribers can ask who has
    subscribed, and with ``join_leave`` they are told who comes and goes. ``publish`` is the name of a method:
    what a client of Centrifuge publishes is a call of it. Clients can't call the function, unless it is
    marked ``@method`` too. A function has this decorator once.
    """
    declared = Channel(pattern, history, ttl, presence, join_leave)

    def decorate(function: Invoke) -> Invoke:
        if rules_of(function).channel is not None:
            raise ValueError("@channel: write it once; another function can call this one")
        rules = own_rules(function)
        rules.channel, rules.publish = declared, publish
        kept = f", *and keeps* {history} *publications*" if history else ""
        shown = ", *and shows who is present*" if presence else ""
        return _document(function, f"*Admits to the channels* ``{pattern}``{kept}{shown}.")

    return decorate


@bare
def authenticated(function: Invoke) -> Invoke:
    """Admit only logged-in users; others get ``NotAuthorized``."""
    return _guard(function, Guard.AUTHENTICATED, "*Requires authentication.*")


@bare
def anonymous_session(function: Invoke) -> Invoke:
    """Use the caller's session, or create an anonymous one."""
    return _guard(function, Guard.ANONYMOUS, "*Creates an anonymous session if there is none.*")


@bare
def optionally_authenticated(function: Invoke) -> Invoke:
    """Use the caller's session if there is one."""
    return _guard(function, Guard.OPTIONAL, "*Uses the session if there is one.*")


@bare
def authenticated_with_parameter(function: Invoke) -> Invoke:
    """Admit only logged-in users whose session id is the parameter ``session_id``. Never signed."""
    return _guard(function, Guard.PARAMETER, "*Requires authentication by the parameter* ``session_id``.")


def roles(*names: str) -> Callable[[Invoke], Invoke]:
    """Admit only users whose account has one of these roles: ``@roles("editor", "admin")``.

    ``accounts.set_roles`` gives them, and says what a role may be called. They are read at each call. Implies
    ``authenticated``; others, with a session or without, get ``NotAuthorized``. A method has this decorator
    once.
    """
    require_arguments("roles", '"admin"', bool(names) and all(isinstance(name, str) for name in names))
    admitted = role_names(names)

    def decorate(function: Invoke) -> Invoke:
        if rules_of(function).roles:
            raise ValueError(
                '@roles: write it once: @roles("editor", "admin") admits those who have one of them'
            )
        own_rules(function).roles = admitted
        listed = ", ".join(f"``{name}``" for name in admitted)
        kind = "*Requires the role*" if len(admitted) == 1 else "*Requires one of the roles*"
        return _guard(function, Guard.AUTHENTICATED, f"{kind} {listed}.")

    return decorate


@with_arguments("300")
def fresh(seconds: float) -> Callable[[Invoke], Invoke]:
    """Admit only users who have logged in within this time, for what a stolen session must not do.

    Implies ``authenticated``. What counts is when the user has shown who they are: the creation of the
    session by a login or a change of the password, and never its renewal. Others get ``NotAuthorized`` with
    ``max_age``, and log in again. Of several, the shortest time counts.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds < float("inf"):
        raise ValueError(f"fresh: write at least one second, as in @fresh(300), not {seconds!r}")

    def decorate(function: Invoke) -> Invoke:
        rules = own_rules(function)
        rules.fresh = float(seconds) if rules.fresh is None else min(rules.fresh, float(seconds))
        line = f"*Requires a login within the last* {seconds:g} *seconds.*"
        return _guard(function, Guard.AUTHENTICATED, line)

    return decorate


@with_arguments("10, per=60")
def rate(times: int, per: float | str, by: By = "user") -> Callable[[Invoke], Invoke]:
    """Admit at most so many calls of a client ``per`` so many seconds: ``@rate(10, per=60)``.

    ``per`` may also be a time such as ``"1d"``. Counted are the calls of each ``user``, ``address`` or
    ``session``, in all processes together; those of callers who are not logged in count by the address.
    Counting by user or session loads the session, as ``optionally_authenticated`` does. Further calls get
    ``TooManyAttempts``. A method may have several rates, such as 10 in a second and 1,000 in a day.
    """
    found = make_rate(times, per, by)

    def decorate(function: Invoke) -> Invoke:
        rules = own_rules(function)
        rules.rates = in_order((*rules.rates, found))
        guard = Guard.NONE if by == "address" else Guard.OPTIONAL
        return _guard(function, guard, f"*At most* {found}.")

    return decorate


def requires(*names: str) -> Callable[[Invoke], Invoke]:
    """Refuse a call that lacks one of these parameters."""
    require_arguments("requires", '"name"', all(isinstance(name, str) for name in names))

    def decorate(function: Invoke) -> Invoke:
        rules = own_rules(function)
        rules.required = (*names, *(name for name in rules.required if name not in names))
        return _document(function, f"*Required parameters:* {', '.join(f'``{name}``' for name in names)}.")

    return decorate


def default_parameters(defaults: Mapping[str, Any]) -> Callable[[Invoke], Invoke]:
    """Set the parameters that a call leaves out; they satisfy ``requires``."""
    require_arguments("default_parameters", '{"name": 1}', isinstance(defaults, Mapping))

    def decorate(function: Invoke) -> Invoke:
        rules = own_rules(function)
        rules.defaults = {**rules.defaults, **defaults}
        listed = ", ".join(f"``{name}: {value!r}``" for name, value in defaults.items())
        return _document(function, f"*Default parameters:* {listed}.")

    return decorate


@bare
def asynchronous(function: Invoke) -> Invoke:
    """The result comes later, from ``handler.respond``, unless the method returns one."""
    own_rules(function).asynchronous = True
    return _document(function, "*Responds later, when there is a result.*")


@bare
def raw_response(function: Invoke) -> Invoke:
    """The method returns the body of the response, as bytes or text.

    Its content type is ``handler.response_type``, ``application/octet-stream`` by default.
    """
    own_rules(function).raw = True
    return _document(function, "*Responds with bytes of its own.*")


@overload
def jsonp(callback_name: Invoke) -> Invoke: ...
@overload
def jsonp(callback_name: str = "jsonp") -> Callable[[Invoke], Invoke]: ...
def jsonp(callback_name: Any = "jsonp") -> Any:
    """Respond with a script that calls the function that the parameter ``callback_name`` names.

    Implies ``safe``. Without the parameter the response is like any other. A script has only the result, so
    a method that needs a session can't use this decorator.
    """

    def decorate(function: Invoke) -> Invoke:
        rules = own_rules(function)
        rules.jsonp, rules.safe = name, True
        return _document(function, f"*Supports JSONP with the callback parameter* ``{name}``.")

    if callable(callback_name):
        name = "jsonp"
        return decorate(callback_name)
    name = callback_name
    return decorate


@with_arguments('{1004: "/login"}')
def error_redirect(redirect_map: Mapping[Any, str], default: str | None = None) -> Callable[[Invoke], Invoke]:
    """Redirect on an error: to the URL of its ``code`` or ``status_code`` in the map, else to ``default``.

    Without a URL the error is sent as usual, and so it is in a batch and on a socket.
    """

    def decorate(function: Invoke) -> Invoke:
        rules = own_rules(function)
        rules.redirects = {**rules.redirects, **{str(code): url for code, url in redirect_map.items()}}
        rules.default_redirect = default or rules.default_redirect
        return _document(function, "*Redirects on errors.*")

    return decorate


@bare
def safe(function: Invoke) -> Invoke:
    """Mark a method that only reads: GET and HEAD may call it."""
    own_rules(function).safe = True
    return _document(function, "*Can be called by GET.*")


@overload
def idempotent(function: Invoke) -> Invoke: ...
@overload
def idempotent(*, secret: bool = ..., transactional: bool = ...) -> Callable[[Invoke], Invoke]: ...
def idempotent(function: Any = None, *, secret: bool = False, transactional: bool = False) -> Any:
    """Let clients repeat a call: it runs at most once for each idempotency key, and a repeat gets its result.

    ``transactional``: all it does is in ``handler.transaction()``; that counts exactly once, as what was cut
    off before the commit is repeated. ``secret``: no result is kept.
    """

    def decorate(function: Invoke) -> Invoke:
        rules = own_rules(function)
        rules.idempotent, rules.secret, rules.transactional = True, secret, transactional
        return _document(function, "*Can be repeated with the same idempotency key.*")

    if function is not None and not callable(function):
        raise TypeError(f"write @idempotent for @idempotent({function!r})")
    return decorate if function is None else decorate(function)


@bare
def cancellable(function: Invoke) -> Invoke:
    """Cancel the method when its client disconnects, for work that nobody else needs."""
    own_rules(function).cancellable = True
    return _document(function, "*Ends when the client disconnects.*")


@with_arguments("5")
def timeout(seconds: float) -> Callable[[Invoke], Invoke]:
    """Limit the method to this time instead of ``method_timeout``; after it the call is ``TimedOut``."""
    if not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError(f"timeout: expected a positive number of seconds, got {seconds!r}")

    def decorate(function: Invoke) -> Invoke:
        own_rules(function).timeout = seconds
        return _document(function, f"*Takes at most* {seconds:g} *seconds.*")

    return decorate


@with_arguments('since="2027-01-31"')
def deprecated(*, since: date | str, sunset: date | str | None = None) -> Callable[[Invoke], Invoke]:
    """Tell callers that they should stop calling the method: ``@deprecated(since="2027-01-31")``.

    ``sunset`` is when the method is going to end. Both are dates, or datetimes with a time zone, or their
    text in ISO 8601. Responses of their own, not those in a batch or on a socket, have the headers
    ``Deprecation`` and ``Sunset``. Nothing is refused, before or after.
    """
    found = read_deprecation(since, sunset)
    ends = "" if found.sunset is None else f" *It ends on* {found.sunset:%Y-%m-%d}."

    def decorate(function: Invoke) -> Invoke:
        own_rules(function).deprecation = found
        return _document(function, f"*Deprecated since* {found.since:%Y-%m-%d}.{ends}")

    return decorate


def _guard(function: Invoke, guard: Guard, line: str) -> Invoke:
    rules = own_rules(function)
    rules.guard = max(rules.guard, guard)
    return _document(function, line)


def _document(function: Invoke, line: str) -> Invoke:
    function.__doc__ = f"{inspect.cleandoc(function.__doc__)}\n\n{line}" if function.__doc__ else line
    return function
