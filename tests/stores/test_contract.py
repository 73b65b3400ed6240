"""The contract of a store, over every kind of store: each sentence of the Protocols in ``stores``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from tests.support.limits import WATCHDOG
from toto_aio.exceptions import UserIDExists
from toto_aio.models import Account, Session
from toto_aio.stores import Store

T = TypeVar("T")

NOW = float(int(time.time()))
LATER = NOW + 86400.5

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
"""Ids that a collation, a trim or a pattern would take for each other."""

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
"""Values of every plain kind, under names that some database gives a meaning."""


def make_session(key: str, user_id: str = "ada", **fields: Any) -> Session:
    """A session that lives for a day unless told otherwise."""
    given = {"created": NOW, "expires": LATER, "state": b"state", **fields}
    return Session(key, user_id, **given)


async def at_once(*coroutines: Coroutine[Any, Any, T]) -> list[T | BaseException]:
    """What each of several operations returned or raised that were started together."""
    return await asyncio.gather(*coroutines, return_exceptions=True)


def kind(value: Any) -> Any:
    """A value with the types of all that is in it, as 1, 1.0 and True are equal."""
    if isinstance(value, dict):
        return {name: kind(item) for name, item in value.items()}
    if isinstance(value, list):
        return [kind(item) for item in value]
    return type(value), value


# Accounts


async def test_an_account_is_kept(store: Store) -> None:
    """What was added is found again, with its password's hash and a first version."""
    account = Account("ada", "$argon2id$hash", {"name": "Ada"})
    await store.add_account(account)
    assert await store.get_account("ada") == Account("ada", "$argon2id$hash", {"name": "Ada"}, 1)


async def test_an_unknown_account_is_none(store: Store) -> None:
    """There is no account that nobody added."""
    assert await store.get_account("ada") is None
    assert await store.get_account("") is None


async def test_an_account_without_a_password(store: Store) -> None:
    """No password stays no password, and not an empty one."""
    await store.add_account(Account("ada", None))
    account = await store.get_account("ada")
    assert account is not None
    assert (account.password, account.values) == (None, {})


async def test_the_values_of_an_account_keep_their_kinds(store: Store) -> None:
    """Nested values and odd names come back as they went in, each of its own type."""
    await store.add_account(Account("ada", None, dict(VALUES)))
    account = await store.get_account("ada")
    assert account is not None
    assert kind(account.values) == kind(VALUES)


async def test_values_that_are_updated_keep_their_kinds(store: Store) -> None:
    """An update writes what an addition writes, whatever the names."""
    await store.add_account(Account("ada", None))
    assert await store.update_account("ada", VALUES) is True
    account = await store.get_account("ada")
    assert account is not None
    assert kind(account.values) == kind(VALUES)


async def test_an_account_is_a_copy(store: Store) -> None:
    """What is done to an account that was added or read does not reach the store."""
    added = Account("ada", "hash", {"list": [1]})
    await store.add_account(added)
    added.values["list"].append(2)
    added.password = "other"
    read = await store.get_account("ada")
    assert read is not None
    read.values["list"].append(3)
    assert await store.get_account("ada") == Account("ada", "hash", {"list": [1]})


async def test_an_account_is_added_once(store: Store) -> None:
    """A second account of an id is refused, and changes nothing of the first."""
    await store.add_account(Account("ada", "first", {"n": 1}))
    with pytest.raises(UserIDExists):
        await store.add_account(Account("ada", "second", {"n": 2}))
    assert await store.get_account("ada") == Account("ada", "first", {"n": 1})


async def test_eight_additions_at_once_make_one_account(store: Store) -> None:
    """Of eight that come together one succeeds, whole, and seven are told that the id is taken."""
    outcomes = await at_once(*(store.add_account(Account("ada", f"hash {n}", {"n": n})) for n in range(8)))
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, UserIDExists) for outcome in outcomes) == 7
    winner = outcomes.index(None)
    assert await store.get_account("ada") == Account("ada", f"hash {winner}", {"n": winner})


async def test_user_ids_compare_byte_for_byte(store: Store) -> None:
    """Ids that look alike are accounts of their own."""
    for n, user_id in enumerate(USER_IDS):
        await store.add_account(Account(user_id, None, {"n": n}))
    for n, user_id in enumerate(USER_IDS):
        assert await store.get_account(user_id) == Account(user_id, None, {"n": n})
    assert await store.get_account("ABC") is None
    assert await store.get_account("abc  ") is None


