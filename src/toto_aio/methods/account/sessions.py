"""List the caller's sessions, so that they can find one that they don't recognise."""

from __future__ import annotations

from typing import Any

from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import authenticated
from toto_aio.threads import waits_in_threads


@authenticated
@waits_in_threads
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the user's active sessions, the oldest first, each with a ``handle`` for ``account.revoke``.

    ``seen`` is when a session was last renewed, which is when it was last used to within a hundredth of its
    lifetime.
    """
    session = handler.session
    assert session is not None
    return {"sessions": await handler.connection.sessions.describe_all(session)}
