"""A session as a method sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from toto_aio.auth.session_state import apply, difference, unpack
from toto_aio.auth.user_account import UserAccount
from toto_aio.models import Session
from toto_aio.signing import Signer
from toto_aio.threads import waits_in_threads

if TYPE_CHECKING:
    from toto_aio.auth.sessions import Sessions

T = TypeVar("T")


class UserSession:
    """A session as a method sees it, ``handler.session``, with dictionary access to its ``state``.

    A missing key reads as None. Changes are kept here until ``save``. This is not a ``Mapping``, because the
    ``update`` of a mapping means something else.
    """

    is_api_key = False
    """Whether an API key stands for it: then it has no id, and nothing can be saved to it."""

    def __init__(self, sessions: Sessions, session_id: str, record: Session, *, is_new: bool = False) -> None:
        self.is_new = is_new
        """Whether this request created it."""
        self.renewed = False
        """Whether this request extended its lifetime."""
        self.hides_id = False
        """Whether a browser's cookie keeps the id, which then is in no response."""
        self.session_id = session_id
        self.device_token: str | None = None
        """After a second step, the token of a device that is to be remembered: nobody sees it again."""
        self.record = record
        self._sessions = sessions
        self._state: dict[str, Any] | None = None

    @property
    def user_id(self) -> str:
        """The user that the session belongs to; "" if it is anonymous."""
        return self.record.user_id

    @property
    def expires(self) -> float:
        """When it expires if it isn't renewed, in Unix seconds."""
        return self.record.expires

    @property
    def logged_in(self) -> float:
        """When the user has shown who they are, in Unix seconds: no renewal changes it."""
        return self.record.created

    @property
    def state(self) -> dict[str, Any]:
        """The data of the session: plain values under string keys."""
        if self._state is None:
            self._state = unpack(self.record.state)
        return self._state

    @waits_in_threads
    async def save(self) -> None:
        """Write the changed keys; what another request wrote to other keys is kept.

        Raises ``InvalidSessionID`` if the session has ended, ``TypeError`` for a value that isn't plain data,
        and ``ValueError`` for a state of more than 4 MiB.
        """
        await self._sessions.save(self, lambda state: None)

    save_state = save

    @waits_in_threads
    async def update(self, change: Callable[[dict[str, Any]], T]) -> T:
        """Change the stored state in one step: ``await session.update(lambda state: ...)``.

        ``change`` is called with the newest state, and again whenever another writer came first; its last
        result is returned. Unsaved changes are written too.
        """
        return await self._sessions.save(self, change)

    @waits_in_threads
    async def refresh(self) -> None:
        """Read the session again and drop unsaved changes. Raises ``InvalidSessionID`` if it has ended."""
        await self._sessions.refresh(self)

    @waits_in_threads
    async def get_account(self) -> UserAccount | None:
        """The account of the session's user; None if the session is anonymous or the account is gone."""
        return await self._sessions.accounts.of_session(self.user_id) if self.user_id else None

    async def expiry(self) -> float | None:
        """When it expires, as it is stored now; None if it has ended."""
        record = await self._sessions.store.get_session(self.record.key)
        return None if record is None else record.expires

    def describe(self) -> dict[str, Any]:
        """The session as responses have it; a new session includes its key, if it has one.

        The id is left out if a cookie keeps it: no script of a page may read it.
        """
        record = self.record  # each property of it would cost a call
        described = {"session_id": self.session_id, "expires": record.expires, "user_id": record.user_id}
        if self.hides_id:
            del described["session_id"]
        if self.is_new and record.signing_key:
            described["key"] = self.signer.key_text
        return described

    @property
    def handle(self) -> str:
        """Identifies the session to its user where the id must not be shown."""
        return handle_of(self.record.key)

    @property
    def signer(self) -> Signer:
        """What a signature scheme may use of it."""
        record = self.record
        return Signer(self.session_id, record.user_id, record.signing_key)

    def settle(self, record: Session, before: dict[str, Any]) -> None:
        """Take over the stored record; what has changed since ``before`` remains an unsaved change."""
        changed, removed = difference(before, self.state)
        self.reset(record)
        apply(self.state, changed, removed)

    def reset(self, record: Session) -> None:
        """Take over the stored record, and drop unsaved changes."""
        state = unpack(record.state)
        self.record = record
        self.state.clear()
        self.state.update(state)

    def __getitem__(self, name: str) -> Any:
        return self.state.get(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a key, or ``default``."""
        return self.state.get(name, default)

    def __setitem__(self, name: str, value: Any) -> None:
        self.state[name] = value

    def __delitem__(self, name: str) -> None:
        self.state.pop(name, None)  # like a missing key that is read, as in Toto

    def __iter__(self) -> Iterator[str]:
        return iter(self.state)

    def __contains__(self, name: object) -> bool:
        return name in self.state


def handle_of(key: str) -> str:
    """What identifies a session to its user where the id must not be shown."""
    return key[:16]