async def test_an_update_compares_byte_for_byte(store: Store) -> None:
    """An update reaches the one account of exactly this id."""
    for user_id in ("abc", "AbC", "abc "):
        await store.add_account(Account(user_id, None))
    assert await store.update_account("AbC", {"n": 1}) is True
    assert await store.update_account("ABC", {"n": 2}) is False
    values = [account.values for id in ("abc", "AbC", "abc ") if (account := await store.get_account(id))]
    assert values == [{}, {"n": 1}, {}]


async def test_a_user_id_of_255_bytes(store: Store) -> None:
    """The longest ids that accounts may have are told apart to their last byte."""
    longest = "é" * 127 + "a"
    await store.add_account(Account(longest, None, {"n": 1}))
    await store.add_account(Account(longest[:-1] + "b", None, {"n": 2}))
    assert await store.get_account(longest) == Account(longest, None, {"n": 1})


async def test_an_update_keeps_what_it_does_not_name(store: Store) -> None:
    """Only the named values change; each update counts one version."""
    await store.add_account(Account("ada", "hash", {"a": 1, "b": {"c": 2}}))
    assert await store.update_account("ada", {"b": None, "d": [3]}) is True
    assert await store.get_account("ada") == Account("ada", "hash", {"a": 1, "b": None, "d": [3]}, 2)


async def test_a_password_is_replaced(store: Store) -> None:
    """Only the hash that is there is replaced, and the values beside it are kept."""
    await store.add_account(Account("ada", "old", {"a": 1}))
    assert await store.replace_password("ada", "other", "new") is False
    assert await store.replace_password("eve", "old", "new") is False
    assert await store.get_account("ada") == Account("ada", "old", {"a": 1})
    assert await store.replace_password("ada", "old", "new") is True
    assert await store.replace_password("ada", "old", "newer") is False
    assert await store.get_account("ada") == Account("ada", "new", {"a": 1}, 2)


async def test_of_many_replacements_one_counts(store: Store) -> None:
    """Of eight that replace the same hash at once one succeeds."""
    await store.add_account(Account("ada", "old"))
    replaced = await asyncio.gather(*(store.replace_password("ada", "old", f"new {n}") for n in range(8)))
    assert sorted(replaced) == [False] * 7 + [True]
    account = await store.get_account("ada")
    assert account is not None
    assert account.password == f"new {replaced.index(True)}"


async def test_an_update_of_no_account(store: Store) -> None:
    """It is False, and makes none."""
    assert await store.update_account("ada", {"a": 1}) is False
    assert await store.get_account("ada") is None


async def test_updates_at_once_lose_nothing(store: Store) -> None:
    """Of twenty updates that come together every value is there afterwards."""
    await store.add_account(Account("ada", "hash"))
    assert await at_once(*(store.update_account("ada", {f"v{n}": n}) for n in range(20))) == [True] * 20
    assert await store.get_account("ada") == Account("ada", "hash", {f"v{n}": n for n in range(20)}, 21)


# Sessions


async def test_a_session_is_kept(store: Store) -> None:
    """Every field of a session is found again."""
    session = make_session("k" * 64, "grüße 🦊")
    await store.add_session(session)
    assert await store.get_session("k" * 64) == make_session("k" * 64, "grüße 🦊")


async def test_an_unknown_session_is_none(store: Store) -> None:
    """There is no session that nobody added."""
    assert await store.get_session("k") is None


async def test_a_session_is_a_copy(store: Store) -> None:
    """What is done to a session that was added, read or listed does not reach the store."""
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
    """State is bytes, whatever they are, when added and when saved."""
    await store.add_session(make_session("added", state=state))
    await store.add_session(make_session("saved"))
    assert await store.save_session(make_session("saved", state=state)) is True
    for key in ("added", "saved"):
        session = await store.get_session(key)
        assert session is not None
        assert (type(session.state), session.state) == (bytes, state)


async def test_a_state_of_a_mebibyte(store: Store) -> None:
    """A large state comes back whole."""
    state = bytes(range(256)) * 4096
    await store.add_session(make_session("k", state=state))
    session = await store.get_session("k")
    assert session is not None
    assert session.state == state
    assert await store.save_session(replace(session, state=state[::-1])) is True
    assert await store.get_session("k") == replace(session, state=state[::-1], version=2)


