"""API keys: what they look like, and how they end, on every store."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from tests.auth.test_password_change import CLIENT, sessions_in
from tests.support.limits import WATCHDOG
from toto_aio.auth import api_keys
from toto_aio.auth.api_key import DIGITS, LENGTH, ApiKey, allows, hash_of, is_api_key, new_api_key
from toto_aio.auth.api_keys import ApiKeys
from toto_aio.auth.change_marker import new_marker
from toto_aio.exceptions import InvalidParameters, InvalidUserID, NotAuthorized, Unavailable
from toto_aio.models import Account, Record
from toto_aio.stores import Store
from toto_aio.stores.memory import MemoryStore


def test_what_a_key_looks_like() -> None:
    """It begins with ``toto_``, has 256 random bits and a checksum; nothing else passes for one."""
    keys = {new_api_key() for _ in range(200)}
    assert len(keys) == 200
    assert {character for key in keys for character in key[5:48]} == {*DIGITS}
    for key in keys:
        assert is_api_key(key)
        assert len(key) == LENGTH == 54
        for wrong in (
            key[1:],
            f"{key}a",
            key[:-1],
            f"toto-{key[5:]}",
            f"{key[:9]}{key[9:].swapcase()}",
            f"{key[:-1]}é",
        ):
            assert not is_api_key(wrong), wrong
        changed = f"{key[:20]}{'a' if key[20] != 'a' else 'b'}{key[21:]}"
        assert not is_api_key(changed)
    assert is_api_key("toto_" + "0" * 43 + "2czCLJ")
    for other in ("", "toto_", "x" * 54, "toto_" + "\ud800" * 49, "toto_" + "é" * 49):
        assert not is_api_key(other)


def test_scopes() -> None:
    """A name is one method, ``notes.*`` all below a package, and ``*`` all."""
    table = {
        ("notes.add", "notes.add"): True,
        ("notes.add", "notes.add.more"): False,
        ("notes.add", "notes.ad"): False,
        ("notes.*", "notes.add"): True,
        ("notes.*", "notes.a.b"): True,
        ("notes.*", "notes"): False,
        ("notes.*", "notesx.add"): False,
        ("a.notes.*", "notes.add"): False,
        ("*", "notes.add"): True,
        ("*", ""): True,
    }
    for (scope, method), expected in table.items():
        assert allows([scope], method) is expected, (scope, method)
    assert allows(["a", "b"], "b")
    assert not allows([], "a")


async def test_a_key_of_a_store(store: Store) -> None:
    """It is made, found, listed and revoked, once, and is not found after its time."""
    sessions = sessions_in(store)
    told: list[dict[str, str]] = []

    async def tell(end: dict[str, str]) -> None:
        told.append(end)

    sessions.ends._on_end = tell
    keys = ApiKeys(store, sessions)
    await store.add_account(Account("ada", None))
    made = await keys.create("Ada", "a", ["notes.*"])
    for ttl in (0.5, 5, 50):  # on a busy machine the first may have passed before the keys are listed
        brief = await keys.create("ada", "b", ["*"], expires=time.time() + ttl)
        listed = [each["name"] for each in await keys.list("ADA")]
        if listed == ["a", "b"]:
            break
    assert listed == ["a", "b"]
    found = await keys.load(hash_of(made["key"]))
    assert found is not None
    assert (found.user_id, found.session_id, found.is_api_key) == ("ada", "", True)
    assert found.allows("notes.add")
    assert not found.allows("other")
    assert (await keys.list("ada"))[0]["seen"] is not None
    async with asyncio.timeout(ttl + WATCHDOG):
        while await keys.load(hash_of(brief["key"])) is not None:
            await asyncio.sleep(0.1)
    assert [each["name"] for each in await keys.list("ada")] == ["a"]
    assert await keys.revoke("eve", made["handle"]) is False
    outcomes = await asyncio.gather(*(keys.revoke("ada", made["handle"]) for _ in range(4)))
    assert sorted(outcomes) == [False] * 3 + [True]
    assert {"key": hash_of(made["key"])} in told
    assert await keys.load(hash_of(made["key"])) is None
    for _ in range(3):
        await keys.create("ada", "c", ["*"])
    assert await keys.revoke_all("ada") == 3
    assert await keys.list("ada") == []


async def test_the_most_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many that are made at the same time are not more; if there are more, they are listed and revoked."""
    monkeypatch.setattr(api_keys, "MAX_KEYS", 5)
    store = MemoryStore()
    keys = ApiKeys(store, sessions_in(store))
    await store.add_account(Account("ada", None))
    together = asyncio.Barrier(8)

    class Together(MemoryStore):
        async def add_record(self, record: Record) -> bool:
            await together.wait()  # each has counted the keys before one of them is there
            return await store.add_record(record)

        def __getattribute__(self, name: str) -> Any:
            return getattr(store if name.endswith("_records") else super(), name)

        async def remove_record(self, kind: str, key: str, version: int | None = None) -> bool:
            return await store.remove_record(kind, key, version)

    many = ApiKeys(Together(), sessions_in(store))
    made = await asyncio.gather(
        *(many.create("ada", str(number), ["*"]) for number in range(8)), return_exceptions=True
    )
    refused = sum(isinstance(each, InvalidParameters) for each in made)
    assert len(await keys.list("ada")) == 8 - refused <= 5
    kept = msgspec.msgpack.encode(ApiKey("x", ["*"], 1.0, ""))
    for number in range(13):  # processes that were killed when they had stored it
        await store.add_record(Record("api_key", f"left {number:02}", "ada", kept))
    assert {f"left {number:02}"[:16] for number in range(13)} <= {
        each["handle"] for each in await keys.list("ada")
    }
    assert await keys.revoke("ada", "left 12")
    await keys.revoke_all("ada")
    assert await store.list_records("ada", "api_key") == []


