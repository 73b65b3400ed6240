"""Who may call a method, how often, and how long after a login: what is asked before it is called."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from toto_aio.auth.rate_limits import RateLimits
from toto_aio.auth.rates import Rate, read_rates
from toto_aio.auth.user_session import UserSession
from toto_aio.dispatch.form import take
from toto_aio.dispatch.handler import Handler
from toto_aio.dispatch.method import Method
from toto_aio.exceptions import NotAuthorized
from toto_aio.method_rules import Guard
from toto_aio.settings import Settings, SettingsError


class Policy:
    """The policy of one app's methods. Only those that have one come here: ``Method.has_policy``."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    async def admit(self, method: Method, handler: Handler, parameters: dict[str, Any]) -> None:
        """Load the session that a method asks for, and count the call.

        Raises ``NotAuthorized`` and, for a caller who is authorized, ``TooManyAttempts``.
        """
        rules = method.rules
        session = None
        if method.by_parameter:
            session = await _session_of_parameter(handler, parameters)
        elif rules.guard:
            session = await handler.caller.retrieve()
        handler.take_session(session)
        if method.needs_user:
            if session is None or not session.user_id:
                raise NotAuthorized.because(handler.caller.why_no_user(session))
            if rules.roles:
                await _require_role(rules.roles, session)
            if rules.fresh is not None:
                _require_fresh(rules.fresh, session)
        if rules.rates:
            await self._limits.count(method.name, rules.rates, session, handler.address)
        if session is None and rules.guard is Guard.ANONYMOUS:  # after the count, as each is kept for a day
            await handler.create_session()


def limited(methods: dict[str, Method], settings: Settings) -> dict[str, Method]:
    """The methods with the option ``rate``, which counts after the rates of their own.

    Raises ``SettingsError``.
    """
    rates = rates_of_all(settings)
    return {name: _with_rates(method, rates) for name, method in methods.items()} if rates else methods


def rates_of_all(settings: Settings) -> tuple[Rate, ...]:
    """The rates of all methods together, by the option. Raises ``SettingsError``."""
    try:
        return read_rates(settings.rate)
    except ValueError as exc:
        raise SettingsError(str(exc)) from None


def _with_rates(method: Method, rates: tuple[Rate, ...]) -> Method:
    rules = method.rules
    guard = rules.guard
    if not rules.jsonp and any(each.by != "address" for each in rates):  # a script never has a session
        guard = max(guard, Guard.OPTIONAL)
    return replace(method, rules=replace(rules, rates=(*rules.rates, *rates), guard=guard))


async def _session_of_parameter(handler: Handler, parameters: dict[str, Any]) -> UserSession | None:
    session_id = take("session_id", parameters, handler.call)
    if handler.reply.shared:  # the other calls of a batch have the session of the request
        handler.caller = handler.caller.apart()
    handler.caller.signs = False
    return await handler.caller.retrieve(session_id, signed=False) if session_id else None


async def _require_role(roles: tuple[str, ...], session: UserSession) -> None:
    # Read now, and not kept with the session: a change counts from the next call on.
    account = await session.get_account()
    if account is None:
        raise NotAuthorized.because("the account is gone")
    if set(roles).isdisjoint(account.roles):
        raise NotAuthorized.because(f"the user does not have the role {' or '.join(map(repr, roles))}")


def _require_fresh(seconds: float, session: UserSession) -> None:
    # A session of the future was made by a clock that was ahead, and would be young for long.
    if abs(time.time() - session.logged_in) > seconds:
        raise NotAuthorized.too_old(seconds)