async def test_an_expired_session_is_as_if_there_were_none(store: Store) -> None:
    """It is not found, not listed, not saved, not touched, and nothing brings it back."""
    await store.add_session(make_session("k", expires=NOW - 1))
    assert await store.get_session("k") is None
    assert await store.list_sessions("ada") == []
    assert await store.save_session(make_session("k", expires=LATER)) is False
    assert await store.touch_session("k", LATER, NOW) is False
    assert await store.get_session("k") is None


async def test_an_expired_session_is_none_to_remove(store: Store) -> None:
    """To end what has ended is a no-op, whether or not it was swept before."""
    await store.add_session(make_session("k", expires=NOW - 1))
    assert await store.remove_session("k") is False


async def test_expired_sessions_do_not_count_as_removed(store: Store) -> None:
    """The sessions of an account are those that live."""
    await store.add_session(make_session("old", expires=NOW - 1))
    await store.add_session(make_session("living"))
    assert await store.remove_sessions("ada") == 1


async def test_a_session_expires_while_it_is_kept(store: Store) -> None:
    """Its time of expiry is looked at when it is read, to a fraction of a second."""
    for life in (0.3, 3, 30):  # on a busy machine the first may be over before the session is read
        end = time.time() + life
        await store.add_session(make_session("k", expires=end))
        if await store.get_session("k") is not None:
            break
        await store.remove_session("k")
    async with asyncio.timeout(life + WATCHDOG):
        while await store.get_session("k") is not None:
            await asyncio.sleep(0.02)
    assert time.time() >= end


async def test_a_save_writes_the_state(store: Store) -> None:
    """The stored version is one higher then; the session that was handed in stays as it is."""
    await store.add_session(make_session("k"))
    session = make_session("k", state=b"new", expires=LATER + 120.5)
    assert await store.save_session(session) is True
    assert session == make_session("k", state=b"new", expires=LATER + 120.5)
    assert await store.get_session("k") == make_session("k", state=b"new", version=2)


async def test_a_save_writes_nothing_else(store: Store) -> None:
    """Whose session it is and since when cannot change."""
    await store.add_session(make_session("k"))
    await store.save_session(make_session("k", "eve", state=b"new", created=NOW + 9))
    assert await store.get_session("k") == make_session("k", state=b"new", version=2)
    assert await store.list_sessions("eve") == []


async def test_a_save_onto_another_version(store: Store) -> None:
    """It is False when another save came first, and of a version that never was; nothing is written."""
    await store.add_session(make_session("k"))
    assert await store.save_session(make_session("k", state=b"first")) is True
    assert await store.save_session(make_session("k", state=b"second")) is False
    assert await store.save_session(make_session("k", state=b"third", version=3)) is False
    assert await store.get_session("k") == make_session("k", state=b"first", version=2)
    assert await store.save_session(make_session("k", state=b"fourth", version=2)) is True


async def test_a_save_of_no_session(store: Store) -> None:
    """It is False, and makes none."""
    assert await store.save_session(make_session("k")) is False
    assert await store.get_session("k") is None


async def test_of_eight_saves_at_once_one_counts(store: Store) -> None:
    """Saves onto the same version exclude each other."""
    await store.add_session(make_session("k"))
    outcomes = await at_once(*(store.save_session(make_session("k", state=b"%d" % n)) for n in range(8)))
    assert sorted(map(str, outcomes)) == ["False"] * 7 + ["True"]
    winner = outcomes.index(True)
    assert await store.get_session("k") == make_session("k", state=b"%d" % winner, version=2)


async def test_nothing_revives_a_session(store: Store) -> None:
    """After its end neither a save nor a touch brings a session back."""
    await store.add_session(make_session("k"))
    assert await store.remove_session("k") is True
    assert await store.save_session(make_session("k")) is False
    assert await store.save_session(make_session("k", version=2)) is False
    assert await store.touch_session("k", LATER, NOW) is False
    assert await store.get_session("k") is None
    assert await store.list_sessions("ada") == []


async def test_an_end_at_once_with_saves(store: Store) -> None:
    """However saves, touches and an end are mixed, the session has ended afterwards."""
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


async def test_a_touch_sets_the_times_alone(store: Store) -> None:
    """It makes no new version, so that a save that is under way still counts."""
    await store.add_session(make_session("k"))
    assert await store.touch_session("k", LATER + 500.5, NOW) is True
    assert await store.get_session("k") == make_session("k", expires=LATER + 500.5, seen=NOW)
    assert await store.save_session(make_session("k", expires=LATER + 500.5, state=b"new")) is True


