"""The contract of a store, run over every kind of store: each sentence of the Protocols in ``stores``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from tests.conftest import OTHER_DRIVERS, SERVER_KINDS, url_of
from tests.support.limits import WATCHDOG
from tests.support.reuse import empty_store, used_url
from tests.support.stores import LATER, NOW, make_session
from toto_aio.exceptions import UserIDExists
from toto_aio.models import Account
from toto_aio.stores import Store, portions

T = TypeVar("T")

USER_IDS = [
    "abc",
    "AbC",
    "abc ",
    " abc",
    "ab",
    "grüße",
    "gru\u0308ße",
    "ß",
    "ss",
    "日本語",
    "🦊",
    "a'b\"c",
    "%",
    "_",
]
"""Ids that a collation, a trim or a pattern would treat as the same."""

VALUES: dict[str, Any] = {
    "text": "grüße 🦊 日本語 '\"\\ \n",
    "empty": "",
    "integer": 2**63 - 1,
    "negative": -(2**63),
    "real": 0.1,
    "whole": 2.0,
    "true": True,
    "false": False,
    "null": None,
    "list": [1, "two", None, [3.5, []]],
    "nested": {"a": {"b": [{"c": None}], "": 1}, "dotted.name": 1, "$gt": ""},
    "dotted.name": 1,
    "$set": "name",
    "grüße 🦊": "name",
    "user": {"user_id": "x", "password": "y", "version": 9},
}
"""Values of every plain type, under names that mean something to some database."""


async def at_once(*coroutines: Coroutine[Any, Any, T]) -> list[T | BaseException]:
    """Start several operations at the same time, and return what each of them returned or raised."""
    return await asyncio.gather(*coroutines, return_exceptions=True)


def kind(value: Any) -> Any:
    """A value together with the types of everything in it, as 1, 1.0 and True are equal."""
    if isinstance(value, dict):
        return {name: kind(item) for name, item in value.items()}
    if isinstance(value, list):
        return [kind(item) for item in value]
    return type(value), value


@pytest.fixture(params=["memory", "sqlite", *SERVER_KINDS, *OTHER_DRIVERS])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty store of every kind, over every driver."""
    kind = OTHER_DRIVERS.get(request.param, request.param)
    async with empty_store(request.param, used_url(kind) or url_of(request, kind)) as store:
        yield store


# Accounts


async def test_an_account_is_kept(store: Store) -> None:
    """An account that was added is found, with its password hash and version 1."""
    account = Account("ada", "$argon2id$hash", {"name": "Ada"})
    await store.add_account(account)
    assert await store.get_account("ada") == Account("ada", "$argon2id$hash", {"name": "Ada"}, 1)


async def test_an_unknown_account_is_none(store: Store) -> None:
    """An account that nobody added does not exist."""
    assert await store.get_account("ada") is None
    assert await store.get_account("") is None


async def test_an_account_without_a_password(store: Store) -> None:
    """No password is stored as None, not as an empty one."""
    await store.add_account(Account("ada", None))
    account = await store.get_account("ada")
    assert account is not None
    assert (account.password, account.values) == (None, {})


async def test_the_values_of_an_account_keep_their_kinds(store: Store) -> None:
    """Nested values and unusual names are read as they were written, with their types."""
    await store.add_account(Account("ada", None, dict(VALUES)))
    account = await store.get_account("ada")
    assert account is not None
    assert kind(account.values) == kind(VALUES)


async def test_values_that_are_updated_keep_their_kinds(store: Store) -> None:
    """An update writes the same as an addition, whatever the names."""
    await store.add_account(Account("ada", None))
    assert await store.update_account("ada", VALUES) is True
    account = await store.get_account("ada")
    assert account is not None
    assert kind(account.values) == kind(VALUES)


async def test_an_account_is_a_copy(store: Store) -> None:
    """Changing an account object that was added or read does not change the store."""
    added = Account("ada", "hash", {"list": [1]})
    await store.add_account(added)
    added.values["list"].append(2)
    added.password = "other"
    read = await store.get_account("ada")
    assert read is not None
    read.values["list"].append(3)
    assert await store.get_account("ada") == Account("ada", "hash", {"list": [1]})


