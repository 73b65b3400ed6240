"""Codes and links: what uses them up, and what they are kept as."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable
from typing import Any

import msgspec
import pytest

from tests.support.disturbed import Stopped
from tests.support.limits import WATCHDOG
from toto_aio.auth.codes import KIND, LASTS, TRIES, WRONG_A_DAY, Codes, Draft, Spent
from toto_aio.exceptions import InvalidCredentials
from toto_aio.models import Record
from toto_aio.stores import Store, open_store

DATA = {"address": "ada@example.org"}


async def new_code(codes: Codes, purpose: str = "reset", subject: str = "ada", owner: str = "ada") -> Draft:
    """A code that is valid."""
    draft = codes.draft(purpose, subject)
    await codes.store(draft, owner, DATA)
    return draft


def other(digits: str) -> str:
    """Six digits that are wrong."""
    return f"{(int(digits) + 1) % 10**6:06}"


async def is_refused(use: Awaitable[Spent]) -> bool:
    """Whether a code is refused, by the one error that there is for it."""
    try:
        await use
    except InvalidCredentials as exc:
        return bool(exc.value == "The code is wrong, used or expired: ask for a new one.")
    return False


async def test_a_code_and_a_link(store: Store) -> None:
    """Either gives what the code was stored for, once, and uses up the other."""
    codes = Codes(store, store, [])
    for by_link in (False, True):
        draft = await new_code(codes)
        used = (
            codes.spend_link("reset", draft.token)
            if by_link
            else codes.spend("reset", draft.ticket, f" {draft.digits} ")
        )
        assert (await used)[:2] == ("ada", DATA)
        assert await is_refused(codes.spend("reset", draft.ticket, draft.digits))
        assert await is_refused(codes.spend_link("reset", draft.token))


async def test_many_uses_at_the_same_time(store: Store) -> None:
    """Of a thousand in memory, and of a hundred elsewhere, one succeeds, by code or by link."""
    many = 1000 if type(store).__name__ == "MemoryStore" else 100
    codes = Codes(store, store, [])
    draft = await new_code(codes)
    uses = [
        codes.spend_link("reset", draft.token) if n % 2 else codes.spend("reset", draft.ticket, draft.digits)
        for n in range(many)
    ]
    refused = await asyncio.gather(*map(is_refused, uses))
    assert refused.count(False) == 1


async def test_many_tries_at_the_same_time(store: Store) -> None:
    """However they are timed, five wrong digits are answered, and the right ones come too late."""
    codes = Codes(store, store, [])
    draft = await new_code(codes)
    wrong = [codes.spend("reset", draft.ticket, other(draft.digits)) for _ in range(50)]
    assert all(await asyncio.gather(*map(is_refused, wrong)))
    assert await is_refused(codes.spend("reset", draft.ticket, draft.digits))
    assert (await store.get_counter(f"codes:{draft.key}"))[0] == TRIES


async def test_what_makes_a_code_invalid(store: Store) -> None:
    """Another purpose, another ticket, a new code, and five wrong digits."""
    codes = Codes(store, store, [])
    draft = await new_code(codes)
    grace = await new_code(codes, subject="grace", owner="grace")
    for number in range(TRIES - 1):
        assert await is_refused(codes.spend("reset", draft.ticket, other(draft.digits))), number
    for purpose, ticket in (
        ("login", draft.ticket),
        ("reset", draft.ticket[:-1]),
        ("reset", grace.ticket),
        ("reset", ""),
        ("reset", "\ud800"),
        ("reset", "x" * 300),
    ):
        assert await is_refused(codes.spend(purpose, ticket, draft.digits)), (purpose, ticket)
        assert await is_refused(codes.spend_link(purpose, ticket)), (purpose, ticket)
    assert await is_refused(codes.spend("reset", draft.token, draft.digits))
    assert await is_refused(codes.spend_link("reset", draft.ticket))
    assert await codes.spend("reset", draft.ticket, draft.digits), "none of these was a try"

    first = await new_code(codes)
    second = await new_code(codes)
    assert await is_refused(codes.spend("reset", first.ticket, first.digits))
    assert await is_refused(codes.spend_link("reset", first.token))
    for _ in range(TRIES):
        assert await is_refused(codes.spend("reset", second.ticket, other(second.digits)))
    assert await is_refused(codes.spend("reset", second.ticket, second.digits))
    assert await is_refused(codes.spend_link("reset", second.token))


async def test_a_process_that_was_stopped(store: Store) -> None:
    """What it has read before a code was used up, and another one stored, is worth nothing to it."""
    for right in (True, False):
        codes = Codes(store, store, [])
        before = await new_code(codes)
        digits = before.digits if right else other(before.digits)
        stopped = Codes(Stopped(store, await store.get_record(KIND, before.key)), store, [])
        assert (await codes.spend("reset", before.ticket, before.digits))[:2] == ("ada", DATA)
        after = await new_code(codes)
        assert await is_refused(stopped.spend("reset", before.ticket, digits))
        assert (await codes.spend("reset", after.ticket, after.digits))[:2] == ("ada", DATA)


async def test_a_code_that_is_replaced() -> None:
    """A later one has taken its place, even if that is used up."""
    store = await open_store("memory://")
    codes = Codes(store, store, [])
    late = codes.draft("reset", "ada")
    assert not await codes.is_replaced(late)
    later = await new_code(codes)
    assert await codes.is_replaced(late)
    assert not await codes.is_replaced(later)
    await codes.spend("reset", later.ticket, later.digits)
    assert await codes.is_replaced(late)


async def test_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code is valid until they have passed, and no longer."""
    store = await open_store("memory://")
    codes = Codes(store, store, [])
    drafts = [await new_code(codes, subject=subject) for subject in ("ada", "grace")]
    now = time.time()
    assert drafts[0].expires == pytest.approx(now + LASTS, abs=WATCHDOG)
    monkeypatch.setattr(time, "time", lambda: drafts[0].expires - 1)
    assert await codes.spend("reset", drafts[0].ticket, drafts[0].digits)
    monkeypatch.setattr(time, "time", lambda: drafts[1].expires + 1)
    assert await is_refused(codes.spend("reset", drafts[1].ticket, drafts[1].digits))
    assert await is_refused(codes.spend_link("reset", drafts[1].token))


