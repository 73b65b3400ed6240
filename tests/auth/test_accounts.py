"""The rules of accounts: user ids, passwords, and an account as a method sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import argon2
import pytest

from toto_aio.auth.account_fields import account_values
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.session_state import MAX_SIZE
from toto_aio.exceptions import (
    InvalidCredentials,
    InvalidParameters,
    InvalidUserID,
    Unavailable,
    UserIDExists,
)
from toto_aio.models import Account
from toto_aio.stores import Store
from toto_aio.stores.memory import MemoryStore

PASSWORD = "correct horse"
NOT_TEXT: list[Any] = [{"$gt": ""}, {}, 0, 1, 1.5, True, False, None, [], ["ada"], b"ada bytes"]
TOTO = [
    ("cloadm", "$p5k2$$exec$r1EWMCMk7Rlv3L/RNcFXviDefYa0hlql"),
    ("gnu", "$p5k2$c$u9HvcT4d$Sd1gwSVCLZYAuqZ25piRnbBEoAesaa/g"),
    ("dcl", "$p5k2$d$tUsch7fU$nqDkaxMDOFBeJsTSfABsyn.PYUXilHwL"),
    ("\u0399\u03c9\u03b1\u03bd\u03bd\u03b7\u03c2", "$p5k2$$KosHgqNo$9mjN8gqjt02hDoP0c2J0ABtLIwtot8cQ"),
]
"""Passwords and their hashes from the self-test of PBKDF2.py 1.3, the module that Toto used."""


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Hashes that are cheap to compute."""
    passwords = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield passwords
    passwords.close()


