"""What an API key stands for where a session is expected: its account, and nothing that could be saved."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

from toto_aio.auth.api_key import ApiKey, allows
from toto_aio.auth.session_state import EMPTY
from toto_aio.auth.user_session import UserSession
from toto_aio.exceptions import InvalidSessionID, NotAuthorized
from toto_aio.models import Record, Session
from toto_aio.threads import waits_in_threads

if TYPE_CHECKING:
    from toto_aio.auth.sessions import Sessions

NO_SESSION = "An API key has no session: log in for this."


class KeySession(UserSession):
    """``handler.session`` of a call with an API key: it has the user, and an empty state of its own call.

    ``expiry`` gives when the key with a hash expires; None once it has ended.
    """

    is_api_key = True

    def __init__(
        self,
        sessions: Sessions,
        expiry: Callable[[str], Awaitable[float | None]],
        record: Record,
        key: ApiKey,
    ) -> None:
        shown = Session(record.key, record.owner, key.created, record.expires, EMPTY, seen=key.seen)
        super().__init__(sessions, "", shown)
        self.hides_id = True
        self._key = key
        self._expiry = expiry

    @property
    def logged_in(self) -> float:
        """Never: whoever has the key need not be its user."""
        return -math.inf

    @property
    def scopes(self) -> list[str]:
        """What the key is for."""
        return self._key.scopes

    def allows(self, method: str) -> bool:
        """Whether the scopes of the key name a method."""
        return allows(self._key.scopes, method)

    async def expiry(self) -> float | None:
        return await self._expiry(self.record.key)

    @waits_in_threads
    async def save(self) -> NoReturn:
        """Raise ``NotAuthorized``: a call with a key has nothing to save to."""
        raise NotAuthorized(NO_SESSION)

    save_state = save

    @waits_in_threads
    async def update(self, change: Callable[[dict[str, Any]], object]) -> NoReturn:
        """Raise ``NotAuthorized``, as ``save`` does."""
        raise NotAuthorized(NO_SESSION)

    @waits_in_threads
    async def refresh(self) -> None:
        """Raise ``InvalidSessionID`` if the key has been revoked, or has expired."""
        expires = await self.expiry()
        if expires is None:
            raise InvalidSessionID("The API key has ended.")
        self.record.expires = expires