async def test_a_touch_can_shorten_a_life(store: Store) -> None:
    """A session that is touched into the past has expired."""
    await store.add_session(make_session("k"))
    assert await store.touch_session("k", LATER - 30, NOW) is True
    assert await store.get_session("k") == make_session("k", expires=LATER - 30, seen=NOW)
    assert await store.touch_session("k", NOW - 1, NOW) is True
    assert await store.get_session("k") is None


async def test_a_touch_of_no_session(store: Store) -> None:
    """It is False, and makes none."""
    assert await store.touch_session("k", LATER, NOW) is False
    assert await store.get_session("k") is None


async def test_the_sessions_of_an_account(store: Store) -> None:
    """The living ones of this account are listed whole, the oldest first."""
    for key, age in (("b", 20), ("c", 10), ("a", 30)):
        await store.add_session(make_session(key, created=NOW - age, state=key.encode()))
    await store.add_session(make_session("expired", expires=NOW - 1))
    await store.add_session(make_session("other", "eve"))
    listed = await store.list_sessions("ada")
    assert listed == [
        make_session("a", created=NOW - 30, state=b"a"),
        make_session("b", created=NOW - 20, state=b"b"),
        make_session("c", created=NOW - 10, state=b"c"),
    ]


async def test_a_list_is_up_to_date(store: Store) -> None:
    """It follows what is saved, touched and removed."""
    for n in range(3):
        await store.add_session(make_session(f"k{n}", created=NOW + n))
    await store.save_session(make_session("k0", state=b"saved"))
    await store.touch_session("k1", LATER + 90.5, NOW)
    await store.remove_session("k2")
    assert await store.list_sessions("ada") == [
        make_session("k0", state=b"saved", version=2),
        make_session("k1", created=NOW + 1, expires=LATER + 90.5, seen=NOW),
    ]


async def test_no_sessions(store: Store) -> None:
    """An account that has none has an empty list."""
    assert await store.list_sessions("ada") == []


async def test_sessions_belong_to_a_user_byte_for_byte(store: Store) -> None:
    """To list and to end the sessions of one id leaves those of ids that look alike."""
    for user_id in USER_IDS:
        await store.add_session(make_session(f"key of {user_id}", user_id))
    for user_id in USER_IDS:
        assert [session.key for session in await store.list_sessions(user_id)] == [f"key of {user_id}"]
    for user_id in USER_IDS:
        assert await store.remove_sessions(user_id) == 1
    assert [await store.list_sessions(user_id) for user_id in USER_IDS] == [[] for _ in USER_IDS]


async def test_a_session_is_removed_once(store: Store) -> None:
    """To end a session again, or one that never was, is a no-op; the others stay."""
    await store.add_session(make_session("k"))
    await store.add_session(make_session("other"))
    assert await store.remove_session("k") is True
    assert await store.get_session("k") is None
    assert await store.remove_session("k") is False
    assert await store.remove_session("never") is False
    assert await store.get_session("other") == make_session("other")


async def test_of_eight_removals_at_once_one_counts(store: Store) -> None:
    """A session is ended by one of those who end it together."""
    await store.add_session(make_session("k"))
    outcomes = await at_once(*(store.remove_session("k") for _ in range(8)))
    assert sorted(map(str, outcomes)) == ["False"] * 7 + ["True"]


async def test_the_sessions_of_an_account_are_removed(store: Store) -> None:
    """All of them, and nobody else's; how many there were."""
    for n in range(3):
        await store.add_session(make_session(f"k{n}"))
    await store.add_session(make_session("other", "eve"))
    assert await store.remove_sessions("ada") == 3
    assert await store.list_sessions("ada") == []
    assert [await store.get_session(f"k{n}") for n in range(3)] == [None] * 3
    assert await store.remove_sessions("ada") == 0
    assert await store.get_session("other") == make_session("other", "eve")


async def test_one_session_is_kept(store: Store) -> None:
    """``keep`` spares the session of that key; a key of nobody's spares none."""
    for n in range(3):
        await store.add_session(make_session(f"k{n}"))
    assert await store.remove_sessions("ada", keep="k1") == 2
    assert await store.list_sessions("ada") == [make_session("k1")]
    assert await store.remove_sessions("ada", keep="k1") == 0
    assert await store.remove_sessions("ada", keep="never") == 1
    assert await store.get_session("k1") is None


async def test_keep_does_not_protect_others(store: Store) -> None:
    """The key of another account's session spares none of this account, and touches none of that."""
    await store.add_session(make_session("k"))
    await store.add_session(make_session("other", "eve"))
    assert await store.remove_sessions("ada", keep="other") == 1
    assert await store.get_session("other") == make_session("other", "eve")