async def test_an_account_is_added_once(store: Store) -> None:
    """A second account with the same id is refused, and does not change the first."""
    await store.add_account(Account("ada", "first", {"n": 1}))
    with pytest.raises(UserIDExists):
        await store.add_account(Account("ada", "second", {"n": 2}))
    assert await store.get_account("ada") == Account("ada", "first", {"n": 1})


async def test_concurrent_additions_of_an_account(store: Store) -> None:
    """Of eight additions at the same time one succeeds, and seven raise ``UserIDExists``."""
    outcomes = await at_once(*(store.add_account(Account("ada", f"hash {n}", {"n": n})) for n in range(8)))
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, UserIDExists) for outcome in outcomes) == 7
    winner = outcomes.index(None)
    assert await store.get_account("ada") == Account("ada", f"hash {winner}", {"n": winner})


async def test_user_ids_compare_byte_for_byte(store: Store) -> None:
    """Ids that look alike are different accounts."""
    for n, user_id in enumerate(USER_IDS):
        await store.add_account(Account(user_id, None, {"n": n}))
    for n, user_id in enumerate(USER_IDS):
        assert await store.get_account(user_id) == Account(user_id, None, {"n": n})
    assert await store.get_account("ABC") is None
    assert await store.get_account("abc  ") is None


async def test_an_update_compares_byte_for_byte(store: Store) -> None:
    """An update changes only the account with exactly this id."""
    for user_id in ("abc", "AbC", "abc "):
        await store.add_account(Account(user_id, None))
    assert await store.update_account("AbC", {"n": 1}) is True
    assert await store.update_account("ABC", {"n": 2}) is False
    accounts = [await store.get_account(user_id) for user_id in ("abc", "AbC", "abc ")]
    values = [account.values for account in accounts if account is not None]
    assert values == [{}, {"n": 1}, {}]


async def test_a_user_id_of_255_bytes(store: Store) -> None:
    """The longest ids that accounts may have are distinguished to the last byte."""
    longest = "é" * 127 + "a"
    await store.add_account(Account(longest, None, {"n": 1}))
    await store.add_account(Account(longest[:-1] + "b", None, {"n": 2}))
    assert await store.get_account(longest) == Account(longest, None, {"n": 1})


async def test_an_update_keeps_what_it_does_not_name(store: Store) -> None:
    """Only the named fields change; each update increases the version by one."""
    await store.add_account(Account("ada", "hash", {"a": 1, "b": {"c": 2}}))
    assert await store.update_account("ada", {"b": None, "d": [3]}) is True
    assert await store.get_account("ada") == Account("ada", "hash", {"a": 1, "b": None, "d": [3]}, 2)


async def test_a_password_is_replaced(store: Store) -> None:
    """Only the current hash is replaced, and the custom fields are kept."""
    await store.add_account(Account("ada", "old", {"a": 1}))
    assert await store.replace_password("ada", "other", "new") is False
    assert await store.replace_password("eve", "old", "new") is False
    assert await store.get_account("ada") == Account("ada", "old", {"a": 1})
    assert await store.replace_password("ada", "old", "new") is True
    assert await store.replace_password("ada", "old", "newer") is False
    assert await store.get_account("ada") == Account("ada", "new", {"a": 1}, 2)


async def test_concurrent_replacements_of_a_password(store: Store) -> None:
    """Of eight replacements of the same hash at the same time one succeeds."""
    await store.add_account(Account("ada", "old"))
    replaced = await asyncio.gather(*(store.replace_password("ada", "old", f"new {n}") for n in range(8)))
    assert sorted(replaced) == [False] * 7 + [True]
    account = await store.get_account("ada")
    assert account is not None
    assert account.password == f"new {replaced.index(True)}"


