"""Export what is stored about the caller."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.account_export import export_account
from toto_aio.auth.audit import Action
from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import authenticated, rate
from toto_aio.threads import waits_in_threads


@authenticated
@rate(10, per=900)
@waits_in_threads
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return everything that the service itself stores about the user, without secrets.

    The data of other methods are in tables of their own, of which it knows nothing.
    """
    session, connection = handler.session, handler.connection
    assert session is not None
    found = await export_account(connection.sessions, connection.api_keys, session.user_id)
    connection.accounts.audit.record(Action.ACCOUNT_EXPORTED, session.user_id)
    return found
