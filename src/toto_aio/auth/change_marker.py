"""Markers of changes of accounts that are under way: they keep new sessions of the user out meanwhile.

A marker is in the store of the sessions, as a session of a user that cannot exist: no store needs anything
for it, it expires by itself, and two changes have one each.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from contextlib import suppress

from toto_aio.exceptions import Unavailable
from toto_aio.models import Session
from toto_aio.stores import SessionStore

MARKER_TTL = 60.0
"""Seconds after which a marker that was left behind no longer holds up logins."""


def new_marker(user_id: str) -> Session:
    """A marker for one change, which is to be added to the store. Its key is the hash of no session id."""
    now = time.time()
    key = f"password change {secrets.token_hex(16)}"
    return Session(key, _marked(user_id), now, now + MARKER_TTL, b"", seen=now)


async def is_account_changing(store: SessionStore, user_id: str) -> bool:
    """Whether the user's account is being changed, or a change was given up within the last minute."""
    return bool(await store.list_sessions(_marked(user_id), 1))


async def remove_marker(store: SessionStore, marker: Session) -> None:
    """Let new sessions in again."""
    with suppress(Unavailable):  # it expires soon
        await store.remove_session(marker.key)


def _marked(user_id: str) -> str:
    """The user id of markers. It has upper case, so no account has it, and no user id can be another's."""
    return f"Password change of {hashlib.sha256(user_id.encode()).hexdigest()}"