async def test_a_code_of_nobody(store: Store) -> None:
    """It is stored, tried and used up as any other, and opens nothing."""
    codes = Codes(store, store, [])
    draft = await new_code(codes, owner="")
    assert hashlib.sha256(draft.token.encode()).digest() in (await stored(store, draft)).value
    assert await is_refused(codes.spend("reset", draft.ticket, other(draft.digits)))
    assert await is_refused(codes.spend("reset", draft.ticket, draft.digits))
    assert hashlib.sha256(draft.token.encode()).digest() not in (await stored(store, draft)).value
    draft = await new_code(codes, owner="")
    assert await is_refused(codes.spend_link("reset", draft.token))


async def stored(store: Store, draft: Draft) -> Record:
    """The record of a code."""
    record = await store.get_record(KIND, draft.key)
    assert record is not None
    return record


async def test_guesses_of_a_day(store: Store) -> None:
    """After too many wrong digits only links are valid, so that strangers keep nobody out."""
    codes = Codes(store, store, [])
    for _ in range(WRONG_A_DAY // TRIES):
        draft = await new_code(codes)
        for _ in range(TRIES):
            assert await is_refused(codes.spend("reset", draft.ticket, other(draft.digits)))
    draft = await new_code(codes)
    assert await is_refused(codes.spend("reset", draft.ticket, draft.digits))
    assert await codes.spend_link("reset", draft.token)
    grace = await new_code(codes, subject="grace", owner="grace")
    assert await codes.spend("reset", grace.ticket, grace.digits)


async def test_what_is_stored(store: Store) -> None:
    """Neither secret; and with the key of the deployment the digits cannot be found from what is stored."""
    found: dict[str, Any] = {}
    for secret_key in ("", "k" * 32):
        codes = Codes(store, store, [secret_key] if secret_key else [])
        draft = await new_code(codes)
        record = await store.get_record(KIND, draft.key)
        assert record is not None
        assert record.owner == "ada"
        for secret in (draft.ticket.partition(".")[2], draft.token.partition(".")[2]):
            assert secret.encode() not in record.value
        found[secret_key] = msgspec.msgpack.decode(record.value), draft
    for secret_key, (stored, draft) in found.items():
        guessed = f"{draft.ticket}:{draft.digits}".encode()
        by_ticket = hmac.digest(hmac.digest(b"", b"toto_aio codes", "sha256"), guessed, "sha256")
        assert (stored["digits"] == by_ticket) == (secret_key == "")
        assert stored["digits"] != hashlib.sha256(draft.digits.encode()).digest()
    rotated = Codes(store, store, ["n" * 32, "k" * 32])
    draft = found["k" * 32][1]
    assert await is_refused(Codes(store, store, []).spend("reset", found["k" * 32][1].ticket, draft.digits))
    assert await rotated.spend("reset", draft.ticket, draft.digits)
