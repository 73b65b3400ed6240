"""A second factor for logins: codes of an authenticator app, and recovery codes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from toto_aio.auth.audit import Action
from toto_aio.auth.confirmation import confirm as confirm_user
from toto_aio.auth.second_factor import Checked
from toto_aio.auth.text import require_text
from toto_aio.auth.totp import DIGITS
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import authenticated, method, rate, requires
from toto_aio.threads import waits_in_threads

YES = frozenset({True, "true", "on", "yes", "1"})
"""What ``remember`` may be: a form has text."""


@method
@authenticated
@rate(30, per=900)
@waits_in_threads
async def enrol(handler: Handler, parameters: dict[str, Any]) -> dict[str, str]:
    """Make a secret for an authenticator app; returns it, and the ``uri`` that the app reads as a QR code.

    Needs the ``password``, or a login of the last ten minutes. It counts once ``account.totp.confirm`` has a
    code, within 15 minutes.
    """
    user_id = await _confirmed(handler, parameters)
    return await handler.connection.second_factor.enrol(user_id)


@method
@authenticated
@rate(30, per=900)
@requires("code")
@waits_in_threads
async def confirm(handler: Handler, parameters: dict[str, Any]) -> dict[str, list[str]]:
    """Turn the second factor on, with a ``code`` of the app; returns ten recovery codes, this once."""
    user_id, second = _user_id(handler), handler.connection.second_factor
    code = _code(parameters)
    handler.act()
    async with handler.sessions.attempts.second_step(user_id, handler.address):
        codes = await second.confirm(user_id, code)
    handler.accounts.audit.record(Action.TOTP_ENABLED, user_id)
    return {"recovery_codes": codes}


@method
@requires("ticket", "code")
@waits_in_threads
@redirects_form
async def login(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """Finish a login that was error 1017, with its ``ticket`` and a ``code``; returns a new session.

    With ``remember`` the result has a ``device``, with which ``account.login`` has one step for 30 days.
    """
    handler.act()
    ticket = require_text("ticket", parameters["ticket"])
    remember = parameters.get("remember")
    is_remembered = isinstance(remember, bool | str) and remember in YES
    session = await handler.caller.finish(ticket, _code(parameters), handler.client, remember=is_remembered)
    device = {} if session.device_token is None else {"device": session.device_token}
    return {**session.describe(), **device}


@method
@authenticated
@waits_in_threads
async def status(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """Say whether the second factor is on, and how many recovery codes are left."""
    return await handler.connection.second_factor.describe(_user_id(handler))


@method
@authenticated
@rate(30, per=900)
@requires("code")
@waits_in_threads
@redirects_form
async def disable(handler: Handler, parameters: dict[str, Any]) -> dict[str, bool]:
    """Turn the second factor off, with a ``code`` or a recovery code, and forget the remembered devices."""
    async with _checked(handler, parameters) as (user_id, checked):
        with handler.accounts.audit.recording(Action.TOTP_DISABLED, user_id) as happening:
            happening.happened = await handler.connection.second_factor.disable(user_id, checked)
    return {"disabled": happening.happened}


@method
@authenticated
@rate(30, per=900)
@requires("code")
@waits_in_threads
async def recovery_codes(handler: Handler, parameters: dict[str, Any]) -> dict[str, list[str]]:
    """Make ten new recovery codes in place of the ones before, with a ``code``; returns them, this once."""
    async with _checked(handler, parameters) as (user_id, checked):
        with handler.accounts.audit.recording(Action.RECOVERY_CODES_RENEWED, user_id):
            codes = await handler.connection.second_factor.renew_recovery_codes(user_id, checked)
    return {"recovery_codes": codes}


@method
@authenticated
@waits_in_threads
async def devices(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the user's remembered devices, the oldest first, each with a ``handle`` for ``forget``."""
    return {"devices": await handler.connection.second_factor.devices.list(_user_id(handler))}


@method
@authenticated
@waits_in_threads
@redirects_form
async def forget(handler: Handler, parameters: dict[str, Any]) -> dict[str, int]:
    """Forget the remembered device with this ``handle``, or all without one; returns how many."""
    user_id, known = _user_id(handler), handler.connection.second_factor.devices
    if parameters.get("handle") is None:
        return {"forgotten": await known.forget_all(user_id)}
    return {"forgotten": int(await known.forget(user_id, require_text("handle", parameters["handle"])))}


def _user_id(handler: Handler) -> str:
    assert handler.session is not None
    return handler.session.user_id


def _code(parameters: dict[str, Any]) -> str:
    """The code; a number, as from a shell, gets its zeros back."""
    code = parameters["code"]
    if isinstance(code, int) and type(code) is not bool and 0 <= code < 10**DIGITS:
        return f"{code:0{DIGITS}}"
    return require_text("code", code)


async def _confirmed(handler: Handler, parameters: dict[str, Any]) -> str:
    """The user, who has given the password or has just logged in."""
    assert handler.session is not None
    await confirm_user(handler.sessions, handler.session, parameters.get("password"), handler.client)
    return handler.session.user_id


@asynccontextmanager
async def _checked(handler: Handler, parameters: dict[str, Any]) -> AsyncIterator[tuple[str, Checked]]:
    """A block with the user, who has given a code of the second factor, and with that."""
    handler.act()
    user_id, code = _user_id(handler), _code(parameters)
    with handler.accounts.audit.refusals(Action.CODE_REFUSED, user_id, client=handler.client):
        checked = await handler.sessions.check_second_factor(user_id, code, handler.client)
    async with checked.use.given_back_unless_done():
        yield user_id, checked
