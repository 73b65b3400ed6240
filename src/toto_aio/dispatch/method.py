"""The record of a method: everything that is known about it, compiled once at start-up."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from toto_aio.dispatch.classic import is_classic
from toto_aio.dispatch.signature import Signature
from toto_aio.dispatch.wrapping import require_visible
from toto_aio.method_rules import Guard, Rules, rules_of
from toto_aio.settings import SettingsError
from toto_aio.threads import is_coroutine_function

if TYPE_CHECKING:
    from toto_aio.dispatch.results import CheckResult

ASYNCHRONOUS_TIMEOUT = 600.0
"""Seconds that an ``@asynchronous`` method may take to respond."""
BUILT_IN_ACCOUNTS = "toto_aio.methods.account."
"""The package of the account methods. GET never reaches them, as their parameters are secrets."""


@dataclass(frozen=True, slots=True)
class Method:
    """Everything that is known about a method.

    ``timeout`` is in seconds. ``threaded``: the method is a plain ``def`` and runs in a thread.
    ``post_only``: GET never reaches it, whatever the settings.
    """

    name: str
    invoke: Callable[[Any, dict[str, Any]], Any]
    rules: Rules
    source: str
    """The module that it comes from."""
    documentation: str
    timeout: float
    threaded: bool
    post_only: bool
    on_connection_close: Callable[[Any], Any] | None
    signature: Signature | None = None
    """What a typed method takes and gives; None for a classic one."""
    check_result: CheckResult | None = None
    """Raises for a result that is not what the return annotation says."""

    has_policy: bool = field(init=False)
    """Whether something is to be asked before it is called: a session, a role, a rate."""
    needs_user: bool = field(init=False)
    """Whether only users may call it."""
    by_parameter: bool = field(init=False)
    """Whether the parameter ``session_id`` has the session."""

    def __post_init__(self) -> None:
        """Find out what each call asks: the members of an enum are slow to read before Python 3.12."""
        guard = self.rules.guard
        object.__setattr__(self, "has_policy", bool(guard or self.rules.rates))
        object.__setattr__(self, "by_parameter", guard is Guard.PARAMETER)
        object.__setattr__(self, "needs_user", guard >= Guard.AUTHENTICATED)

    def reachable_by_get(self, get_methods: str) -> bool:
        """Whether GET may call the method under this setting of ``get_methods``."""
        return self.rules.safe or (get_methods == "all" and not self.post_only)

    @property
    def instead_of_get(self) -> str:
        """What to write if GET may not call the method."""
        return "call it by POST" if self.post_only else "call it by POST, or mark it @safe"


def compile_method(name: str, source: Any, method_timeout: float, module: ModuleType | None = None) -> Method:
    """The record of the method in a module, or of a function, which is marked in its ``module``.

    Raises ``SettingsError`` for a function that can't be called as a method.
    """
    invoke = getattr(source, "invoke", source)
    if not callable(invoke) or inspect.isasyncgenfunction(invoke) or inspect.isgeneratorfunction(invoke):
        raise SettingsError(f"{name}: write 'async def invoke(handler, title: str)', without yield")
    require_visible(name, invoke)
    rules = rules_of(invoke)
    signature, called, check_result = None, invoke, None
    if is_classic(invoke):
        _require_two_arguments(name, invoke)
    else:
        # A service of classic methods needs nothing of this.
        from toto_aio.dispatch.parameters import typed_invoke
        from toto_aio.dispatch.reading import read_signature
        from toto_aio.dispatch.results import result_check

        signature = read_signature(name, invoke)
        _require_rules_for(name, rules, signature)
        called = typed_invoke(name, invoke, signature)
        check_result = None if rules.raw else result_check(name, signature.returns)
    if rules.channel is not None:
        _require_rules_for_channel(name, rules, signature)
    if rules.jsonp and rules.guard:
        raise SettingsError(
            f"{name}: @jsonp cannot serve a method that needs a session; write @rate with by='address'"
            if rules.guard is Guard.OPTIONAL and rules.rates
            else f"{name}: @jsonp cannot serve a method that needs a session"
        )
    is_threaded = not is_coroutine_function(invoke)
    of = source if module is None else module
    limit = rules.timeout or (ASYNCHRONOUS_TIMEOUT if rules.asynchronous else method_timeout)
    if rules.idempotent:
        from toto_aio.dispatch.idempotency import Plan, idempotent_invoke

        _require_one_result(name, rules)
        called = idempotent_invoke(
            called, Plan(limit, rules.secret, rules.transactional), threaded=is_threaded
        )
    return Method(
        name=name,
        invoke=called,
        rules=rules,
        source=of.__name__ if isinstance(of, ModuleType) else getattr(invoke, "__module__", ""),
        documentation=inspect.getdoc(invoke) or inspect.getdoc(source) or "",
        timeout=limit,
        # A plain wrapper of a coroutine function only creates the coroutine: that needs no thread.
        threaded=is_threaded,
        post_only=getattr(invoke, "__module__", "").startswith(BUILT_IN_ACCOUNTS),
        on_connection_close=getattr(of, "on_connection_close", None),
        signature=signature,
        check_result=check_result,
    )


def _require_rules_for(name: str, rules: Rules, signature: Signature) -> None:
    """Raise ``SettingsError`` for what a typed method says twice, or in two ways."""
    if rules.required:
        raise SettingsError(f"{name}: @requires is for invoke(handler, parameters): leave out the default")
    if rules.defaults:
        raise SettingsError(
            f"{name}: @default_parameters is for invoke(handler, parameters): write x=default"
        )
    taken = {rules.jsonp: "@jsonp"} if rules.jsonp else {}
    if rules.guard is Guard.PARAMETER:
        taken["session_id"] = "@authenticated_with_parameter"
    for each in signature.parameters:
        if each.name in taken:
            raise SettingsError(
                f"{name}: {each.attribute}: rename it: {taken[each.name]} takes this parameter"
            )


def _require_one_result(name: str, rules: Rules) -> None:
    """Raise ``SettingsError`` for a method whose result a repeat can't have."""
    for given, decorator in (
        (rules.raw, "raw_response"),
        (rules.jsonp, "jsonp"),
        (rules.asynchronous, "asynchronous"),
    ):
        if given:
            raise SettingsError(
                f"{name}: @idempotent keeps the result for repeats, and @{decorator} has none to keep: "
                "leave out one of them"
            )


