"""Asks users for their password again, or for a login of the last minutes, before what can't be undone."""

from __future__ import annotations

import time

from toto_aio.auth.audit import Action
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.exceptions import NotAuthorized
from toto_aio.models import ClientInfo

FRESH = 600.0
"""Seconds for which a login counts as a confirmation."""


async def confirm(sessions: Sessions, session: UserSession, password: object, client: ClientInfo) -> None:
    """Accept the user of a session who has just logged in, or who gives the ``password``, unless it is None.

    Raises ``NotAuthorized`` if the login is older, and ``InvalidCredentials`` and ``TooManyAttempts`` as a
    login does.
    """
    if password is None:
        if abs(time.time() - session.logged_in) > FRESH:
            raise NotAuthorized.too_old(FRESH)
        return
    user_id = session.user_id
    with sessions.audit.refusals(Action.PASSWORD_REFUSED, user_id, client):
        async with sessions.attempts.attempt(user_id, client.address, session.record.key):
            await sessions.accounts.verify(user_id, password)  # type: ignore[arg-type] # it refuses others