async def test_a_first_password(store: Store) -> None:
    """An account without a password has None as the one that is replaced."""
    await store.add_account(Account("ada", None, {"a": 1}))
    assert await store.replace_password("ada", "old", "new") is False
    assert await store.replace_password("eve", None, "new") is False
    assert await store.replace_password("ada", None, "new") is True
    assert await store.replace_password("ada", None, "newer") is False
    assert await store.get_account("ada") == Account("ada", "new", {"a": 1}, 2)


async def test_an_account_is_removed_once(store: Store) -> None:
    """Of several removals at once one removes it; ids that look alike stay, and it can be added again."""
    for user_id in USER_IDS:
        await store.add_account(Account(user_id, "hash", {"n": 1}))
    removed = await at_once(*(store.remove_account("abc") for _ in range(4)))
    assert sorted(map(str, removed)) == ["False"] * 3 + ["True"]
    assert await store.remove_account("ABC") is False
    assert await store.get_account("abc") is None
    assert await store.update_account("abc", {"n": 2}) is False
    assert await store.replace_password("abc", "hash", "new") is False
    listed = {account.user_id for account in await store.list_accounts("", 100)}
    assert listed == {*USER_IDS} - {"abc"}
    await store.add_account(Account("abc", None))
    assert await store.get_account("abc") == Account("abc", None)


async def test_accounts_are_listed_in_pages(store: Store) -> None:
    """In the order of their bytes in UTF-8, each of them once, whatever is added or removed meanwhile."""
    assert await store.list_accounts("", 10) == []
    for n, user_id in enumerate(USER_IDS):
        await store.add_account(Account(user_id, f"hash {n}", {"n": n}))
    expected = sorted(USER_IDS, key=str.encode)
    pages, after = [], ""
    while page := await store.list_accounts(after, 4):
        assert len(page) <= 4
        pages += page
        after = page[-1].user_id
        if len(pages) == 4:
            await store.remove_account(expected[0])
            await store.remove_account(expected[5])
            await store.add_account(Account("zzz", None))
    assert [account.user_id for account in pages] == sorted(
        {*expected, "zzz"} - {expected[5]}, key=str.encode
    )
    n = USER_IDS.index("grüße")
    assert Account("grüße", f"hash {n}", {"n": n}) in pages
    assert [account.user_id for account in await store.list_accounts("zzy", 4)] == ["zzz", *expected[-3:]]
    assert await store.list_accounts(expected[-1], 4) == []


async def test_updating_an_unknown_account(store: Store) -> None:
    """An update of an unknown account returns False, and does not create it."""
    assert await store.update_account("ada", {"a": 1}) is False
    assert await store.get_account("ada") is None


async def test_concurrent_updates(store: Store) -> None:
    """After twenty updates at the same time every value is present."""
    await store.add_account(Account("ada", "hash"))
    assert await at_once(*(store.update_account("ada", {f"v{n}": n}) for n in range(20))) == [True] * 20
    assert await store.get_account("ada") == Account("ada", "hash", {f"v{n}": n for n in range(20)}, 21)


# Sessions


async def test_a_session_is_kept(store: Store) -> None:
    """Every field of a session is stored."""
    session = make_session("k" * 64, "grüße 🦊")
    await store.add_session(session)
    assert await store.get_session("k" * 64) == make_session("k" * 64, "grüße 🦊")


async def test_an_unknown_session_is_none(store: Store) -> None:
    """A session that nobody added does not exist."""
    assert await store.get_session("k") is None


async def test_a_session_is_a_copy(store: Store) -> None:
    """Changing a session object that was added, read or listed does not change the store."""
    added = make_session("k")
    await store.add_session(added)
    read = await store.get_session("k")
    [listed] = await store.list_sessions("ada")
    assert read is not None
    for session in (added, read, listed):
        session.state, session.user_id, session.version = b"other", "eve", 9
    assert await store.get_session("k") == make_session("k")