class Recorder(MemoryStore):
    """An in-memory store that records which of its operations were called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def get_account(self, user_id: str) -> Account | None:
        self.calls.append("get")
        return await super().get_account(user_id)

    async def add_account(self, account: Account) -> None:
        self.calls.append("add")
        await super().add_account(account)

    async def update_account(self, *args: Any, **kwargs: Any) -> bool:
        self.calls.append("update")
        return await super().update_account(*args, **kwargs)


class Held:
    """A store whose first change of an account waits for ``go``; ``reached`` is set when it is waiting."""

    def __init__(self, store: Store) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self._store = store

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)
        if name.startswith(("get_", "add_")) or name.endswith("_records"):
            return operation

        async def held(*args: Any, **kwargs: Any) -> Any:
            if not self.reached.is_set():
                self.reached.set()
                await self.go.wait()
            return await operation(*args, **kwargs)

        return held


# User ids


async def test_user_ids_are_lower_cased(store: Store, passwords: Passwords) -> None:
    """However a user id is written, it means the same account and is stored in lower case."""
    accounts = Accounts(store, passwords)
    created = await accounts.create("Ada GRÜßE", PASSWORD)
    assert created.user_id == "ada grüße"
    assert await store.get_account("Ada GRÜßE") is None
    assert await store.get_account("ada grüße") is not None
    found = await accounts.get("ADA grüße")
    assert found is not None
    assert found.user_id == "ada grüße"
    assert (await accounts.verify("aDA Grüße", PASSWORD)).user_id == "ada grüße"
    assert (await accounts.change_password("ADA GRÜßE", PASSWORD, "battery staple")).user_id == "ada grüße"
    with pytest.raises(UserIDExists):
        await accounts.create("ADA GRÜßE", PASSWORD)


async def test_user_ids_keep_the_rest(store: Store, passwords: Passwords) -> None:
    """Spaces within and letters of other scripts make different accounts."""
    accounts = Accounts(store, passwords)
    ids = ["abc", "a b c", "äbc", "ада", "a@example.org", "a.b/c\\d'e\"f;--%_"]
    for user_id in ids:
        await accounts.create(user_id, None, id=user_id)
    for user_id in ids:
        account = await accounts.get(user_id)
        assert account is not None
        assert (account.user_id, account["id"]) == (user_id, user_id)


async def test_ids_that_look_the_same_are_one_account(store: Store, passwords: Passwords) -> None:
    """Whichever characters a keyboard sends for an id, they mean one account, and nobody can make another."""
    accounts = Accounts(store, passwords)
    assert (await accounts.create("Jose\u0301 ", PASSWORD)).user_id == "jos\u00e9"
    for text in ("jos\u00e9", "JOSE\u0301", "jos\u00e9\u034f", "\uff4aos\u00e9", "\u2800jos\u00e9\u3000"):
        assert (await accounts.verify(text, PASSWORD)).user_id == "jos\u00e9", ascii(text)
        with pytest.raises(UserIDExists):
            await accounts.create(text, PASSWORD)


async def test_accounts_of_version_0_1(store: Store, passwords: Passwords) -> None:
    """An id that was stored in another form is found as it was written, and nobody can take its place."""
    accounts = Accounts(store, passwords)
    await store.add_account(Account("\uff41dmin", await passwords.hash(PASSWORD), {"name": "old"}))
    for text in ("\uff41dmin", "\uff21DMIN"):
        assert (await accounts.verify(text, PASSWORD)).user_id == "\uff41dmin"
        found = await accounts.get(text)
        assert found is not None
        found["seen"] = text
        await found.save()
        with pytest.raises(UserIDExists):
            await accounts.create(text, PASSWORD)
    await accounts.change_password("\uff41dmin", PASSWORD, "battery staple")
    assert await accounts.get("admin") is None
    await accounts.create("Admin", PASSWORD)  # which may be somebody else
    assert (await accounts.verify("\uff21dmin", "battery staple")).user_id == "\uff41dmin"
    assert (await accounts.verify("admin\u034f", PASSWORD)).user_id == "admin"
    stored = await store.get_account("\uff41dmin")
    assert stored is not None
    assert stored.values == {"name": "old", "seen": "\uff21DMIN"}


async def test_a_session_has_no_other_account_than_its_own(store: Store, passwords: Passwords) -> None:
    """Once an account of version 0.1 is gone, its id stands for no account that looks the same."""
    accounts = Accounts(store, passwords)
    await accounts.create("admin", PASSWORD)
    assert await accounts.get("\uff41dmin") is not None
    assert await accounts.of_session("\uff41dmin") is None
    found = await accounts.of_session("Admin")
    assert found is not None
    assert found.user_id == "admin"


async def test_how_often_an_id_is_looked_up(passwords: Passwords) -> None:
    """Once if there is one form of it, twice if there are two: whether or not the account exists."""
    store = Recorder()
    accounts = Accounts(store, passwords)
    await accounts.create("admin", PASSWORD)
    await store.add_account(Account("\uff45ve", None, {}))
    once, twice = ("Admin", "nobody", "\u00e4da"), ("\uff21dmin", "\uff45ve", "\uff4e", "admin ")
    for text, times in (*((text, 1) for text in once), *((text, 2) for text in twice)):
        store.calls.clear()
        await accounts.get(text)
        with pytest.raises(InvalidCredentials):
            await accounts.verify(text, "wrong horse")
        assert store.calls == ["get"] * times * 2, ascii(text)


async def test_nobody(store: Store, passwords: Passwords) -> None:
    """An unknown user id has no account, nor does an empty one."""
    accounts = Accounts(store, passwords)
    assert await accounts.get("ada") is None
    assert await accounts.get("") is None


@pytest.mark.parametrize("user_id", ["a" * 255, "é" * 127 + "a", "🦊" * 63 + "abc", "İ" * 255])
async def test_the_longest_user_ids(store: Store, passwords: Passwords, user_id: str) -> None:
    """255 bytes of UTF-8 are allowed, counted in the normal form."""
    accounts = Accounts(store, passwords)
    account = await accounts.create(user_id, PASSWORD)
    assert len(account.user_id.encode()) == 255
    assert (await accounts.verify(user_id, PASSWORD)).user_id == account.user_id


@pytest.mark.parametrize("user_id", ["a" * 256, "é" * 128, "🦊" * 64, "İ" * 256, "a" * 1_000_000])
async def test_longer_user_ids(passwords: Passwords, user_id: str) -> None:
    """They are refused wherever one is given, without querying a database."""
    store = Recorder()
    accounts = Accounts(store, passwords)
    for attempt in (
        accounts.create(user_id, PASSWORD),
        accounts.get(user_id),
        accounts.verify(user_id, PASSWORD),
        accounts.change_password(user_id, PASSWORD, "battery staple"),
    ):
        with pytest.raises(InvalidParameters, match="255 bytes"):
            await attempt
    assert store.calls == []


@pytest.mark.parametrize("value", [*NOT_TEXT, "lone \ud800 surrogate"], ids=repr)
async def test_what_is_no_text(passwords: Passwords, value: Any) -> None:
    """A user id or password that is not a Unicode string is refused, without querying a database."""
    store = Recorder()
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD)
    store.calls.clear()
    for attempt in (
        accounts.create(value, PASSWORD),
        accounts.get(value),
        accounts.verify(value, PASSWORD),
        accounts.verify("ada", value),
        accounts.change_password(value, PASSWORD, "battery staple"),
        accounts.change_password("ada", value, "battery staple"),
    ):
        with pytest.raises(InvalidParameters) as refused:
            await attempt
        assert refused.value.code == 1003
    if value is not None:  # an author's own method may use None for an account without a password
        with pytest.raises(InvalidParameters):
            await accounts.create("eve", value)
    assert store.calls == []
    with pytest.raises(InvalidParameters):
        await accounts.change_password("ada", PASSWORD, value)
    assert "update" not in store.calls
    assert await accounts.verify("ada", PASSWORD)


@pytest.mark.parametrize(
    "user_id",
    [
        "",
        "\n",
        "a\nb",
        "a\x00",
        "\x1b[31m",
        "a\x7f",
        "a\tb",
        "\u200b",
        "\u2800",
        "a\u2028b",
        " \ufeff",
    ],
    ids=ascii,
)
async def test_user_ids_that_no_account_can_have(passwords: Passwords, user_id: str) -> None:
    """Invisible or empty ones are refused when an account is created, and are merely unknown afterwards."""
    store = Recorder()
    accounts = Accounts(store, passwords)
    with pytest.raises(InvalidUserID) as refused:
        await accounts.create(user_id, PASSWORD)
    assert refused.value.as_dict() == {"code": 1010, "value": "Invalid user ID."}
    assert store.calls == []
    with pytest.raises(InvalidCredentials):
        await accounts.verify(user_id, PASSWORD)


# Passwords


@pytest.mark.parametrize("password", ["12345678", "x" * 1024, "é" * 4, "é" * 512, "a\x00\n\tbcdef", " " * 8])
async def test_passwords_of_the_right_length(store: Store, passwords: Passwords, password: str) -> None:
    """8 to 1,024 bytes of any content can be a password, and only that password is right."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", password)
    assert await accounts.verify("ada", password)
    for wrong in (password[:-1], password + "x", password.swapcase() + " "):
        with pytest.raises(InvalidCredentials):
            await accounts.verify("ada", wrong)


