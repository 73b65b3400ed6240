"""The roles of accounts: which there may be, who sets them, and that nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import argon2
import pytest

from toto_aio import methods, open_service
from toto_aio.auth.account_fields import account_values
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.roles import MAX_ROLES, STORED, role_names
from toto_aio.exceptions import InvalidParameters, InvalidUserID
from toto_aio.models import Account
from toto_aio.settings import SettingsError
from toto_aio.stores import Store
from toto_aio.stores.memory import MemoryStore

NO_ROLES: list[Any] = [
    *("admin", b"admin", 1, None, {"admin": True}),
    *([""], ["a b"], ["a\n"], ["\u00e4"], ["x" * 65], [b"admin"], [None], [["admin"]]),
    [str(number) for number in range(MAX_ROLES + 1)],
]
"""What are no roles."""


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Hashes that are cheap to compute."""
    passwords = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield passwords
    passwords.close()


def test_names() -> None:
    """They are sorted, each once; up to 64 names of up to 64 characters."""
    assert role_names(["editor", "admin", "editor"]) == ("admin", "editor")
    assert role_names({"a:b.c-d_E9", "x" * 64}) == ("a:b.c-d_E9", "x" * 64)
    assert role_names([]) == ()
    assert len(role_names(f"r{number % MAX_ROLES}" for number in range(1000))) == MAX_ROLES
    for wrong in NO_ROLES:
        with pytest.raises(ValueError, match="roles: write "):
            role_names(wrong)


async def test_roles_are_kept(store: Store, passwords: Passwords) -> None:
    """What was set last is read from every copy, however the user id is written, and listed."""
    accounts = Accounts(store, passwords)
    created = await accounts.create("Ada", None, name="Ada")
    await accounts.create("eve", None)
    assert created["roles"] == ()
    await accounts.set_roles(" ADA", ["editor", "admin", "editor"])
    found = await accounts.get("ada")
    assert found is not None
    assert found.roles == found["roles"] == found.get("roles") == ("admin", "editor")
    assert dict(found) == {"user_id": "ada", "name": "Ada"}
    assert [account.roles for account in (await accounts.list()).accounts] == [("admin", "editor"), ()]
    assert created["roles"] == ()
    await created.load("name")
    assert created.roles == ("admin", "editor")
    await accounts.set_roles("ada", [])
    assert (await accounts.get("ada") or found).roles == ()
    assert found.roles == ("admin", "editor")


async def test_nobody_has_no_roles(store: Store, passwords: Passwords) -> None:
    """There must be an account, now; one that gets the user id of a deleted one begins without roles."""
    accounts = Accounts(store, passwords)
    for user_id in ("ada", ""):
        with pytest.raises(InvalidUserID):
            await accounts.set_roles(user_id, ["admin"])
    account = await accounts.create("ada", None)
    await accounts.set_roles("ada", ["admin"])
    await accounts.delete("ada")
    await account.load()
    assert account.roles == ()
    again = await accounts.create("ada", None)
    await again.load()
    assert again.roles == ()


async def test_an_account_that_is_deleted_meanwhile(passwords: Passwords) -> None:
    """It is an error, as if it had been deleted before."""

    class Gone(MemoryStore):
        async def update_account(self, *args: Any, **kwargs: Any) -> bool:
            return False

    accounts = Accounts(Gone(), passwords)
    await accounts.create("ada", None)
    with pytest.raises(InvalidUserID):
        await accounts.set_roles("ada", ["admin"])


async def test_wrong_names(passwords: Passwords) -> None:
    """They are refused as parameters, which they may be, and nothing is changed."""
    accounts = Accounts(MemoryStore(), passwords)
    account = await accounts.create("ada", None)
    await accounts.set_roles("ada", ["admin"])
    for wrong in NO_ROLES:
        with pytest.raises(InvalidParameters, match="roles: write "):
            await accounts.set_roles("ada", wrong)
    await account.load()
    assert account.roles == ("admin",)


async def test_saves_at_the_same_time(store: Store, passwords: Passwords) -> None:
    """Neither the custom fields nor the roles are lost, nor the password."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", "correct horse")

    async def save(number: int) -> None:
        account = await accounts.get("ada")
        assert account is not None
        account[f"field{number}"] = number
        await account.save()

    roles = [f"role{number}" for number in range(5)]
    sets = (accounts.set_roles("ada", [*roles[:number], "admin"]) for number in range(5))
    changed = accounts.change_password("ada", "correct horse", "battery staple")
    await asyncio.gather(*map(save, range(5)), *sets, changed)
    account = await accounts.get("ada")
    assert account is not None
    assert {account[f"field{number}"] for number in range(5)} == set(range(5))
    assert "admin" in account.roles
    assert await accounts.verify("ada", "battery staple")


async def test_no_custom_field_is_a_role(passwords: Passwords) -> None:
    """Values of an account set none: neither those of a client, nor an author's, nor the option."""
    store = MemoryStore()
    accounts = Accounts(store, passwords, fields=["name"])
    account = await accounts.create("ada", None)
    for name in ("roles", STORED):
        with pytest.raises(InvalidParameters, match=f"Unknown account fields: {name}"):
            account_values({name: ["admin"]}, accounts.fields)
        with pytest.raises(KeyError, match=name):
            account[name] = ["admin"]
        with pytest.raises(KeyError, match=name):
            account.update({"name": "Ada", name: ["admin"]})
        with pytest.raises(KeyError, match=name):
            await accounts.create("eve", None, **{name: ["admin"]})
        with pytest.raises(SettingsError, match=f"account_fields: '{name}' is no custom field"):
            Accounts(store, passwords, fields=["name", name])
    await account.save()
    await account.load()
    assert account.roles == ()
    assert await accounts.get("eve") is None


async def test_a_custom_field_of_earlier_versions(passwords: Passwords) -> None:
    """A field that was called ``roles``, and that a client may have set, gives none, and is not shown."""
    store = MemoryStore()
    accounts = Accounts(store, passwords)
    await store.add_account(Account("ada", None, {"roles": ["admin"], "name": "Ada"}))
    account = await accounts.get("ada")
    assert account is not None
    assert account["roles"] == ()
    assert dict(account) == {"user_id": "ada", "name": "Ada"}
    await accounts.set_roles("ada", ["editor"])
    await account.load()
    assert account.roles == ("editor",)


async def test_the_option_is_refused_at_the_start() -> None:
    """No service starts whose clients could set what isn't theirs."""
    for name in ("roles", STORED, "user_id", "password"):
        with pytest.raises(SettingsError, match=f"account_fields: '{name}'"):
            async with open_service(database="memory://", method_module=methods, account_fields=[name]):
                raise AssertionError(name)
