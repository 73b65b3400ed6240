"""Verified addresses: one belongs to one account, whatever happens at the same time or halfway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from tests.support.limits import WATCHDOG
from toto_aio.auth.verified_addresses import KIND, Holder, VerifiedAddresses
from toto_aio.exceptions import InvalidCredentials, InvalidParameters, Unavailable
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


async def nothing() -> None:
    """What need not be true."""


async def claim(
    addresses: VerifiedAddresses,
    user_id: str,
    address: str,
    require: Callable[[], Awaitable[None]] = nothing,
    *,
    replaces: bool = True,
) -> str | None:
    """Give a user an address."""
    return await addresses.claim(user_id, key_of(address), address, require, replaces=replaces)


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


async def test_a_change_that_is_sent_again(store: Store) -> None:
    """A repeat tells which address a killed one replaced; if it is cancelled, the former one counts."""
    addresses = await opened(store, "ada")
    await claim(addresses, "ada", "old@x.org")
    later = msgspec.msgpack.encode(("new@x.org", time.time() + 1))
    await store.put_record(Record(KIND, key_of("new@x.org"), "ada", later))
    assert await claim(addresses, "ada", "new@x.org") == "old@x.org"
    assert await claim(addresses, "ada", "new@x.org") is None

    async def cancelled() -> None:
        raise asyncio.CancelledError

    for address in ("new@x.org", "newest@x.org"):
        with pytest.raises(asyncio.CancelledError):
            await claim(addresses, "ada", address, cancelled)
        assert await addresses.of("ada") == "new@x.org"


async def test_two_claims_of_one_address(store: Store) -> None:
    """An account has what the one gives it that is not refused, and what it had before if both are."""
    addresses = await opened(store, "ada")

    async def refused() -> None:
        raise InvalidCredentials

    async def both_refused() -> None:
        with pytest.raises(InvalidCredentials):
            await claim(addresses, "ada", "Own@x.org", refused)
        raise InvalidCredentials

    async def one_refused() -> None:
        await claim(addresses, "ada", "own@x.org")
        raise InvalidCredentials

    spellings = ["OWN@x.org"]

    async def none_refused() -> None:
        if spellings:
            await claim(addresses, "ada", spellings.pop())

    for before in (None, "own@x.org"):
        with pytest.raises(InvalidCredentials):
            await claim(addresses, "ada", "OWN@x.org", both_refused)
        assert await addresses.of("ada") == before
        with pytest.raises(InvalidCredentials):
            await claim(addresses, "ada", "OWN@x.org", one_refused)
        assert await addresses.of("ada") == "own@x.org"
    assert await claim(addresses, "ada", "Own@x.org", none_refused) is None
    assert await addresses.of("ada") == "Own@x.org"


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


class Pausing:
    """A store as a process has it that is stopped before one of its operations, until the test goes on."""

    def __init__(self, store: Store, operation: str) -> None:
        self._store = store
        self._operation = operation
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != self._operation or self.reached.is_set():
            return found

        async def stopped(*values: Any) -> Any:
            self.reached.set()
            await self.go_on.wait()
            return await found(*values)

        return stopped


@asynccontextmanager
async def stopped(
    store: Store, operation: str, address: str, *, replaces: bool = True
) -> AsyncIterator[asyncio.Future[Any]]:
    """A claim of ada's in a process that is stopped before an operation while the block runs, and goes on."""
    pausing: Any = Pausing(store, operation)
    addresses = VerifiedAddresses(pausing, store)
    claiming = asyncio.ensure_future(claim(addresses, "ada", address, replaces=replaces))
    async with asyncio.timeout(WATCHDOG):
        await pausing.reached.wait()
        yield claiming
        pausing.go_on.set()
        await asyncio.wait([claiming])


async def test_a_process_that_was_stopped(store: Store) -> None:
    """A former address that is another account's by now stays that one's, whenever the process goes on."""
    addresses = await opened(store, "ada", "grace")
    await claim(addresses, "ada", "old@x.org")
    async with stopped(store, "remove_record", "new@x.org"):
        await claim(addresses, "ada", "third@x.org")
        await claim(addresses, "grace", "old@x.org")
    assert await addresses.of("grace") == "old@x.org"
    assert await addresses.of("ada") == "third@x.org"


async def test_what_has_changed_meanwhile(store: Store) -> None:
    """An address that the account has got since is not replaced, and what was required is required again."""
    addresses = await opened(store, "ada", "grace")
    for operation in ("add_record", "list_records"):
        for replaces in (True, False):
            await store.remove_records("ada")
            async with stopped(store, operation, "new@x.org", replaces=replaces) as claiming:
                await claim(addresses, "ada", "third@x.org")
            if operation == "list_records":  # it has begun afterwards
                if replaces:
                    assert claiming.result() == "third@x.org"
                else:
                    assert isinstance(claiming.exception(), InvalidParameters)
            else:
                assert isinstance(claiming.exception(), Unavailable)
            expected = "new@x.org" if operation == "list_records" and replaces else "third@x.org"
            assert await addresses.of("ada") == expected
    assert await claim(addresses, "ada", "own@x.org") is not None

    async def refuse() -> None:
        assert await addresses.of("ada") in ("new@x.org", "OWN@x.org")
        raise InvalidCredentials

    for address in ("new@x.org", "OWN@x.org"):
        with pytest.raises(InvalidCredentials):
            await claim(addresses, "ada", address, refuse)
        assert await addresses.of("ada") == "own@x.org"
    assert await claim(addresses, "grace", "new@x.org") is None


async def test_a_clock_that_goes_back(store: Store) -> None:
    """The address that was verified last counts at once, also if another server's clock was ahead."""
    addresses = await opened(store, "ada")
    ahead = msgspec.msgpack.encode(("old@x.org", 9e9))
    await store.put_record(Record(KIND, key_of("old@x.org"), "ada", ahead))

    async def counts() -> None:
        assert await addresses.of("ada") == "new@x.org"

    assert await claim(addresses, "ada", "new@x.org", counts) == "old@x.org"
