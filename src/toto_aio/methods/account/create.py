"""Create an account and log in to it."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.account_fields import account_values
from toto_aio.auth.text import require_text
from toto_aio.auth.user_ids import normal_user_id
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import Unavailable
from toto_aio.invocation import requires
from toto_aio.threads import waits_in_threads


@requires("user_id", "password")
@waits_in_threads
@redirects_form
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """Create the account ``user_id`` with ``password`` and log in; returns the session."""
    accounts = handler.connection.accounts
    values = account_values(parameters, accounts.fields)
    password = require_text("password", parameters["password"])
    user_id = normal_user_id(parameters["user_id"])
    async with handler.connection.sessions.attempts.creation(user_id, handler.address):
        account = await accounts.create(user_id, password, **values)
    try:
        session = await handler.create_session(account.user_id, verify_password=False, second_factor=False)
    except Unavailable as exc:  # the client can't know: another attempt would be told that the id is in use
        raise Unavailable("The account is created, but there is no session: log in to it.") from exc
    return session.describe()