@pytest.mark.parametrize(
    "state",
    [b"", bytes(range(256)), b"\x00", b"'; DROP TABLE --\\", b"\xff\xfe\x00\n\r" * 3],
    ids=["empty", "every byte", "zero", "quotes", "no utf-8"],
)
async def test_the_state_is_kept_byte_for_byte(store: Store, state: bytes) -> None:
    """The state can be any bytes, both when added and when saved."""
    await store.add_session(make_session("added", state=state))
    await store.add_session(make_session("saved"))
    assert await store.save_session(make_session("saved", state=state)) is True
    for key in ("added", "saved"):
        session = await store.get_session(key)
        assert session is not None
        assert (type(session.state), session.state) == (bytes, state)


async def test_a_state_of_a_mebibyte(store: Store) -> None:
    """A large state is read as it was written."""
    state = bytes(range(256)) * 4096
    await store.add_session(make_session("k", state=state))
    session = await store.get_session("k")
    assert session is not None
    assert session.state == state
    assert await store.save_session(replace(session, state=state[::-1])) is True
    assert await store.get_session("k") == replace(session, state=state[::-1], version=2)


async def test_an_expired_session_does_not_exist(store: Store) -> None:
    """An expired session is not found, listed, saved or touched, and nothing revives it."""
    await store.add_session(make_session("k", expires=NOW - 1))
    assert await store.get_session("k") is None
    assert await store.list_sessions("ada") == []
    assert await store.save_session(make_session("k", expires=LATER)) is False
    assert await store.touch_session("k", LATER, NOW) is False
    assert await store.get_session("k") is None


async def test_removing_an_expired_session(store: Store) -> None:
    """Removing an expired session does nothing, whether or not it was swept before."""
    await store.add_session(make_session("k", expires=NOW - 1))
    assert await store.remove_session("k") is False


async def test_expired_sessions_do_not_count_as_removed(store: Store) -> None:
    """Only unexpired sessions count as removed."""
    await store.add_session(make_session("old", expires=NOW - 1))
    await store.add_session(make_session("living"))
    assert await store.remove_sessions("ada") == 1


async def test_a_session_expires_while_it_is_kept(store: Store) -> None:
    """The time of expiry is checked at each read, to a fraction of a second."""
    for ttl in (0.3, 3, 30):  # on a busy machine the first may have passed before the session is read
        end, key = time.time() + ttl, f"k{ttl}"
        await store.add_session(make_session(key, expires=end))
        if await store.get_session(key) is not None:
            break
    async with asyncio.timeout(ttl + WATCHDOG):
        asked = time.time()
        while await store.get_session(key) is not None:
            assert asked < end
            await asyncio.sleep(0.02)
            asked = time.time()
    assert time.time() >= end


async def test_a_save_writes_the_state(store: Store) -> None:
    """A save increases the stored version by one, and does not change the session object."""
    await store.add_session(make_session("k"))
    session = make_session("k", state=b"new", expires=LATER + 120.5)
    assert await store.save_session(session) is True
    assert session == make_session("k", state=b"new", expires=LATER + 120.5)
    assert await store.get_session("k") == make_session("k", state=b"new", version=2)


async def test_a_save_writes_nothing_else(store: Store) -> None:
    """The user id and the time of creation cannot change."""
    await store.add_session(make_session("k"))
    await store.save_session(make_session("k", "eve", state=b"new", created=NOW + 9))
    assert await store.get_session("k") == make_session("k", state=b"new", version=2)
    assert await store.list_sessions("eve") == []


async def test_a_save_onto_another_version(store: Store) -> None:
    """If another save came first, or the version never existed, it returns False and writes nothing."""
    await store.add_session(make_session("k"))
    assert await store.save_session(make_session("k", state=b"first")) is True
    assert await store.save_session(make_session("k", state=b"second")) is False
    assert await store.save_session(make_session("k", state=b"third", version=3)) is False
    assert await store.get_session("k") == make_session("k", state=b"first", version=2)
    assert await store.save_session(make_session("k", state=b"fourth", version=2)) is True


