"""The contract of ``stores/records.py``, run over every kind of store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.conftest import OTHER_DRIVERS, url_of
from tests.support.stores import opened_by
from toto_aio.models import NEVER, Record
from toto_aio.stores import Store


@pytest.fixture(params=["memory"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A new, empty store of every kind, over every driver."""
    url = url_of(request, OTHER_DRIVERS.get(request.param, request.param))
    async with opened_by(request.param, url) as store:
        yield store


def make_record(key: str, value: bytes = b"one", *, kind: str = "code", owner: str = "ada") -> Record:
    """A record that does not expire."""
    return Record(kind, key, owner, value)


async def test_a_record_is_kept(store: Store) -> None:
    """A record that was added is found by its kind and its key, and by nothing else; it is a copy."""
    added = make_record("a", b"\x00\xff")
    assert await store.add_record(added) is True
    added.value = b"changed"
    assert await store.get_record("code", "a") == Record("code", "a", "ada", b"\x00\xff", NEVER, 1)
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
    assert await store.get_record("code", "a") == Record("code", "a", "bob", b"two", NEVER, 2)
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