async def test_an_account_that_is_gone_or_changing() -> None:
    """It gets no key, also if it goes while the key is made: none is left in the store."""
    store = MemoryStore()
    sessions = sessions_in(store)
    keys = ApiKeys(store, sessions)
    with pytest.raises(InvalidUserID):
        await keys.create("ada", "a", ["*"])
    await store.add_account(Account("ada", None))
    marker = new_marker("ada")
    await store.add_session(marker)
    with pytest.raises(Unavailable):
        await keys.create("ada", "a", ["*"])
    assert await keys.list("ada") == []
    await store.remove_session(marker.key)

    class Deletes(MemoryStore):
        async def add_record(self, record: Record) -> bool:
            await store.remove_account("ada")
            return await store.add_record(record)

        async def remove_record(self, kind: str, key: str, version: int | None = None) -> bool:
            return await store.remove_record(kind, key, version)

    with pytest.raises(NotAuthorized):
        await ApiKeys(Deletes(), sessions).create("ada", "a", ["*"])
    assert await store.list_records("ada", "api_key") == []


async def test_a_store_that_only_reads(caplog: pytest.LogCaptureFixture) -> None:
    """When a key was used is not written then; the key works, and the log says so, not at every use."""
    store = MemoryStore()

    class ReadOnly(MemoryStore):
        async def get_record(self, kind: str, key: str) -> Record | None:
            return await store.get_record(kind, key)

        async def save_record(self, record: Record) -> bool:
            raise Unavailable

    await store.add_account(Account("ada", None))
    made = await ApiKeys(store, sessions_in(store)).create("ada", "a", ["*"])
    keys = ApiKeys(ReadOnly(), sessions_in(store))
    for _ in range(3):
        assert await keys.load(hash_of(made["key"])) is not None
    assert [record.getMessage() for record in caplog.records] == [
        "when API keys are used cannot be written: Unavailable('1011: Service unavailable')"
    ]


async def test_a_database_that_is_away() -> None:
    """A key is then neither right nor wrong: the call is unavailable."""

    class Away(MemoryStore):
        async def get_record(self, kind: str, key: str) -> Record | None:
            raise Unavailable

    sessions = sessions_in(MemoryStore())
    with pytest.raises(Unavailable):
        await ApiKeys(Away(), sessions).load(hash_of(new_api_key()))
    assert CLIENT.address