async def test_a_sweep_drops_what_has_expired(store: Store) -> None:
    """The living stay as they are; after the last there is nothing left to drop."""
    for n in range(3):
        await store.add_session(make_session(f"old{n}", expires=NOW - 1 - n))
        await store.add_session(make_session(f"living{n}", created=NOW + n))
    dropped = 0
    while step := await store.sweep():
        dropped += step
    assert dropped <= 3  # a database may have dropped some of its own accord
    assert await store.list_sessions("ada") == [make_session(f"living{n}", created=NOW + n) for n in range(3)]
    assert await store.sweep() == 0


async def test_a_sweep_of_nothing(store: Store) -> None:
    """It is no error in an empty store."""
    assert await store.sweep() == 0


async def test_a_hundred_sessions_at_once(store: Store) -> None:
    """Many operations that come together are all done, each to its own session."""
    keys = [f"key {n}" for n in range(100)]
    await asyncio.gather(*(store.add_session(make_session(key, state=key.encode())) for key in keys))
    found = await asyncio.gather(*(store.get_session(key) for key in keys))
    assert found == [make_session(key, state=key.encode()) for key in keys]
    assert await asyncio.gather(*(store.remove_session(key) for key in keys)) == [True] * 100
    assert await store.list_sessions("ada") == []


async def test_an_account_and_a_session_of_one_name(store: Store) -> None:
    """Accounts and sessions do not meet."""
    await store.add_account(Account("same", "hash"))
    await store.add_session(make_session("same", "same"))
    await store.remove_session("same")
    assert await store.get_account("same") == Account("same", "hash")


async def test_a_store_is_closed_twice(store: Store) -> None:
    """To close a store again neither fails nor hangs."""
    await asyncio.wait_for(store.close(), 20)
    await asyncio.wait_for(store.close(), 20)


async def test_a_counter(store: Store) -> None:
    """It begins at 0, goes up and down, and others are not touched."""
    assert [await store.increment("a", 60) for _ in range(3)] == [1, 2, 3]
    assert await store.increment("a", 60, by=-1) == 2
    assert await store.increment("A", 60) == 1
    assert await store.increment("a ", 60, by=5) == 5


async def test_a_counter_of_many(store: Store) -> None:
    """Each of a hundred that count at once gets a number of its own."""
    counted = await asyncio.gather(*(store.increment("a", 60) for _ in range(100)))
    assert sorted(counted) == list(range(1, 101))


async def test_a_counter_ends(store: Store) -> None:
    """Its time is that since it began, not since it was counted last."""
    for life in (0.4, 4, 40):  # on a busy machine the first may be over before it is counted again
        key = f"a{life}"
        assert await store.increment(key, life) == 1
        await asyncio.sleep(0.6 * life)
        if await store.increment(key, 60) == 2:
            break
    async with asyncio.timeout(life + WATCHDOG):
        while await store.increment(key, 60) != 1:
            await asyncio.sleep(0.1)


async def test_add_once(store: Store) -> None:
    """Of many that add a key one is first, until its time has passed."""
    added = await asyncio.gather(*(store.add_once("a", 60) for _ in range(20)))
    assert sorted(added) == [False] * 19 + [True]
    assert await store.add_once("b", 0.3) is True
    async with asyncio.timeout(WATCHDOG):
        while await store.add_once("b", 60) is False:
            await asyncio.sleep(0.1)
    assert await store.add_once("b", 60) is False


async def test_the_sweep_drops_counters(store: Store) -> None:
    """Those whose time has passed, and no others."""
    await store.add_once("old", -1)
    await store.add_once("new", 60)
    assert await store.sweep() in (0, 1)  # a database may have dropped it already
    assert await store.sweep() == 0
    await asyncio.sleep(0.01)
    assert await store.add_once("new", 60) is False
    assert await store.add_once("old", 60) is True


async def test_the_key_of_a_session(store: Store) -> None:
    """The key that a session signs with is kept as it is."""
    session = replace(make_session("k"), signing_key=bytes(range(256)))
    await store.add_session(session)
    assert await store.get_session("k") == session


async def test_who_a_session_was_made_for(store: Store) -> None:
    """When it was seen last, and the address and agent, in any script, come back as they were."""
    session = replace(make_session("k"), seen=NOW + 0.25, address="2001:db8::1", agent="Grüße 🦊 'x'")
    await store.add_session(session)
    assert await store.get_session("k") == session
    assert await store.list_sessions("ada") == [session]
