"""Delete the caller's account."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.confirmation import confirm
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import authenticated
from toto_aio.threads import waits_in_threads


@authenticated
@waits_in_threads
@redirects_form
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, bool]:
    """Delete the user's account, and end its sessions and API keys; it can't be undone.

    Needs the ``password``, or a login of the last ten minutes.
    """
    session = handler.session
    assert session is not None
    await confirm(handler.sessions, session, parameters.get("password"), handler.client)
    await handler.caller.delete_account(session, handler.reply.answers_first)
    return {"deleted": True}
