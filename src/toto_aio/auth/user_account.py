"""An account as methods see it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from toto_aio.auth.account_fields import READ_ONLY, require_custom, require_storable
from toto_aio.auth.birth import take_birth
from toto_aio.auth.roles import take_roles
from toto_aio.exceptions import InvalidUserID
from toto_aio.models import Account
from toto_aio.stores import AccountStore
from toto_aio.threads import waits_in_threads


class UserAccount(MutableMapping[str, Any]):
    """An account as a method sees it: a mapping of its custom fields, in which a missing key reads as None.

    Changes are kept here until ``save``. ``user_id`` and ``roles`` can be read but not set; ``roles`` is not
    among the fields that one iterates over. The hash of the password is not in the mapping.
    """

    def __init__(self, store: AccountStore, account: Account) -> None:
        self._user_id = account.user_id
        self._store = store
        self.birth = take_birth(account.values)
        """Tells it from a later account with the same user id."""
        self._roles = take_roles(account.values)
        self._values = account.values
        self._has_password = account.password is not None
        self._changes: dict[str, Any] = {}

    @property
    def user_id(self) -> str:
        """The user that the account belongs to."""
        return self._user_id

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that ``set_roles`` has given, sorted, as they were when the account was read."""
        return self._roles

    @property
    def has_password(self) -> bool:
        """Whether there was a password to log in with when the account was read."""
        return self._has_password

    @waits_in_threads
    async def load(self, *names: str) -> None:
        """Read these fields again, or all of them, and the roles; unsaved changes to them are dropped."""
        account = await self._store.get_account(self.user_id)
        values = {} if account is None else account.values
        take_birth(values)
        self._roles = take_roles(values)
        for name in names or {**self._values, **self._changes, **values}:
            self._changes.pop(name, None)
            if name in values:
                self._values[name] = values[name]
            else:
                self._values.pop(name, None)

    @waits_in_threads
    async def save(self) -> None:
        """Write the fields that were set, and keep what others wrote to other fields.

        Raises ``TypeError`` for a value that isn't plain data of JSON, ``ValueError`` for fields of more than
        4 MiB, and ``InvalidUserID`` if the account is gone.
        """
        changes = dict(self._changes)
        if not changes:
            return
        require_storable({**self._values, **changes})
        if not await self._store.update_account(self.user_id, changes):
            raise InvalidUserID("The account is gone.")
        self._values.update(changes)
        for name, value in changes.items():
            if self._changes.get(name) is value:  # else it was set again during the save
                del self._changes[name]

    def __getitem__(self, name: str) -> Any:
        if name in READ_ONLY:
            return getattr(self, name)
        return self._changes.get(name, self._values.get(name))

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, or ``default`` if it isn't set."""
        return self[name] if name in self else default  # noqa: SIM401 # which would call itself

    def __setitem__(self, name: str, value: Any) -> None:
        require_custom(name)
        self._changes[name] = value

    def __delitem__(self, name: str) -> None:
        self[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter({"user_id": None, **self._values, **self._changes})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in READ_ONLY or name in self._changes or name in self._values