async def test_saving_an_unknown_session(store: Store) -> None:
    """A save of an unknown session returns False, and does not create it."""
    assert await store.save_session(make_session("k")) is False
    assert await store.get_session("k") is None


async def test_concurrent_saves(store: Store) -> None:
    """Of eight saves onto the same version one succeeds."""
    await store.add_session(make_session("k"))
    outcomes = await at_once(*(store.save_session(make_session("k", state=b"%d" % n)) for n in range(8)))
    assert sorted(map(str, outcomes)) == ["False"] * 7 + ["True"]
    winner = outcomes.index(True)
    assert await store.get_session("k") == make_session("k", state=b"%d" % winner, version=2)


async def test_nothing_revives_a_session(store: Store) -> None:
    """After its end neither a save nor a touch revives a session."""
    await store.add_session(make_session("k"))
    assert await store.remove_session("k") is True
    assert await store.save_session(make_session("k")) is False
    assert await store.save_session(make_session("k", version=2)) is False
    assert await store.touch_session("k", LATER, NOW) is False
    assert await store.get_session("k") is None
    assert await store.list_sessions("ada") == []


async def test_an_end_during_saves(store: Store) -> None:
    """In whatever order saves, touches and an end are mixed, the session has ended afterwards."""
    for n in range(10):
        key = f"k{n}"
        await store.add_session(make_session(key))
        writes = [
            operation
            for _ in range(4)
            for operation in (
                store.save_session(make_session(key)),
                store.touch_session(key, LATER + 90, NOW),
            )
        ]
        outcomes = await at_once(*writes[:n], store.remove_session(key), *writes[n:])
        assert outcomes[min(n, len(writes))] is True
        assert await store.get_session(key) is None
    assert await store.list_sessions("ada") == []


async def test_a_touch_sets_only_the_times(store: Store) -> None:
    """A touch makes no new version, so that a save in progress still succeeds."""
    await store.add_session(make_session("k"))
    assert await store.touch_session("k", LATER + 500.5, NOW) is True
    assert await store.get_session("k") == make_session("k", expires=LATER + 500.5, seen=NOW)
    assert await store.save_session(make_session("k", expires=LATER + 500.5, state=b"new")) is True


async def test_a_touch_can_shorten_the_lifetime(store: Store) -> None:
    """A session whose expiry is set to the past has expired."""
    await store.add_session(make_session("k"))
    assert await store.touch_session("k", LATER - 30, NOW) is True
    assert await store.get_session("k") == make_session("k", expires=LATER - 30, seen=NOW)
    assert await store.touch_session("k", NOW - 1, NOW) is True
    assert await store.get_session("k") is None


async def test_touching_an_unknown_session(store: Store) -> None:
    """A touch of an unknown session returns False, and does not create it."""
    assert await store.touch_session("k", LATER, NOW) is False
    assert await store.get_session("k") is None


async def test_the_sessions_of_an_account(store: Store) -> None:
    """The unexpired sessions of the account are listed, the oldest first, with all fields but the state."""
    for key, age in (("b", 20), ("c", 10), ("a", 30)):
        await store.add_session(make_session(key, created=NOW - age, state=key.encode()))
    await store.add_session(make_session("expired", expires=NOW - 1))
    await store.add_session(make_session("other", "eve"))
    listed = await store.list_sessions("ada")
    assert listed == [
        make_session("a", created=NOW - 30, state=b""),
        make_session("b", created=NOW - 20, state=b""),
        make_session("c", created=NOW - 10, state=b""),
    ]


async def test_a_list_is_up_to_date(store: Store) -> None:
    """The list reflects what is saved, touched and removed."""
    for n in range(3):
        await store.add_session(make_session(f"k{n}", created=NOW + n))
    await store.save_session(make_session("k0", state=b"saved"))
    await store.touch_session("k1", LATER + 90.5, NOW)
    await store.remove_session("k2")
    assert await store.list_sessions("ada") == [
        make_session("k0", state=b"", version=2),
        make_session("k1", created=NOW + 1, expires=LATER + 90.5, seen=NOW, state=b""),
    ]


