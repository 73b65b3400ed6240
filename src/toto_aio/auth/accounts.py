"""The rules of accounts: which user ids and passwords are valid, how a password is checked and changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from toto_aio.auth.passwords import MAX_BYTES, Match, Passwords, opaque
from toto_aio.auth.text import require_text
from toto_aio.auth.user_ids import former_user_id, known_as, new_user_id
from toto_aio.exceptions import InvalidCredentials, InvalidParameters, InvalidUserID, UserIDExists
from toto_aio.models import Account
from toto_aio.names import shortened
from toto_aio.stores import AccountStore
from toto_aio.threads import waits_in_threads

__all__ = ["Accounts"]

MAX_NAMED = 10
"""Unknown fields that an error names."""


class Accounts:
    """The accounts of a service: rules over an ``AccountStore``. Clients may set the custom ``fields``."""

    def __init__(
        self,
        store: AccountStore,
        passwords: Passwords,
        *,
        fields: Iterable[str] = (),
        password_min_length: int = 8,
    ) -> None:
        self.fields = frozenset(fields)
        self._store = store
        self._passwords = passwords
        self._password_min_length = password_min_length

    @waits_in_threads
    async def create(self, user_id: str, password: str | None, /, **values: Any) -> UserAccount:
        """Create an account with custom fields; without a password (None) nobody can log in with one.

        Raises ``UserIDExists``, ``InvalidUserID``, or ``InvalidParameters`` for a password that is too short
        or too long.
        """
        new_id = new_user_id(user_id)
        hashed = None if password is None else await self._hash("password", password)
        if former_user_id(user_id) != new_id and await self._find(user_id) is not None:
            raise UserIDExists
        account = Account(new_id, hashed, values)
        await self._store.add_account(account)
        return UserAccount(self._store, account)

    @waits_in_threads
    async def get(self, user_id: str) -> UserAccount | None:
        """The account of ``user_id``, or None."""
        return self._seen(await self._find(user_id))

    async def of_session(self, user_id: str) -> UserAccount | None:
        """The account that a session of ``user_id`` belongs to, and no other that the id may be read as."""
        return self._seen(await self._store.get_account(former_user_id(user_id)))

    @waits_in_threads
    async def verify(self, user_id: str, password: str | None) -> Account:
        """The account, if the password is right; replaces an outdated hash. Raises ``InvalidCredentials``."""
        password = require_text("password", password)
        account = await self._find(user_id)
        match = await self._passwords.verify(password, account.password if account else None)
        if match is Match.NONE:
            raise InvalidCredentials
        assert account is not None
        assert account.password is not None
        if match is Match.OUTDATED:
            hashed = await self._passwords.hash(password)
            if not await self._store.replace_password(account.user_id, account.password, hashed):
                return await self.verify(user_id, password)  # another login or a change came first
            account.password = hashed
        return account

    async def is_current(self, account: Account) -> bool:
        """Whether the account's password is still the one that ``verify`` saw."""
        now = await self._store.get_account(account.user_id)
        return now is not None and now.password == account.password

    @waits_in_threads
    async def change_password(self, user_id: str, password: str, new_password: str) -> Account:
        """Set a new password. Raises ``InvalidCredentials`` if ``password`` isn't the current one.

        This ends no session; the method ``account.update`` does.
        """
        account, hashed = await self.prepare_change(user_id, password, new_password)
        await self.replace_password(account, hashed)
        return account

    async def prepare_change(self, user_id: str, password: str, new_password: str) -> tuple[Account, str]:
        """The account and the hash of its new password, which ``replace_password`` takes."""
        hashed = await self._hash("new_password", new_password)
        return await self.verify(user_id, password), hashed

    async def replace_password(self, account: Account, hashed: str) -> None:
        """Store the hash of a new password. Raises ``InvalidCredentials`` if another change came first."""
        assert account.password is not None
        if not await self._store.replace_password(account.user_id, account.password, hashed):
            raise InvalidCredentials  # the password that was verified is no longer the current one
        account.password = hashed

    async def _find(self, user_id: str) -> Account | None:
        """The account of a user id, as it is stored now or was in version 0.1.

        An id that may be stored in two forms is always looked up twice: the time tells nobody who exists.
        """
        found = [await self._store.get_account(one) for one in known_as(user_id)]
        return next((account for account in found if account is not None), None)

    def _seen(self, account: Account | None) -> UserAccount | None:
        return None if account is None else UserAccount(self._store, account)

    async def _hash(self, name: str, password: str) -> str:
        hashed = opaque(require_text(name, password))
        if not self._password_min_length <= len(hashed.encode()) <= MAX_BYTES:
            raise InvalidParameters(f"A password must have {self._password_min_length} to {MAX_BYTES} bytes.")
        return await self._passwords.hash(password)


class UserAccount(MutableMapping[str, Any]):
    """An account as a method sees it: a mapping of its custom fields, in which a missing key reads as None.

    Changes are kept here until ``save``. ``user_id`` can be read but not set, and the hash of the password is
    not in the mapping.
    """

    def __init__(self, store: AccountStore, account: Account) -> None:
        self._user_id = account.user_id
        self._store = store
        self._values = account.values
        self._changes: dict[str, Any] = {}

    @property
    def user_id(self) -> str:
        """The user that the account belongs to."""
        return self._user_id

    @waits_in_threads
    async def load(self, *names: str) -> None:
        """Read these fields again, or all of them; unsaved changes to them are dropped."""
        account = await self._store.get_account(self.user_id)
        values = {} if account is None else account.values
        for name in names or {**self._values, **self._changes, **values}:
            self._changes.pop(name, None)
            if name in values:
                self._values[name] = values[name]
            else:
                self._values.pop(name, None)

    @waits_in_threads
    async def save(self) -> None:
        """Write the fields that were set, and keep what others wrote to other fields."""
        changes = dict(self._changes)
        if not changes:
            return
        if not await self._store.update_account(self.user_id, changes):
            raise InvalidUserID("The account is gone.")
        self._values.update(changes)
        for name, value in changes.items():
            if self._changes.get(name) is value:  # else it was set again during the save
                del self._changes[name]

    def __getitem__(self, name: str) -> Any:
        if name == "user_id":
            return self.user_id
        return self._changes.get(name, self._values.get(name))

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, or ``default`` if it isn't set."""
        return self[name] if name in self else default  # noqa: SIM401 # which would call itself

    def __setitem__(self, name: str, value: Any) -> None:
        if name in RESERVED:
            raise KeyError(f"{name!r} cannot be set through an account's values")
        self._changes[name] = value

    def __delitem__(self, name: str) -> None:
        self[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter({"user_id": None, **self._values, **self._changes})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name == "user_id" or name in self._changes or name in self._values


RESERVED = frozenset({"user_id", "password", "new_password", "session_id"})
"""Names that a custom field can't have."""


def account_values(parameters: Mapping[str, Any], allowed: frozenset[str]) -> dict[str, Any]:
    """The custom fields among parameters. Raises ``InvalidParameters`` that names those not ``allowed``."""
    values = {name: value for name, value in parameters.items() if name not in RESERVED}
    if unknown := values.keys() - allowed:
        names = [shortened(name) for name in sorted(unknown)[:MAX_NAMED]]
        more = ", ..." if len(unknown) > MAX_NAMED else ""
        raise InvalidParameters(f"Unknown account fields: {', '.join(names)}{more}")
    return values
