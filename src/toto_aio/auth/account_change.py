"""Changes an account so that no session from before outlives the change, whatever fails in between.

Accounts and sessions may be in two databases, so the change is first announced by a marker in the store of
the sessions (``change_marker.py``). Then the sessions are ended, the account is changed, the sessions are
ended once more, and the marker is removed.

Why no session that is older than the change can be valid: those that were stored before the marker have been
ended before the account was changed, which wasn't done if that failed. Whoever stores one later looks for the
marker afterwards and finds it, if the second ending didn't come: until then it is only removed if the account
is certainly unchanged. After the second ending, a login finds the change when it looks at the account once
more (``Sessions.log_in``, ``Sessions.log_in_known``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from toto_aio.auth.change_marker import new_marker, remove_marker
from toto_aio.auth.ends import Ends
from toto_aio.exceptions import TotoException, Unavailable

CHANGE_WITHIN = 20.0
"""Seconds after the marker within which an account is changed: an operation of a store takes 5 at most."""


@asynccontextmanager
async def changing(
    ends: Ends, user_id: str, *, keep: str = "", check: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[None]:
    """End a user's sessions, except ``keep``, around a block that changes the account and ends them again.

    ``check`` is called once new sessions are kept out, before any session ends; if it raises, nothing is
    changed. The block raises a ``TotoException`` other than ``Unavailable`` only if the account is unchanged.
    Raises ``Unavailable``: either nothing is changed, or the new state of the account holds, and no session
    except ``keep``. Until it is known which, or for a minute, the user gets no new session.
    """
    began = time.monotonic()
    marker = new_marker(user_id)
    try:
        await ends.store.add_session(marker)
        if check is not None:
            await check()
        await ends.end_all(user_id, keep)
        if time.monotonic() - began > CHANGE_WITHIN:
            raise Unavailable  # the marker would expire too soon
    except BaseException:
        await remove_marker(ends.store, marker)
        raise
    try:
        yield
    except TotoException as exc:
        if not isinstance(exc, Unavailable):
            await remove_marker(ends.store, marker)
        raise
    # After any other error the account may yet be changed, so the marker stays until it expires.
    await remove_marker(ends.store, marker)
