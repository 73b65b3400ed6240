"""Changes a password, and ends the other sessions of its user, whatever fails in between."""

from __future__ import annotations

from collections.abc import Callable

from toto_aio.auth.account_change import changing
from toto_aio.auth.audit import Action
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.exceptions import InvalidCredentials, Unavailable
from toto_aio.models import ClientInfo


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
    user_id, accounts, ends = session.user_id, sessions.accounts, sessions.ends
    own = session.record.key
    with sessions.audit.refusals(Action.PASSWORD_REFUSED, user_id, client):
        async with sessions.attempts.attempt(user_id, client.address, own):
            account, hashed = await accounts.prepare_change(user_id, password, new_password)

    async def check() -> None:
        if not await accounts.is_current(account):
            raise InvalidCredentials  # another change came first, whose new session this one must not end

    with sessions.audit.recording(Action.PASSWORD_CHANGED, user_id):
        async with changing(ends, user_id, keep=own, check=check):
            await accounts.replace_password(account, hashed)
            try:
                renewed = await sessions.add(user_id, client)
                if not await accounts.is_current(account):
                    # The account was deleted since then, or has got another password from an administrator.
                    await ends.end(renewed.record.key)
                    raise InvalidCredentials
                take(renewed)
                await ends.end_all(user_id, renewed.record.key)
            except Unavailable as exc:
                raise Unavailable("The password is changed: log in with the new one.") from exc
    return renewed
