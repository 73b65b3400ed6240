"""The contract of ``stores/records.py``, run over every kind of store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.conftest import OTHER_DRIVERS, SERVER_KINDS, url_of
from tests.support.limits import WATCHDOG
from tests.support.reuse import empty_store, used_url
from tests.support.stores import LATER, make_record
from toto_aio.models import NEVER, Record
from toto_aio.stores import Store, portions
from toto_aio.stores.memory import MemoryStore
from toto_aio.stores.records import METHODS, records_of


@pytest.fixture(params=["memory", "sqlite", *SERVER_KINDS, *OTHER_DRIVERS])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty store of every kind, over every driver."""
    kind = OTHER_DRIVERS.get(request.param, request.param)
    async with empty_store(request.param, used_url(kind) or url_of(request, kind)) as store:
        yield store


async def test_a_record_is_kept(store: Store) -> None:
    """A record that was added is found by its kind and its key, and by nothing else; it is a copy."""
    added = make_record("a", b"\x00\xff")
    assert await store.add_record(added) is True
    added.value = b"changed"
    assert await store.get_record("code", "a") == Record("code", "a", "ada", b"\x00\xff", LATER, 1)
    for kind, key in (("code", "A"), ("Code", "a"), ("code", "a "), ("key", "a"), ("code", "")):
        assert await store.get_record(kind, key) is None, (kind, key)


async def test_one_of_many_additions(store: Store) -> None:
    """Of eight additions at the same time one is told that it came first, and that one is kept."""
    outcomes = await asyncio.gather(*(store.add_record(make_record("a", b"%d" % n)) for n in range(8)))
    assert sorted(outcomes) == [False] * 7 + [True]
    record = await store.get_record("code", "a")
    assert record is not None
    assert record.value == b"%d" % outcomes.index(True)


async def test_a_record_is_replaced(store: Store) -> None:
    """What is put replaces what there was, with its owner, and has a version of its own."""
    await store.put_record(make_record("a", b"one"))
    await store.put_record(replace(make_record("a", b"two", owner="bob"), version=7))
    assert await store.get_record("code", "a") == Record("code", "a", "bob", b"two", LATER, 2)
    assert await store.list_records("ada", "code") == []
    assert [record.value for record in await store.list_records("bob", "code")] == [b"two"]


async def test_a_save_onto_a_version(store: Store) -> None:
    """Of eight saves onto the same version one is written, and none onto what is gone or replaced."""
    await store.add_record(make_record("a"))
    read = await store.get_record("code", "a")
    assert read is not None
    later = time.time() + 1000
    saves = (store.save_record(replace(read, value=b"%d" % n, expires=later + n)) for n in range(8))
    outcomes = await asyncio.gather(*saves)
    assert sorted(outcomes) == [False] * 7 + [True]
    winner = outcomes.index(True)
    saved = await store.get_record("code", "a")
    assert saved is not None
    assert (saved.value, saved.owner, saved.version) == (b"%d" % winner, "ada", 2)
    assert saved.expires == pytest.approx(later + winner, abs=0.01)
    await store.put_record(make_record("a", b"new"))
    assert await store.save_record(saved) is False
    await store.remove_record("code", "a")
    assert await store.save_record(saved) is False
    assert await store.get_record("code", "a") is None


async def test_what_takes_the_place_of_a_record(store: Store) -> None:
    """It has another version: whoever has read the one before neither saves nor removes it."""
    for end in ("removed", "expired", "all removed"):
        for write in (store.add_record, store.put_record):
            await store.add_record(Record("code", "a", "ada", b"one", LATER))
            read = await store.get_record("code", "a")
            assert read is not None
            if end == "removed":
                assert await store.remove_record("code", "a", read.version)
            elif end == "expired":
                assert await store.save_record(replace(read, expires=time.time() - 1))
            else:
                assert await store.remove_records("ada") == 1
            await write(Record("code", "a", "ada", b"two", LATER))
            assert await store.save_record(read) is False, end
            assert await store.remove_record("code", "a", read.version) is False
            after = await store.get_record("code", "a")
            assert after is not None
            assert (after.value, after.version != read.version) == (b"two", True)
            assert await store.save_record(after)
            saved = replace(after, version=after.version + 1)
            assert await store.get_record("code", "a") == saved
            await store.put_record(saved)
            assert await store.remove_record("code", "a", saved.version + 1)


async def test_one_of_many_removals(store: Store) -> None:
    """Of eight removals at the same time one is told that it removed the record; of a version, only that."""
    await store.add_record(make_record("a"))
    assert await store.remove_record("code", "a", 2) is False
    assert await store.remove_record("code", "b") is False
    outcomes = await asyncio.gather(*(store.remove_record("code", "a", 1) for _ in range(8)))
    assert sorted(outcomes) == [False] * 7 + [True]
    assert await store.get_record("code", "a") is None
    assert await store.add_record(make_record("a")) is True


async def test_an_expired_record_does_not_exist(store: Store) -> None:
    """Nothing reads, saves or removes it, the sweep drops it, and its key is free again."""
    gone = replace(make_record("a"), expires=time.time() - 1)
    await store.put_record(gone)
    assert await store.get_record("code", "a") is None
    assert await store.list_records("ada", "code") == []
    assert await store.save_record(gone) is False
    assert await store.remove_record("code", "a") is False
    await store.put_record(gone)
    assert await store.add_record(make_record("a", b"two")) is True
    assert await store.get_record("code", "a") == make_record("a", b"two")
    await store.put_record(replace(gone, key="b"))
    await store.sweep()
    assert await store.remove_records("ada") == 1