async def test_no_sessions(store: Store) -> None:
    """An account without sessions has an empty list."""
    assert await store.list_sessions("ada") == []


async def test_sessions_belong_to_a_user_byte_for_byte(store: Store) -> None:
    """Listing and removing the sessions of one id does not affect ids that look alike."""
    for user_id in USER_IDS:
        await store.add_session(make_session(f"key of {user_id}", user_id))
    for user_id in USER_IDS:
        assert [session.key for session in await store.list_sessions(user_id)] == [f"key of {user_id}"]
    for user_id in USER_IDS:
        assert await store.remove_sessions(user_id) == 1
    assert [await store.list_sessions(user_id) for user_id in USER_IDS] == [[] for _ in USER_IDS]


async def test_a_session_is_removed_once(store: Store) -> None:
    """Removing a session again, or one that never existed, does nothing; the others stay."""
    await store.add_session(make_session("k"))
    await store.add_session(make_session("other"))
    assert await store.remove_session("k") is True
    assert await store.get_session("k") is None
    assert await store.remove_session("k") is False
    assert await store.remove_session("never") is False
    assert await store.get_session("other") == make_session("other")


async def test_concurrent_removals(store: Store) -> None:
    """Of eight removals at the same time one ends the session."""
    await store.add_session(make_session("k"))
    outcomes = await at_once(*(store.remove_session("k") for _ in range(8)))
    assert sorted(map(str, outcomes)) == ["False"] * 7 + ["True"]


async def test_the_sessions_of_an_account_are_removed(store: Store) -> None:
    """All sessions of the account are removed, and no others; the result is how many there were."""
    for n in range(3):
        await store.add_session(make_session(f"k{n}"))
    await store.add_session(make_session("other", "eve"))
    assert await store.remove_sessions("ada") == 3
    assert await store.list_sessions("ada") == []
    assert [await store.get_session(f"k{n}") for n in range(3)] == [None] * 3
    assert await store.remove_sessions("ada") == 0
    assert await store.get_session("other") == make_session("other", "eve")


async def test_one_session_is_kept(store: Store) -> None:
    """``keep`` keeps the session with that key; an unknown key keeps none."""
    for n in range(3):
        await store.add_session(make_session(f"k{n}"))
    assert await store.remove_sessions("ada", keep="k1") == 2
    assert [session.key for session in await store.list_sessions("ada")] == ["k1"]
    assert await store.remove_sessions("ada", keep="k1") == 0
    assert await store.remove_sessions("ada", keep="never") == 1
    assert await store.get_session("k1") is None


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store handles few sessions in an operation, so that tests need not create thousands."""
    monkeypatch.setattr(portions, "PORTION", 10)
    monkeypatch.setattr(portions, "SURPLUS", 5)


async def test_many_sessions_are_removed_in_portions(small_portions: None, store: Store) -> None:
    """All of them end, also if another process ends them at the same time, and each is counted once."""
    for user_id in ("ada", "eve"):
        sessions = [make_session(f"{user_id} {n}", user_id) for n in range(35)]
        await asyncio.gather(*map(store.add_session, sessions))
    ended = await at_once(store.remove_sessions("ada", keep="ada 20"), store.remove_sessions("ada", "ada 20"))
    assert sum(map(int, map(str, ended))) == 34
    assert [session.key for session in await store.list_sessions("ada")] == ["ada 20"]
    assert len(await store.list_sessions("eve")) == 35
    assert await store.remove_sessions("eve") == 35
    assert await store.list_sessions("eve") == []


async def test_a_list_is_limited(store: Store) -> None:
    """If there are more sessions, those are left out that expire first."""
    for n, expires in enumerate((3, 1, 4, 2)):
        await store.add_session(make_session(f"k{n}", created=NOW - n, expires=LATER + expires))
    assert [session.key for session in await store.list_sessions("ada", 4)] == ["k3", "k2", "k1", "k0"]
    assert [session.key for session in await store.list_sessions("ada", 2)] == ["k2", "k0"]


async def test_surplus_sessions(small_portions: None, store: Store) -> None:
    """Those beyond the newest that are left, a bounded number at once; the one to keep is in neither."""
    for n in range(4):
        await store.add_session(make_session(f"k{n}", created=NOW + n, expires=LATER - 10 * n))
    await store.add_session(make_session("other", "eve", created=NOW - 1))
    await store.add_session(make_session("expired", created=NOW - 1, expires=NOW - 1))
    assert await store.surplus_sessions("ada", 3, "k0") == []
    assert await store.surplus_sessions("ada", 2, "k0") == ["k1"]
    assert sorted(await store.surplus_sessions("ada", 2, "unknown")) == ["k0", "k1"]
    assert sorted(await store.surplus_sessions("ada", 0, "k3")) == ["k0", "k1", "k2"]
    assert await store.surplus_sessions("eve", 1, "") == await store.surplus_sessions("bob", 0, "") == []
    await asyncio.gather(*(store.add_session(make_session(f"n{n}", created=NOW + n)) for n in range(35)))
    left, rounds = 39, 0
    while surplus := await store.surplus_sessions("ada", 3, "k0"):
        assert len(surplus) <= 5
        assert "k0" not in surplus
        assert [await store.remove_session(key) for key in surplus] == [True] * len(surplus)
        left, rounds = left - len(surplus), rounds + 1
    assert (left, rounds) == (4, 7)
    assert "k0" in [session.key for session in await store.list_sessions("ada")]


async def test_keep_does_not_protect_others(store: Store) -> None:
    """The key of another account's session keeps none of this account, and does not affect the other."""
    await store.add_session(make_session("k"))
    await store.add_session(make_session("other", "eve"))
    assert await store.remove_sessions("ada", keep="other") == 1
    assert await store.get_session("other") == make_session("other", "eve")


