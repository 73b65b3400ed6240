"""The rules of accounts: which user ids and passwords are valid, how a password is checked and changed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

from toto_aio.auth.account_change import changing
from toto_aio.auth.account_fields import RESERVED, require_custom, require_storable
from toto_aio.auth.api_key import KIND as API_KEYS
from toto_aio.auth.audit import Action, Audit, RefusedAccount
from toto_aio.auth.birth import STORED as BIRTH
from toto_aio.auth.birth import credentials_of, new_birth
from toto_aio.auth.ends import Ends
from toto_aio.auth.passwords import MAX_BYTES, Match, Passwords, opaque
from toto_aio.auth.roles import STORED, role_names
from toto_aio.auth.text import require_text
from toto_aio.auth.user_account import UserAccount
from toto_aio.auth.user_ids import exact_user_id, former_user_id, known_as, new_user_id
from toto_aio.auth.verified_addresses import VerifiedAddresses
from toto_aio.exceptions import (
    InvalidCredentials,
    InvalidParameters,
    InvalidUserID,
    Unavailable,
    UserIDExists,
    described,
)
from toto_aio.models import Account
from toto_aio.settings import SettingsError
from toto_aio.stores import AccountStore, SessionStore
from toto_aio.stores.records import records_of
from toto_aio.threads import waits_in_threads

__all__ = ["AccountPage", "Accounts"]

logger = logging.getLogger(__name__)

MAX_PAGE = 1000
"""The most accounts of a page."""


class Accounts:
    """The accounts of a service: rules over an ``AccountStore``. Clients may set the custom ``fields``.

    ``ends`` ends the sessions of an account, which by default are in the same store.
    """

    def __init__(
        self,
        store: AccountStore,
        passwords: Passwords,
        *,
        fields: Iterable[str] = (),
        password_min_length: int = 8,
        ends: Ends | None = None,
        audit: Audit | None = None,
    ) -> None:
        self.audit = audit or Audit()
        self.fields = frozenset(fields)
        if reserved := sorted(self.fields & RESERVED):
            raise SettingsError(f"account_fields: {reserved[0]!r} is no custom field: leave it out")
        self._store = store
        self.records = records_of(store)
        self._addresses = VerifiedAddresses(self.records, store)
        self._passwords = passwords
        self._ends = ends or Ends(cast(SessionStore, store))
        self._password_min_length = password_min_length

    @waits_in_threads
    async def create(self, user_id: str, password: str | None, /, **values: Any) -> UserAccount:
        """Create an account with custom fields; without a password (None) nobody can log in with one.

        Raises ``UserIDExists``, ``InvalidUserID``, ``InvalidParameters`` for a password that is too short or
        too long, what ``save`` of an account raises, and ``KeyError`` for ``roles`` (``set_roles``).
        """
        for name in values:
            require_custom(name)
        new_id = new_user_id(user_id)
        require_storable(values)
        hashed = None if password is None else await self._hash("password", password)
        if former_user_id(user_id) != new_id and await self._find(user_id) is not None:
            raise UserIDExists
        account = Account(new_id, hashed, {**values, BIRTH: new_birth()})
        with self.audit.recording(Action.ACCOUNT_CREATED, new_id):
            if await self._store.get_account(new_id) is None:
                await self.records.remove_records(new_id)  # if a deletion was cut off before it did so
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
    async def delete(self, user_id: str) -> bool:
        """Delete an account and its records, and end its sessions, whose sockets are closed in every process.

        ``user_id`` is that of the account, in lower or upper case: another way to write it deletes nothing,
        as it may be the id of an account that has been deleted before.

        Returns False if there was no account; the rest is done anyway, so a deletion that was cut off can be
        repeated. Raises ``Unavailable``: then either nothing is deleted, or the account, and none of its
        sessions is valid any more, even if the user id is given to somebody else.
        """
        stored_as = exact_user_id(user_id)
        if not stored_as:  # the sessions of "" are those of strangers
            return False
        with self.audit.recording(Action.ACCOUNT_DELETED, stored_as) as happening:
            async with changing(self._ends, stored_as):
                await self.records.remove_records(stored_as, API_KEYS)  # none may outlive the account
                happening.happened = await self._store.remove_account(stored_as)
                await self.records.remove_records(stored_as)
                await self._ends.tell({"user_id": stored_as, "keep": ""})  # keys have sockets too
                await self._end_rest(stored_as, "The account is deleted.")
        return happening.happened

    @waits_in_threads
    async def set_password(self, user_id: str, new_password: str) -> None:
        """Set a password without knowing the old one, or the first one, and end the account's sessions.

        ``user_id`` is that of the account, as for ``delete``. Check before that the caller may do so. Raises
        ``InvalidUserID`` without account, ``InvalidParameters`` for a password that is too short or too long,
        and ``Unavailable``: then either nothing is changed, or the password, and no session from before is
        valid any more.
        """
        await self._set_password(Action.PASSWORD_SET, user_id, new_password)

    async def reset_password(self, user_id: str, new_password: str, mark: str) -> None:
        """Set the password of a user who has shown a code, while ``password_mark`` is still ``mark``.

        Raises ``InvalidCredentials``, and changes nothing, if the account has got another password.
        """
        await self._set_password(Action.PASSWORD_RESET, user_id, new_password, mark)

    async def _set_password(
        self, action: Action, user_id: str, new_password: str, mark: str | None = None
    ) -> None:
        hashed = await self._hash("new_password", new_password)
        stored_as = exact_user_id(user_id)

        async def current() -> Account:
            account = existing(await self._store.get_account(stored_as))
            if mark is not None and _mark(account) != mark:
                raise InvalidCredentials("The password has been changed: ask for a new code.")
            return account

        async def check() -> None:
            await current()

        await check()
        with self.audit.recording(action, stored_as):
            # Sessions end only for a code that is still worth something.
            async with changing(self._ends, stored_as, check=None if mark is None else check):
                while True:
                    account = await current()
                    if await self._store.replace_password(account.user_id, account.password, hashed):
                        break  # otherwise another change, or a login with an outdated hash, came first
                await self._end_rest(stored_as, "The password is set.")

    @waits_in_threads
    async def set_roles(self, user_id: str, roles: Iterable[str]) -> None:
        """Give an account these roles, and no others: ``set_roles("ada", ["admin"])``.

        Check before that the caller may do so. They count from the next call on, in every process and on open
        sockets. A role has 1 to 64 letters, digits, ``_``, ``.``, ``:`` and ``-``; an account has at most 64.
        Raises ``InvalidUserID`` without account, and ``InvalidParameters`` for other names.
        """
        try:
            names = role_names(roles)
        except ValueError as exc:
            raise InvalidParameters(str(exc)) from None
        account = existing(await self._find(user_id))
        with self.audit.recording(Action.ROLES_SET, account.user_id, roles=list(names)):
            if not await self._store.update_account(account.user_id, {STORED: list(names)}):
                existing(None)  # it has just been deleted

    @waits_in_threads
    async def email(self, user_id: str) -> str | None:
        """The address of mail that an account has verified, or None."""
        account = await self._find(user_id)
        return None if account is None else await self._addresses.of(account.user_id)

    async def password_mark(self, user_id: str) -> str:
        """A text that is another one once the account has another password, or is another one; "" without."""
        account = await self._store.get_account(user_id)
        return "" if account is None else _mark(account)

    @waits_in_threads
    async def verify(self, user_id: str, password: str | None) -> Account:
        """The account, if the password is right; replaces an outdated hash. Raises ``InvalidCredentials``."""
        password = require_text("password", password)
        account = await self._find(user_id)
        match = await self._passwords.verify(password, account.password if account else None)
        if match is Match.NONE:
            raise RefusedAccount(account.user_id if account else "")
        assert account is not None
        assert account.password is not None
        if match is Match.OUTDATED:
            hashed = await self._passwords.hash(password)
            try:
                if not await self._store.replace_password(account.user_id, account.password, hashed):
                    return await self.verify(user_id, password)  # another login or a change came first
            except Unavailable as exc:  # the database may only answer reads: a later login replaces it
                reason = described(exc.__cause__ or exc)
                logger.warning("an outdated hash of a password cannot be replaced: %s", reason)
            else:
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

    @waits_in_threads
    async def list(self, cursor: str | None = None, limit: int = 100) -> AccountPage:
        """At most ``limit`` accounts, in the order of their user ids, and the ``cursor`` of the next page.

        The cursor is None on the last page. An account that is added or deleted meanwhile shifts no other
        one. ``limit`` is 1 to 1,000.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit: write 1 to {MAX_PAGE}, not {limit!r}")
        found = await self._store.list_accounts(require_text("cursor", cursor or ""), limit)
        accounts = [UserAccount(self._store, account) for account in found]
        return AccountPage(accounts, found[-1].user_id if len(found) == limit else None)

    async def _end_rest(self, user_id: str, done: str) -> None:
        """End sessions that were stored during a change; ``done`` says what is changed, if that fails."""
        try:
            await self._ends.end_all(user_id)
        except Unavailable as exc:
            raise Unavailable(f"{done} New sessions of the user are refused for a minute.") from exc

    async def _find(self, user_id: str) -> Account | None:
        """The account of a user id, as it is stored now or was in version 0.1.

        An id that may be stored in two forms is always looked up twice: the time tells nobody who exists.
        """
        found = [await self._store.get_account(one) for one in known_as(user_id)]
        return next((account for account in found if account is not None), None)

    def _seen(self, account: Account | None) -> UserAccount | None:
        return None if account is None else UserAccount(self._store, account)

    def require_password(self, name: str, password: str) -> None:
        """Raise ``InvalidParameters`` for a new password that is too short or too long."""
        size = len(opaque(require_text(name, password)).encode())
        if not self._password_min_length <= size <= MAX_BYTES:
            raise InvalidParameters(f"A password must have {self._password_min_length} to {MAX_BYTES} bytes.")

    async def _hash(self, name: str, password: str) -> str:
        self.require_password(name, password)
        return await self._passwords.hash(password)


def _mark(account: Account) -> str:
    return hashlib.sha256(credentials_of(account).encode()).hexdigest()


def existing(account: Account | None) -> Account:
    """The account. Raises ``InvalidUserID`` if it doesn't exist."""
    if account is None:
        raise InvalidUserID("There is no such account.")
    return account


class AccountPage(NamedTuple):
    """A part of the accounts, and where to go on: give ``cursor`` to ``list`` for the next one."""

    accounts: Sequence[UserAccount]
    cursor: str | None