@pytest.mark.parametrize("password", ["", "1234567", "éée", "x" * 1025, "é" * 513, "x" * 1_000_000])
async def test_passwords_of_the_wrong_length(passwords: Passwords, password: str) -> None:
    """They cannot be set, and nothing is stored."""
    store = Recorder()
    accounts = Accounts(store, passwords)
    with pytest.raises(InvalidParameters, match="8 to 1024 bytes"):
        await accounts.create("ada", password)
    assert store.calls == []
    await accounts.create("ada", PASSWORD)
    with pytest.raises(InvalidParameters, match="8 to 1024 bytes"):
        await accounts.change_password("ada", PASSWORD, password)
    assert "update" not in store.calls


async def test_another_shortest_length(store: Store, passwords: Passwords) -> None:
    """``password_min_length`` moves the limit for new passwords, not for existing ones."""
    await Accounts(store, passwords).create("old", "12345678")
    accounts = Accounts(store, passwords, password_min_length=12)
    with pytest.raises(InvalidParameters, match="12 to 1024 bytes"):
        await accounts.create("ada", "12345678901")
    await accounts.create("ada", "123456789012")
    assert await accounts.verify("old", "12345678")


@pytest.mark.parametrize("password", ["", "x", "x" * 1025, "x" * 1_000_000, PASSWORD + "x" * 2000])
async def test_a_login_with_any_length(store: Store, passwords: Passwords, password: str) -> None:
    """A wrong password is wrong whatever its length: the error reveals nothing."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD)
    with pytest.raises(InvalidCredentials) as refused:
        await accounts.verify("ada", password)
    assert refused.value.as_dict() == {"code": 1005, "value": "Invalid user ID or password"}


async def test_no_password_is_cut(store: Store, passwords: Passwords) -> None:
    """The longest password followed by more text is a different password."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", "x" * 1024)
    with pytest.raises(InvalidCredentials):
        await accounts.verify("ada", "x" * 1025)


