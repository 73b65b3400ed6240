"""Verified addresses: one belongs to one account, whatever happens at the same time or halfway."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import msgspec
import pytest

from toto_aio.auth.verified_addresses import KIND, Holder, VerifiedAddresses
from toto_aio.exceptions import InvalidParameters
from toto_aio.models import Account, Record
from toto_aio.stores import Store


def key_of(address: str) -> str:
    """The key of an address."""
    return sha256(address.lower().encode()).hexdigest()


async def opened(store: Store, *users: str) -> VerifiedAddresses:
    """The addresses of a store that has these accounts."""
    for user_id in users:
        await store.add_account(Account(user_id, None))
    return VerifiedAddresses(store, store)


async def claim(addresses: VerifiedAddresses, user_id: str, address: str) -> str | None:
    """Give a user an address."""
    return await addresses.claim(user_id, key_of(address), address)


async def test_an_address(store: Store) -> None:
    """It is found by its key, no other account can have it, and a new one takes its place."""
    addresses = await opened(store, "ada", "grace")
    assert await addresses.of("ada") is None
    assert await addresses.holder(key_of("Ada@x.org")) is None
    assert await claim(addresses, "ada", "Ada@x.org") is None
    assert await claim(addresses, "ada", "ADA@x.org") is None
    assert await addresses.of("ada") == "ADA@x.org"
    assert await addresses.holder(key_of("ada@x.org")) == Holder("ada", "ADA@x.org")
    with pytest.raises(InvalidParameters, match="belongs to another account"):
        await claim(addresses, "grace", "ada@x.org")
    assert await claim(addresses, "ada", "new@x.org") == "ADA@x.org"
    assert await addresses.of("ada") == "new@x.org"
    assert await addresses.holder(key_of("ada@x.org")) is None
    assert await claim(addresses, "grace", "ada@x.org") is None


async def test_a_change_that_was_cut_off(store: Store) -> None:
    """The new address counts, and the old one opens nothing, though it is still stored; then it is free."""
    addresses = await opened(store, "ada", "grace")
    await claim(addresses, "ada", "old@x.org")
    later = msgspec.msgpack.encode(("new@x.org", 9e9))
    await store.put_record(Record(KIND, key_of("new@x.org"), "ada", later))
    assert await addresses.of("ada") == "new@x.org"
    assert await addresses.holder(key_of("old@x.org")) is None
    assert await claim(addresses, "grace", "old@x.org") is None
    assert await addresses.of("grace") == "old@x.org"


async def test_an_account_that_is_gone(store: Store) -> None:
    """Its address is nobody's, and anyone's to take."""
    addresses = await opened(store, "ada", "grace")
    await claim(addresses, "ada", "ada@x.org")
    await store.remove_account("ada")
    assert await addresses.holder(key_of("ada@x.org")) is None
    assert await claim(addresses, "grace", "ada@x.org") is None
    assert await addresses.holder(key_of("ada@x.org")) == Holder("grace", "ada@x.org")


async def test_two_accounts_at_the_same_time(store: Store) -> None:
    """One of them gets the address, however often both try."""
    addresses = await opened(store, "ada", "grace")
    outcomes = await asyncio.gather(
        *(claim(addresses, user_id, "one@x.org") for user_id in ("ada", "grace") * 5), return_exceptions=True
    )
    holder = await addresses.holder(key_of("one@x.org"))
    assert holder is not None
    other = "grace" if holder.user_id == "ada" else "ada"
    assert await addresses.of(other) is None
    assert [isinstance(outcome, InvalidParameters) for outcome in outcomes].count(True) == 5
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == [
        outcome for outcome in outcomes if isinstance(outcome, InvalidParameters)
    ]
