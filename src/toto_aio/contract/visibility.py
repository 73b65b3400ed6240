"""Which methods a document shows to whom, by the option ``openapi``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from toto_aio.auth.user_session import UserSession
from toto_aio.dispatch.method import Method
from toto_aio.exceptions import NotAuthorized
from toto_aio.settings import Settings

MAX_DOCUMENTS = 16
"""The most documents that are kept: those whose callers have different roles differ."""

T = TypeVar("T")


class Documents(Generic[T]):
    """Documents of a service's methods, each made when it is first asked for.

    A public document has all methods. Of those that ask for a role, a document for users
    (``openapi=authenticated``) has those that its caller may call.
    """

    def __init__(
        self, methods: Mapping[str, Method], settings: Settings, make: Callable[[Mapping[str, Method]], T]
    ) -> None:
        self.are_public = settings.openapi != "authenticated"
        self._methods = methods
        self._make = make
        self._roles = frozenset(role for method in methods.values() for role in method.rules.roles)
        self._made: dict[frozenset[str], T] = {}
        self._turn = asyncio.Lock()

    async def shown_to(self, session: UserSession | None) -> T:
        """The document for the user of a session, which a public one needs not.

        Raises ``NotAuthorized`` without one, or if its account is gone.
        """
        return await self.of(self._roles if self.are_public else await self.roles_of(session))

    async def of(self, roles: frozenset[str]) -> T:
        """The document for those who have these roles, and no others that a method asks for."""
        async with self._turn:
            if roles not in self._made:  # large services have large documents, and the loop has other work
                self._made[roles] = await asyncio.to_thread(self._make, self._shown(roles))
                if len(self._made) > MAX_DOCUMENTS:
                    del self._made[next(iter(self._made))]
            return self._made[roles]

    async def roles_of(self, session: UserSession | None) -> frozenset[str]:
        """The roles of a user that some method asks for.

        Raises ``NotAuthorized`` without one, or if its account is gone.
        """
        if session is None or not session.user_id:
            raise NotAuthorized(status=401)
        if not self._roles:
            return self._roles
        account = await session.get_account()
        if account is None:
            raise NotAuthorized(status=401)
        return self._roles.intersection(account.roles)

    def _shown(self, roles: frozenset[str]) -> dict[str, Method]:
        return {
            name: method
            for name, method in self._methods.items()
            if not method.rules.roles or not roles.isdisjoint(method.rules.roles)
        }