async def test_an_unknown_user(store: Store, passwords: Passwords) -> None:
    """The error is the same as for a wrong password."""
    with pytest.raises(InvalidCredentials) as refused:
        await Accounts(store, passwords).verify("ada", PASSWORD)
    assert refused.value.as_dict() == {"code": 1005, "value": "Invalid user ID or password"}


@pytest.mark.parametrize("password", ["", "None", "null", PASSWORD])
async def test_an_account_without_a_password(store: Store, passwords: Passwords, password: str) -> None:
    """No password opens it, and nobody can set one without knowing the current one."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", None)
    with pytest.raises(InvalidCredentials):
        await accounts.verify("ada", password)
    with pytest.raises(InvalidCredentials):
        await accounts.change_password("ada", password, "battery staple")


async def test_the_hash_is_salted_and_argon2id(store: Store, passwords: Passwords) -> None:
    """No part of a password is stored, and the same password has two hashes."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD)
    await accounts.create("eve", PASSWORD)
    ada, eve = await store.get_account("ada"), await store.get_account("eve")
    assert ada is not None
    assert ada.password is not None
    assert eve is not None
    assert ada.password.startswith("$argon2id$")
    assert ada.password != eve.password
    assert PASSWORD not in repr(ada)


@pytest.mark.parametrize(("password", "stored"), TOTO)
async def test_a_hash_of_totos(store: Store, passwords: Passwords, password: str, stored: str) -> None:
    """It is verified, and argon2id replaces it after the first login; the rest stays unchanged."""
    accounts = Accounts(store, passwords)
    await store.add_account(Account("ada", stored, {"name": "Ada"}))
    with pytest.raises(InvalidCredentials):
        await accounts.verify("ada", password + "x")
    assert await store.get_account("ada") == Account("ada", stored, {"name": "Ada"})
    await accounts.verify("ada", password)
    account = await store.get_account("ada")
    assert account is not None
    assert account.password is not None
    assert account.password.startswith("$argon2id$")
    assert account.values == {"name": "Ada"}
    await accounts.verify("ada", password)
    assert await store.get_account("ada") == account
    with pytest.raises(InvalidCredentials):
        await accounts.verify("ada", password + "x")


@pytest.mark.parametrize(
    "stored",
    ["", "plain", "$p5k2$", "$p5k2$$$", "$p5k2$zz$salt$x", "$p5k2$0$salt$x", "$argon2id$", "$1$x$y", "é"],
)
async def test_a_broken_hash(store: Store, passwords: Passwords, stored: str) -> None:
    """It matches no password, not even itself."""
    accounts = Accounts(store, passwords)
    await store.add_account(Account("ada", stored))
    for password in ("", stored, PASSWORD):
        with pytest.raises(InvalidCredentials):
            await accounts.verify("ada", password)


async def test_changed_parameters(store: Store, passwords: Passwords) -> None:
    """A hash with other parameters is replaced at the next successful login, not at a failed one."""
    await Accounts(store, passwords).create("ada", PASSWORD)
    stronger = Passwords(argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    accounts = Accounts(store, stronger)
    with pytest.raises(InvalidCredentials):
        await accounts.verify("ada", "wrong password")
    account = await store.get_account("ada")
    assert account is not None
    assert account.password is not None
    assert "m=8,t=1" in account.password
    await accounts.verify("ada", PASSWORD)
    account = await store.get_account("ada")
    assert account is not None
    assert account.password is not None
    assert "m=16,t=2" in account.password
    await accounts.verify("ada", PASSWORD)
    assert await store.get_account("ada") == account
    stronger.close()


async def test_a_current_hash_is_left_alone(passwords: Passwords) -> None:
    """A login writes nothing if there is nothing to replace."""
    store = Recorder()
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD)
    await accounts.verify("ada", PASSWORD)
    assert "update" not in store.calls


