"""Changes a password, and ends the other sessions of its user, whatever fails in between.

Accounts and sessions may be in two databases, so the change is first announced by a marker in the store of
the sessions (``change_marker.py``). Then the other sessions are ended, the password is replaced, a new
session is made, all except it are ended once more, and the marker is removed.

Why no other session that is older than the password can be valid: those that were stored before the marker
have been ended before the password was replaced, which wasn't done if that failed. Whoever stores one later
looks for the marker afterwards and finds it, if the second ending didn't come: until then it is only removed
if the password is certainly the old one. After the second ending, ``Sessions.log_in`` finds the new password
when it compares once more, and other logins don't depend on the password.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from toto_aio.auth.change_marker import new_marker, remove_marker
from toto_aio.auth.sessions import Sessions, UserSession
from toto_aio.exceptions import InvalidCredentials, Unavailable
from toto_aio.models import ClientInfo

REPLACE_WITHIN = 20.0
"""Seconds after the marker within which a password is replaced: an operation of a store takes 5 at most."""


async def change_password(
    sessions: Sessions,
    session: UserSession,
    password: str,
    new_password: str,
    client: ClientInfo,
    take: Callable[[UserSession], None],
) -> UserSession:
    """Change the password of a session's user; a new session in place of all that the user had.

    ``take`` gets the new session before the sockets of the old ones are closed. Raises ``InvalidCredentials``
    if ``password`` isn't the current one, ``TooManyAttempts``, and ``Unavailable``. After each of them either
    the old password is valid, or only the new one, and no session except this one and the new one.
    """
    user_id, accounts, store = session.user_id, sessions.accounts, sessions.store
    async with sessions.attempts.attempt(user_id, client.address, session.record.key):
        account, hashed = await accounts.prepare_change(user_id, password, new_password)
    began = time.monotonic()
    marker = new_marker(user_id)
    try:
        await store.add_session(marker)
        if not await accounts.is_current(account):
            raise InvalidCredentials  # another change came first, whose new session this one must not end
        await sessions.end_others(session)
        if time.monotonic() - began > REPLACE_WITHIN:
            raise Unavailable  # the marker would expire too soon
    except BaseException:
        await remove_marker(store, marker)
        raise
    try:
        await accounts.replace_password(account, hashed)
    except InvalidCredentials:
        await remove_marker(store, marker)
        raise
    # If that has failed otherwise, the password may yet be replaced, so the marker stays until it expires.
    try:
        renewed = await sessions.add(user_id, client)
        take(renewed)
        await sessions.end_others(renewed)
    except Unavailable as exc:
        raise Unavailable("The password is changed: log in with the new one.") from exc
    await remove_marker(store, marker)
    return renewed