async def test_a_sweep_drops_what_has_expired(store: Store) -> None:
    """Unexpired sessions are kept; after the last expired one there is nothing left to drop."""
    for n in range(3):
        await store.add_session(make_session(f"old{n}", expires=NOW - 1 - n))
        await store.add_session(make_session(f"living{n}", created=NOW + n))
    dropped = 0
    while step := await store.sweep():
        dropped += step
    assert dropped <= 3  # a database may have dropped some of its own accord
    assert [session.key for session in await store.list_sessions("ada")] == [f"living{n}" for n in range(3)]
    assert await store.sweep() == 0


async def test_sweeping_an_empty_store(store: Store) -> None:
    """A sweep of an empty store is not an error."""
    assert await store.sweep() == 0


async def test_a_hundred_concurrent_sessions(store: Store) -> None:
    """Many operations at the same time are all carried out, each on its own session."""
    keys = [f"key {n}" for n in range(100)]
    await asyncio.gather(*(store.add_session(make_session(key, state=key.encode())) for key in keys))
    found = await asyncio.gather(*(store.get_session(key) for key in keys))
    assert found == [make_session(key, state=key.encode()) for key in keys]
    assert await asyncio.gather(*(store.remove_session(key) for key in keys)) == [True] * 100
    assert await store.list_sessions("ada") == []


async def test_an_account_and_a_session_with_the_same_name(store: Store) -> None:
    """Accounts and sessions do not share keys."""
    await store.add_account(Account("same", "hash"))
    await store.add_session(make_session("same", "same"))
    await store.remove_session("same")
    assert await store.get_account("same") == Account("same", "hash")


async def test_a_store_is_closed_twice(store: Store) -> None:
    """Closing a store again neither fails nor hangs."""
    await asyncio.wait_for(store.close(), WATCHDOG)
    await asyncio.wait_for(store.close(), WATCHDOG)


async def test_a_counter(store: Store) -> None:
    """A counter starts at 0, goes up and down, and does not affect others."""
    assert [await store.increment("a", 60) for _ in range(3)] == [1, 2, 3]
    assert await store.increment("a", 60, by=-1) == 2
    assert await store.increment("A", 60) == 1
    assert await store.increment("a ", 60, by=5) == 5


