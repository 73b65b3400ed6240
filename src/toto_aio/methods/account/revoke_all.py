"""End all of the caller's sessions except this one."""

from __future__ import annotations

from typing import Any

from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import authenticated
from toto_aio.threads import waits_in_threads


@authenticated
@waits_in_threads
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, int]:
    """End the user's other sessions; returns how many there were."""
    session = handler.session
    assert session is not None
    return {"revoked": await handler.connection.sessions.end_others(session)}