async def test_the_records_of_an_owner(store: Store) -> None:
    """They are listed by their kind, in the order of their keys' bytes, in pages."""
    keys = ["B", "a", "ab", "\u00e9", "\U0001f98a"]
    for key in reversed(keys):
        await store.add_record(make_record(key))
    await store.add_record(make_record("other", kind="key"))
    await store.add_record(make_record("bob's", owner="bob"))
    assert [record.key for record in await store.list_records("ada", "code")] == keys
    assert [record.key for record in await store.list_records("ada", "code", "a", 2)] == keys[2:4]
    assert await store.list_records("ada", "code", keys[-1]) == []
    assert await store.list_records("", "code") == []


async def test_the_end_of_an_owner(store: Store) -> None:
    """All records of an owner are removed, or those of a kind, and nobody else's."""
    for kind, key, owner in (
        ("code", "a", "ada"),
        ("code", "b", "ada"),
        ("key", "c", "ada"),
        ("key", "d", "bob"),
    ):
        await store.add_record(make_record(key, kind=kind, owner=owner))
    assert await store.remove_records("ada", "code") == 2
    assert await store.remove_records("ada") == 1
    assert await store.remove_records("ada") == 0
    assert await store.get_record("key", "d") is not None


async def test_the_longest_and_the_oddest_names(store: Store) -> None:
    """A kind and key of 254 bytes and an owner of 255 count to the last byte, and odd ones are only text."""
    longest = "\U0001f98a" * 62 + "x"
    odd = ("$version", "$set", "a:b", "{a}", "'", '"', "%", "*", "a ", "\u00df", "ss")
    owners = (*odd, "\U0001f98a" * 63 + "xxx")
    for owner in owners:
        for key in (*odd, longest + "a", longest + "b"):
            await store.put_record(make_record(f"{key}", owner=owner, kind="code"))
        listed = await store.list_records(owner, "code")
        assert [record.key for record in listed] == sorted((*odd, longest + "a", longest + "b")), owner
    assert await store.remove_record("code", longest + "a") is True
    assert await store.get_record("code", longest + "b") == make_record(
        longest + "b", owner=owners[-1], version=len(owners)
    )
    assert await store.remove_records(owners[0]) == 0  # all of them are the last owner's now
    assert await store.remove_records(owners[-1]) == len(odd) + 1


async def test_a_value_is_kept_byte_for_byte(store: Store) -> None:
    """Also an empty one, one of a mebibyte, and one that is no text."""
    for value in (b"", bytes(range(256)), bytes(range(256)) * 4096):
        await store.put_record(make_record("a", value))
        record = await store.get_record("code", "a")
        assert record is not None
        assert record.value == value
        assert await store.save_record(replace(record, value=value[::-1])) is True
        saved = await store.get_record("code", "a")
        assert saved is not None
        assert saved.value == value[::-1]


async def test_how_long_a_record_is_kept(store: Store) -> None:
    """A save may give it longer, or for ever, or less; then it is gone from the lists as well."""
    for ttl in (0.5, 5, 50):  # on a busy machine the first may have passed before the record is saved
        await store.put_record(make_record("a", expires=time.time() + ttl))
        await store.put_record(make_record("b", expires=time.time() + ttl))
        record = await store.get_record("code", "a")
        if record is not None and await store.save_record(replace(record, expires=NEVER)):
            break
    await store.add_record(make_record("c", expires=NEVER))
    await store.add_record(make_record("d"))
    for key, expires in (("c", time.time() + 1), ("d", time.time() - 1)):
        record = await store.get_record("code", key)
        assert record is not None
        assert await store.save_record(replace(record, expires=expires)) is True
    assert await store.get_record("code", "d") is None
    async with asyncio.timeout(ttl + WATCHDOG):
        while await store.get_record("code", "b") or await store.get_record("code", "c"):
            await asyncio.sleep(0.1)
    await store.add_record(make_record("e"))
    assert [record.key for record in await store.list_records("ada", "code")] == ["a", "e"]
    kept = await store.get_record("code", "a")
    assert kept is not None
    assert kept.expires == NEVER
    assert await store.remove_records("ada") == 2


async def test_a_record_that_is_removed_and_added_again(store: Store) -> None:
    """However removals and additions of a key overlap, in the end it is in the list if it is there."""

    async def add(n: int) -> None:
        await store.add_record(make_record("a", b"%d" % n))

    for n in range(20):
        await asyncio.gather(
            add(n), store.remove_record("code", "a"), add(n), store.remove_record("code", "a")
        )
        found = await store.get_record("code", "a")
        assert await store.list_records("ada", "code") == ([] if found is None else [found])


async def test_many_records_are_removed_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are, and nobody else's."""
    monkeypatch.setattr(portions, "PORTION", 10)
    for n in range(35):
        await store.add_record(make_record(f"{n}", kind=f"kind{n % 2}"))
    await store.add_record(make_record("bob's", owner="bob"))
    assert await store.remove_records("ada", "kind1") == 17
    assert await store.remove_records("ada") == 18
    assert await store.get_record("code", "bob's") is not None


async def test_a_store_without_records() -> None:
    """One that an application has written may have none: what needs them says which methods it lacks."""

    class Old(MemoryStore):
        """Was written for an earlier version."""

        put_record = None  # type: ignore[assignment]
        save_record = None  # type: ignore[assignment]

    store = MemoryStore()
    assert records_of(store) is store
    none = records_of(Old())
    for name in set(METHODS) - {"remove_records"}:
        with pytest.raises(RuntimeError, match=r"keeps no records.*: give it put_record, save_record "):
            await getattr(none, name)("code", "a")
    assert await none.remove_records("ada") == 0
