"""Event streams for pages of other origins: ``events.ticket``."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.key_session import NO_SESSION
from toto_aio.auth.stream_tickets import TTL, StreamTickets
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import NotAuthorized
from toto_aio.invocation import method, optionally_authenticated, rate
from toto_aio.threads import waits_in_threads


@method
@optionally_authenticated
@rate(120, per=60)
@waits_in_threads
async def ticket(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """A ticket of the caller's session, for one event stream, which must begin within ``seconds``."""
    session = handler.session
    if session is None:
        raise NotAuthorized.because(handler.caller.why_no_user(None))
    if session.is_api_key:
        raise NotAuthorized(NO_SESSION)
    return {"ticket": await StreamTickets(handler.sessions).issue(session), "seconds": TTL}
