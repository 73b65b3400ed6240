"""End one of the caller's sessions."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.text import require_text
from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import authenticated, requires
from toto_aio.threads import waits_in_threads


@authenticated
@requires("handle")
@waits_in_threads
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, bool]:
    """End the user's session with this ``handle``; false if it doesn't exist, or no longer does."""
    session = handler.session
    assert session is not None
    handle = require_text("handle", parameters["handle"])
    handler.act()
    if handle == session.handle:
        await handler.caller.log_out(session)
        return {"revoked": True}
    return {"revoked": await handler.connection.sessions.end_one(session, handle)}
