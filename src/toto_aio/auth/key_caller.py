"""The caller of a request that showed an API key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from toto_aio.auth.api_key import ANYTHING
from toto_aio.auth.caller import Caller
from toto_aio.auth.key_session import NO_SESSION, KeySession
from toto_aio.exceptions import NotAuthorized

if TYPE_CHECKING:
    from toto_aio.auth.api_keys import ApiKeys
    from toto_aio.auth.sessions import Sessions
    from toto_aio.auth.user_session import UserSession


class KeyCaller(Caller):
    """A key is looked up once for a request, and each of its calls is compared with the scopes.

    The response isn't signed: nothing is known to both sides but the key, which TLS protects.
    """

    signs = False

    def __init__(self, sessions: Sessions, keys: ApiKeys, key_hash: str, address: str) -> None:
        super().__init__(sessions, None, None)
        self.by_key = True
        self._keys = keys
        self._key_hash = key_hash
        self._address = address
        self._shown_by_key: KeySession | None = None

    async def admit(self, method: str, *, needs_session: bool = False) -> KeySession:
        """What the key stands for, in a call of this method.

        Raises ``NotAuthorized`` if there is no such key, if its scopes don't name the method, or if that
        ``needs_session``; and ``TooManyAttempts`` after many wrong keys from the client's address.
        """
        session = await self.show()
        if needs_session:
            raise NotAuthorized(NO_SESSION)
        if not session.allows(method):
            raise NotAuthorized("The API key may not call this method.")
        return session

    async def admit_page(self) -> KeySession:
        """The same for a page of the application around the service, which only the scope ``*`` includes."""
        session = await self.show()
        if not session.allows(ANYTHING):
            raise NotAuthorized("The API key is for some methods of the service only.", status=403)
        return session

    async def show(self) -> KeySession:
        """What the key stands for, whatever its scopes. Raises ``NotAuthorized``, ``TooManyAttempts``."""
        self.consulted = True
        async with self._turn():
            if self._shown_by_key is None:
                found = await self._keys.load(self._key_hash)
                if found is None:
                    async with self._sessions.attempts.guess(self._address):
                        raise NotAuthorized("The API key is wrong, expired or revoked.")
                self._shown_by_key = found
            self.session = self._shown_by_key  # an earlier call of a batch may have asked for another one
            return self._shown_by_key

    async def retrieve(self, session_id: str | None = None, *, signed: bool = True) -> UserSession | None:
        """What the key stands for; the session of another id, if one is given."""
        if session_id is not None:
            return await super().retrieve(session_id, signed=signed)
        return await self.show()

    async def create(self, *_: Any, **__: Any) -> NoReturn:
        """Raise ``NotAuthorized``: a key that is limited must not become a session that isn't."""
        raise NotAuthorized(NO_SESSION)

    async def finish(self, *_: Any, **__: Any) -> NoReturn:
        """Raise ``NotAuthorized``, as ``create`` does."""
        raise NotAuthorized(NO_SESSION)

    async def replace(self, *_: Any, **__: Any) -> NoReturn:
        """Raise ``NotAuthorized``, as ``create`` does."""
        raise NotAuthorized(NO_SESSION)

    async def change_password(self, *_: Any) -> NoReturn:
        """Raise ``NotAuthorized``: whoever has found a key must not take over the account."""
        raise NotAuthorized(NO_SESSION)

    async def log_out(self, *_: Any) -> NoReturn:
        """Raise ``NotAuthorized``: keys are revoked."""
        raise NotAuthorized(NO_SESSION)