def _require_rules_for_channel(name: str, rules: Rules, signature: Signature | None) -> None:
    """Raise ``SettingsError`` for what a function that admits to channels can't do, or doesn't take."""
    answers = {
        "raw_response": rules.raw,
        "jsonp": rules.jsonp,
        "asynchronous": rules.asynchronous,
        "authenticated_with_parameter": rules.guard is Guard.PARAMETER,
    }
    if wrong := [each for each, is_there in answers.items() if is_there]:
        raise SettingsError(
            f"{name}: @channel returns what comes with the subscription: leave out @{wrong[0]}"
        )
    assert rules.channel is not None
    if signature is None or signature.model is not None:
        return
    variables = rules.channel.variables
    taken = {each.name for each in signature.parameters}
    if missing := [each for each in variables if each not in taken]:
        raise SettingsError(f"{name}: {missing[0]} is in the pattern: write it as a parameter")
    needed = [each.name for each in signature.parameters if each.required and each.name not in variables]
    if needed:
        raise SettingsError(
            f"{name}: {needed[0]} is not in the pattern {rules.channel.pattern!r}: give it a default"
        )


def _require_two_arguments(name: str, invoke: Callable[..., Any]) -> None:
    """Raise ``SettingsError`` for a function that can't be called with a handler and parameters."""
    try:
        inspect.signature(invoke).bind(None, {})
    except TypeError:
        raise SettingsError(
            f"{name}: invoke{inspect.signature(invoke)} can't be called with a handler and the parameters: "
            "write invoke(handler, parameters)"
        ) from None
    except ValueError:  # a function of C has no signature
        pass