async def test_a_password_is_changed(store: Store, passwords: Passwords) -> None:
    """The new password is right and the old one wrong; the values stay unchanged."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD, name="Ada")
    await accounts.change_password("ada", PASSWORD, "battery staple")
    with pytest.raises(InvalidCredentials):
        await accounts.verify("ada", PASSWORD)
    assert (await accounts.verify("ada", "battery staple")).values["name"] == "Ada"


async def test_a_change_needs_the_current_password(store: Store, passwords: Passwords) -> None:
    """With a wrong password, or for an unknown user, nothing changes."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD)
    before = await store.get_account("ada")
    for user_id, password in (("ada", "wrong password"), ("ada", ""), ("eve", PASSWORD)):
        with pytest.raises(InvalidCredentials):
            await accounts.change_password(user_id, password, "battery staple")
    assert await store.get_account("ada") == before
    assert await store.get_account("eve") is None


async def test_a_new_hash_does_not_undo_a_password_change(store: Store, passwords: Passwords) -> None:
    """A login that replaces an old hash during a password change does not bring the old password back."""
    held: Any = Held(store)
    accounts = Accounts(held, passwords)
    password, stored = TOTO[0]
    await store.add_account(Account("ada", stored))
    login = asyncio.create_task(accounts.verify("ada", password))
    await held.reached.wait()  # it has verified the old password and is about to store its new hash
    await accounts.change_password("ada", password, "battery staple")
    held.go.set()
    await asyncio.gather(login, return_exceptions=True)
    assert await accounts.verify("ada", "battery staple")
    with pytest.raises(InvalidCredentials):
        await accounts.verify("ada", password)


async def test_of_two_changes_at_once_one_counts(store: Store, passwords: Passwords) -> None:
    """The second change does not have the password that is current by then."""
    held: Any = Held(store)
    accounts = Accounts(held, passwords)
    await accounts.create("ada", PASSWORD)
    late = asyncio.create_task(accounts.change_password("ada", PASSWORD, "late password"))
    await held.reached.wait()
    await accounts.change_password("ada", PASSWORD, "battery staple")
    held.go.set()
    with pytest.raises(InvalidCredentials):
        await late
    assert await accounts.verify("ada", "battery staple")


# An account as a method sees it