async def test_a_counter_is_never_negative(store: Store) -> None:
    """What would make it negative changes nothing: not before it starts, nor below what it has."""
    assert await store.increment("a", 60, by=-1) == 0
    assert [await store.increment("a", 60, by=by) for by in (1, -2, 4, -5, -5, -4, 1)] == [
        1,
        1,
        5,
        0,
        0,
        0,
        1,
    ]
    assert [await store.increment("b", 60, by=by) for by in (1 << 40, 1, -1 << 40)] == [
        1 << 40,
        (1 << 40) + 1,
        1,
    ]
    assert await store.increment("c", 0.3, by=3) == 3
    async with asyncio.timeout(WATCHDOG):
        while await store.increment("c", 60, by=-2) != 0:
            await store.increment("c", 60, by=2)
            await asyncio.sleep(0.1)


async def test_reading_a_counter(store: Store) -> None:
    """Its count and the seconds until it starts again; reading starts nothing."""
    assert await store.get_counter("a") == (0, 0.0)
    assert await store.increment("a", 600, by=1 << 41) == 1 << 41
    count, left = await store.get_counter("a")
    assert (count, 0 < left <= 600) == (1 << 41, True)
    assert await store.get_counter("A") == (0, 0.0)
    await store.increment("b", 0.3)
    async with asyncio.timeout(WATCHDOG):
        while (await store.get_counter("b"))[0]:
            await asyncio.sleep(0.1)
    assert await store.get_counter("b") == (0, 0.0)


async def test_concurrent_increments(store: Store) -> None:
    """Each of a hundred increments at the same time gets a different number."""
    counted = await asyncio.gather(*(store.increment("a", 60) for _ in range(100)))
    assert sorted(counted) == list(range(1, 101))


async def test_a_counter_expires(store: Store) -> None:
    """The time of a counter runs from its start, not from the last increment."""
    for ttl in (0.4, 4, 40):  # on a busy machine the first may have passed before the second increment
        key = f"a{ttl}"
        assert await store.increment(key, ttl) == 1
        await asyncio.sleep(0.6 * ttl)
        if await store.increment(key, 60) == 2:
            break
    async with asyncio.timeout(ttl + WATCHDOG):
        while await store.increment(key, 60) != 1:
            await asyncio.sleep(0.1)


async def test_add_once(store: Store) -> None:
    """Of many additions of a key one is the first, until the time has passed."""
    added = await asyncio.gather(*(store.add_once("a", 60) for _ in range(20)))
    assert sorted(added) == [False] * 19 + [True]
    assert await store.add_once("b", 0.3) is True
    async with asyncio.timeout(WATCHDOG):
        while await store.add_once("b", 60) is False:
            await asyncio.sleep(0.1)
    assert await store.add_once("b", 60) is False


async def test_the_sweep_drops_counters(store: Store) -> None:
    """Counters whose time has passed are dropped, and no others."""
    await store.add_once("old", -1)
    await store.add_once("new", 60)
    assert await store.sweep() in (0, 1)  # a database may have dropped it already
    assert await store.sweep() == 0
    await asyncio.sleep(0.01)
    assert await store.add_once("new", 60) is False
    assert await store.add_once("old", 60) is True


async def test_the_key_of_a_session(store: Store) -> None:
    """The signing key of a session is stored unchanged."""
    session = replace(make_session("k"), signing_key=bytes(range(256)))
    await store.add_session(session)
    assert await store.get_session("k") == session


async def test_the_client_of_a_session(store: Store) -> None:
    """The time last seen, the address and the agent, in any script, are stored unchanged."""
    session = replace(make_session("k"), seen=NOW + 0.25, address="2001:db8::1", agent="Grüße 🦊 'x'")
    await store.add_session(session)
    assert await store.get_session("k") == session
    assert await store.list_sessions("ada") == [replace(session, state=b"")]
