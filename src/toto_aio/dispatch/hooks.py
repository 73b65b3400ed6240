"""The functions around each call: those that a service's options name, else those of the process."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, Protocol
from weakref import WeakSet

Hook = Callable[[Any, str, str], Any]
"""Called with the handler, the transaction id and the name of the method; may be a coroutine function."""
When = Literal["before", "after"]


class HasHooks(Protocol):
    """What calls hooks: ``Dispatcher``."""

    before: Hook | None
    after: Hook | None


def set_before_handler(function: Callable[..., Any] | None) -> None:
    """Call ``function(handler, transaction_id, method)`` before each call of this process.

    It is for all services of the process that have no option ``before_handler``. None removes it.
    """
    _set("before", function)


def set_after_handler(function: Callable[..., Any] | None) -> None:
    """Call ``function(handler, transaction_id)``, or with ``method`` as well, after each call."""
    _set("after", function)


def _set(when: When, function: Callable[..., Any] | None) -> None:
    _of_process[when] = hook = fitted(function)
    for taker in _takers[when]:
        setattr(taker, when, hook)


def take_hooks(taker: HasHooks, before: Callable[..., Any] | None, after: Callable[..., Any] | None) -> None:
    """Give a dispatcher the hooks of its options, or those of the process, now and later."""
    taker.before, taker.after = fitted(before), fitted(after)
    if before is None:
        taker.before = _of_process["before"]
        _takers["before"].add(taker)
    if after is None:
        taker.after = _of_process["after"]
        _takers["after"].add(taker)


def fitted(function: Callable[..., Any] | None) -> Hook | None:
    """A hook with the three arguments, of which Toto's after-handlers take two."""
    if function is None:
        return None
    given = function
    try:
        inspect.signature(given).bind(None, "", "")
    except TypeError:
        return lambda handler, transaction_id, method: given(handler, transaction_id)
    except ValueError:  # a function of C, without a signature
        pass
    return given


_of_process: dict[When, Hook | None] = {"before": None, "after": None}
_takers: dict[When, WeakSet[HasHooks]] = {"before": WeakSet(), "after": WeakSet()}