async def test_values(store: Store, passwords: Passwords) -> None:
    """The values that an account was created with are there; a missing one reads as None."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD, name="Ada", tags=["a", {"b": None}], zero=0)
    account = await accounts.get("ada")
    assert account is not None
    assert (account["name"], account["tags"], account["zero"]) == ("Ada", ["a", {"b": None}], 0)
    assert account["missing"] is None
    assert "name" in account
    assert "missing" not in account
    assert dict(account) == {"user_id": "ada", "name": "Ada", "tags": ["a", {"b": None}], "zero": 0}
    assert len(account) == 4


async def test_values_of_any_name(store: Store, passwords: Passwords) -> None:
    """No name that an operator may allow collides with a Python name."""
    names = {"self": 1, "class": 2, "a b": 3, "items": 4, "__class__": 5, "": 6, "values": 7}
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD, **names)
    account = await accounts.get("ada")
    assert account is not None
    assert dict(account) == {"user_id": "ada", **names}


async def test_the_user_id_can_only_be_read(store: Store, passwords: Passwords) -> None:
    """It cannot be changed, neither as a key nor as an attribute."""
    account: Any = await Accounts(store, passwords).create("ada", PASSWORD)
    assert (account.user_id, account["user_id"], "user_id" in account) == ("ada", "ada", True)
    with pytest.raises(KeyError):
        account["user_id"] = "eve"
    with pytest.raises(KeyError):
        del account["user_id"]
    with pytest.raises(AttributeError):
        account.user_id = "eve"
    assert account["user_id"] == "ada"


async def test_the_password_is_never_visible(store: Store, passwords: Passwords) -> None:
    """Neither the password nor its hash is among the values, and neither can be set there."""
    accounts = Accounts(store, passwords)
    for account in (await accounts.create("ada", PASSWORD), await accounts.get("ada")):
        assert account is not None
        await account.load()
        await account.load("password", "user_id")
        assert account["password"] is None
        assert "password" not in account
        assert dict(account) == {"user_id": "ada"}
        assert "argon2" not in repr(account) + str(vars(account))
        with pytest.raises(KeyError):
            account["password"] = "hash"
        with pytest.raises(KeyError):
            account.update({"password": "hash"})
        await account.save()
    assert await accounts.verify("ada", PASSWORD)


async def test_the_other_ways_of_a_dictionary(store: Store, passwords: Passwords) -> None:
    """A missing key returns the given default, as in any dictionary."""
    account = await Accounts(store, passwords).create("ada", PASSWORD, name="Ada", none=None)
    assert account.get("name", "x") == "Ada"
    assert account.get("missing") is None
    assert account.get("missing", 5) == 5
    assert account.get("none", 5) is None
    assert account.pop("name") == "Ada"
    assert account["name"] is None


async def test_changes_are_saved(store: Store, passwords: Passwords) -> None:
    """A value that was set is visible here immediately, and to others once it is saved."""
    accounts = Accounts(store, passwords)
    account = await accounts.create("ada", PASSWORD, name="Ada", kept=1)
    account["name"] = "Augusta"
    account.update({"born": 1815})
    other = await accounts.get("ada")
    assert other is not None
    assert (account["name"], account["born"], other["name"], other["born"]) == ("Augusta", 1815, "Ada", None)
    await account.save()
    await other.load()
    for seen in (account, other):
        assert dict(seen) == {"user_id": "ada", "name": "Augusta", "kept": 1, "born": 1815}
    assert await accounts.verify("ada", PASSWORD)


async def test_a_deleted_value_reads_as_none(store: Store, passwords: Passwords) -> None:
    """Immediately, and after it was saved and read again."""
    accounts = Accounts(store, passwords)
    account = await accounts.create("ada", PASSWORD, name="Ada")
    del account["name"]
    assert account["name"] is None
    await account.save()
    again = await accounts.get("ada")
    assert again is not None
    assert again["name"] is None


async def test_a_save_keeps_what_others_wrote(store: Store, passwords: Passwords) -> None:
    """Only the values that were set are written, even when both save at the same time."""
    accounts = Accounts(store, passwords)
    await accounts.create("ada", PASSWORD, a=0, b=0, c=0)
    one, two = await accounts.get("ada"), await accounts.get("ada")
    assert one is not None
    assert two is not None
    one["a"], two["b"] = 1, 2
    await asyncio.gather(one.save(), two.save())
    await accounts.change_password("ada", PASSWORD, "battery staple")
    one["c"] = 3
    await one.save()
    await two.load()
    assert dict(two) == {"user_id": "ada", "a": 1, "b": 2, "c": 3}
    assert await accounts.verify("ada", "battery staple")


async def test_a_save_without_changes_writes_nothing(passwords: Passwords) -> None:
    """A second save does not write again what the first one wrote."""
    store = Recorder()
    account = await Accounts(store, passwords).create("ada", PASSWORD)
    await account.save()
    assert "update" not in store.calls
    account["a"] = 1
    await account.save()
    await account.save()
    assert store.calls.count("update") == 1


async def test_load_reads_anew(store: Store, passwords: Passwords) -> None:
    """It reads the named values, or all without names; unsaved changes to them are dropped."""
    accounts = Accounts(store, passwords)
    account = await accounts.create("ada", PASSWORD, a=0, b=0)
    other = await accounts.get("ada")
    assert other is not None
    other.update({"a": 1, "b": 1, "c": 1})
    await other.save()
    account["a"] = account["b"] = account["mine"] = 9
    await account.load("a", "c")
    assert dict(account) == {"user_id": "ada", "a": 1, "b": 9, "c": 1, "mine": 9}
    await account.load()
    assert dict(account) == {"user_id": "ada", "a": 1, "b": 1, "c": 1}
    await account.save()
    await other.load()
    assert dict(other) == {"user_id": "ada", "a": 1, "b": 1, "c": 1}


async def test_a_save_that_failed_can_be_tried_again(passwords: Passwords) -> None:
    """Values that could not be written are still pending, together with values set in the meantime."""

    class Failing(MemoryStore):
        fails = True

        async def update_account(self, *args: Any, **kwargs: Any) -> bool:
            if self.fails:
                raise Unavailable
            return await super().update_account(*args, **kwargs)

    store = Failing()
    accounts = Accounts(store, passwords)
    account = await accounts.create("ada", PASSWORD)
    account["a"] = account["b"] = 1
    with pytest.raises(Unavailable):
        await account.save()
    account["b"] = 2
    store.fails = False
    await account.save()
    again = await accounts.get("ada")
    assert again is not None
    assert dict(again) == {"user_id": "ada", "a": 1, "b": 2}


async def test_changes_during_a_save_are_kept(store: Store, passwords: Passwords) -> None:
    """A value set while a save is in progress is written by the next save, and reads as it was set."""
    held: Any = Held(store)
    accounts = Accounts(held, passwords)
    account = await accounts.create("ada", PASSWORD)
    account["a"] = account["b"] = 1
    save = asyncio.create_task(account.save())
    await held.reached.wait()
    assert (account["a"], account["b"]) == (1, 1)
    account["b"] = 2
    held.go.set()
    await save
    assert (account["a"], account["b"]) == (1, 2)
    await account.save()
    again = await accounts.get("ada")
    assert again is not None
    assert dict(again) == {"user_id": "ada", "a": 1, "b": 2}


# What clients may set


def test_allowed_values() -> None:
    """Only allowed names pass; parameters of the methods themselves are not among them."""
    parameters = {"user_id": "ada", "password": "x", "new_password": "y", "session_id": "z", "name": "Ada"}
    assert account_values(parameters, frozenset({"name", "other"})) == {"name": "Ada"}


def test_unknown_values() -> None:
    """The error names all of them."""
    with pytest.raises(InvalidParameters, match=r"admin, role$"):
        account_values({"role": 1, "name": 1, "admin": 1}, frozenset({"name"}))


async def test_fields_that_would_not_come_back(passwords: Passwords) -> None:
    """``create`` and ``save`` raise ``TypeError`` that names the field, and nothing is stored."""
    store = MemoryStore()
    accounts = Accounts(store, passwords)
    account = await accounts.create("ada", None, kept={"a": [1, 1.5, None, True, "ü", {}]})
    loop: list[Any] = []
    loop.append(loop)
    wrong = [
        b"x",
        (1,),
        {1},
        {1: 2},
        datetime.now(UTC),
        Decimal(1),
        2**63,
        float("nan"),
        "\ud800",
        object(),
        loop,
    ]
    for value in wrong:
        for nested in (value, [{"a": value}]):
            account["field"] = nested
            with pytest.raises(TypeError, match="The account can't be saved: 'field': "):
                await account.save()
            with pytest.raises(TypeError, match="'field'"):
                await accounts.create("eve", None, field=nested)
    account["field"] = "x" * MAX_SIZE
    with pytest.raises(ValueError, match=f"{MAX_SIZE} at most are kept"):
        await account.save()
    assert await store.get_account("eve") is None
    stored = await store.get_account("ada")
    assert stored is not None
    assert (stored.values["kept"], stored.version) == ({"a": [1, 1.5, None, True, "ü", {}]}, 1)
    account["field"] = "right"
    await account.save()
    # What a client sends is kept as JSON has it.
    assert account_values({"field": b"x"}, frozenset({"field"})) == {"field": "eA=="}


async def test_a_hash_that_cannot_be_replaced(passwords: Passwords, caplog: pytest.LogCaptureFixture) -> None:
    """A database that only answers reads lets users of Toto log in; a later login replaces the hash."""

    class ReadOnly(MemoryStore):
        async def replace_password(self, user_id: str, old: str | None, new: str) -> bool:
            raise Unavailable from OSError("read-only")

    store = ReadOnly()
    await store.add_account(Account("ada", "$p5k2$$exec$r1EWMCMk7Rlv3L/RNcFXviDefYa0hlql"))
    accounts = Accounts(store, passwords)
    account = await accounts.verify("ada", "cloadm")
    assert await accounts.is_current(account)
    assert "an outdated hash of a password cannot be replaced: OSError('read-only')" in caplog.text
    with pytest.raises(InvalidCredentials):
        await accounts.verify("ada", "wrong")
    with pytest.raises(Unavailable):
        await accounts.change_password("ada", "cloadm", "battery staple")
    again = MemoryStore()
    again._accounts = store._accounts
    assert (await Accounts(again, passwords).verify("ada", "cloadm")).password != account.password
