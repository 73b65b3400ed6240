"""The caller's sessions, so that they can find one that they do not know."""

from __future__ import annotations

from typing import Any

from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import authenticated


@authenticated
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the living sessions of the user, the oldest first, each with a ``handle`` for ``account.revoke``.

    ``seen`` is when it was last renewed: to within a hundredth of its life-time, when it was last used.
    """
    session = handler.session
    assert session is not None
    return {"sessions": await handler.connection.sessions.describe_all(session)}
