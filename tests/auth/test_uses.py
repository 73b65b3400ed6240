"""Uses of what counts once, when the store fails in between: on every store."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.disturbed import Failing
from tests.support.service import eventually
from toto_aio.auth import uses
from toto_aio.auth.codes import KIND, TRIES, Codes, Draft
from toto_aio.exceptions import InvalidCredentials, TooManyAttempts, Unavailable
from toto_aio.stores import Store

DATA = {"address": "ada@example.org"}
ADA = ("ada", DATA)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(uses, "PAUSE", 0)


async def new_code(codes: Codes) -> Draft:
    """A code that is valid."""
    draft = codes.draft("reset", "ada")
    await codes.store(draft, "ada", DATA)
    return draft


def wrong(draft: Draft) -> str:
    """Other digits than those of a code."""
    return f"{(int(draft.digits) + 1) % 10**6:06}"


async def test_a_use_whose_outcome_nobody_knows(store: Store) -> None:
    """The code is valid afterwards, once: also if the use, or the answer to it, comes late or never."""
    for fails in ("before", "after", "late"):
        for more in (0, 3):
            failing = Failing(store)
            codes = Codes(failing, store, [])
            draft = await new_code(codes)
            failing.fails, failing.fail_next = fails, more
            with pytest.raises(Unavailable):
                await codes.spend("reset", draft.ticket, draft.digits)
            assert failing.fail_next == 0, fails
            for save in failing.late:
                assert not await save(), "it comes too late to use the code up"
            assert (await codes.spend("reset", draft.ticket, draft.digits))[:2] == ADA, fails
            for use in (
                codes.spend("reset", draft.ticket, draft.digits),
                codes.spend_link("reset", draft.token),
            ):
                with pytest.raises(InvalidCredentials):
                    await use


async def test_a_use_that_too_many_others_are_in_the_way_of(store: Store) -> None:
    """The code is valid afterwards, as nothing has followed from it: a password was not hashed, say."""
    codes = Codes(store, store, [])
    draft = await new_code(codes)
    spent = await codes.spend("reset", draft.ticket, draft.digits)
    with pytest.raises(TooManyAttempts):
        async with spent.use.given_back_unless_done():
            raise TooManyAttempts
    assert (await codes.spend("reset", draft.ticket, draft.digits))[:2] == ADA


async def test_an_outage_tells_nothing_of_the_digits(store: Store) -> None:
    """Right and wrong ones do the same with a store that fails, and what was answered stays counted."""
    for fails in ("before", "after", "late"):
        done: dict[bool, list[str]] = {True: [], False: []}
        for right in done:
            failing = Failing(store)
            codes = Codes(failing, store, [])
            draft = await new_code(codes)
            failing.fails, failing.fail_next, failing.done = fails, 3, done[right]
            digits = draft.digits if right else wrong(draft)
            with pytest.raises(Unavailable):
                await codes.spend("reset", draft.ticket, digits)
            for save in failing.late:
                assert not await save()
        assert done[True] == done[False], fails
        assert done[True].count("save_record") > 1, fails
        for _ in range(TRIES):
            with pytest.raises(InvalidCredentials):
                await codes.spend("reset", draft.ticket, wrong(draft))
        with pytest.raises(InvalidCredentials):
            await codes.spend("reset", draft.ticket, draft.digits)


async def test_a_try_that_is_taken_back_beside_another(store: Store) -> None:
    """That of the other process, which was answered, counts."""
    failing = Failing(store)
    codes, other = Codes(failing, store, []), Codes(store, store, [])
    draft = await new_code(codes)
    failing.fails, failing.fail_next = "before", 10**6
    lost = asyncio.create_task(codes.spend("reset", draft.ticket, wrong(draft)))
    await eventually(lambda: failing.fail_next < 10**6)
    for number in range(TRIES):
        with pytest.raises(InvalidCredentials):
            await other.spend("reset", draft.ticket, wrong(draft))
        if not number:
            failing.fail_next = 0
            with pytest.raises(Unavailable):
                await lost
    with pytest.raises(InvalidCredentials):
        await other.spend("reset", draft.ticket, draft.digits)


async def test_what_a_code_is_used_for(store: Store) -> None:
    """If that fails by the store, or is cut off, the code is valid again; for any other error it is not."""
    failing = Failing(store)
    codes = Codes(failing, store, [])
    errors: tuple[BaseException, ...] = (Unavailable(), asyncio.CancelledError(), InvalidCredentials())
    for error in errors:
        draft = await new_code(codes)
        spent = await codes.spend_link("reset", draft.token)
        with pytest.raises(type(error)):
            async with spent.use.given_back_unless_done():
                failing.fail_next = 2
                raise error
        await codes.close()
        failing.fail_next = 0
        again = codes.spend("reset", draft.ticket, draft.digits)
        if isinstance(error, InvalidCredentials):
            with pytest.raises(InvalidCredentials):
                await again
        else:
            assert (await again)[:2] == ADA, error


async def test_a_code_that_another_one_has_replaced(store: Store) -> None:
    """What is taken back touches neither a code that is stored since, nor the use of another process."""
    codes, other = (Codes(store, store, []) for _ in range(2))
    first = await new_code(codes)
    spent = await codes.spend("reset", first.ticket, first.digits)
    with pytest.raises(Unavailable):
        async with spent.use.given_back_unless_done():
            second = await new_code(codes)
            raise Unavailable
    with pytest.raises(InvalidCredentials):
        await codes.spend("reset", first.ticket, first.digits)
    spent = await codes.spend("reset", second.ticket, second.digits)
    with pytest.raises(Unavailable):
        async with spent.use.given_back_unless_done():
            raise Unavailable
    assert (await other.spend("reset", second.ticket, second.digits))[:2] == ADA
    with pytest.raises(Unavailable):  # a second time, with what the first use has written
        async with spent.use.given_back_unless_done():
            raise Unavailable
    with pytest.raises(InvalidCredentials):
        await codes.spend("reset", second.ticket, second.digits)


async def test_a_store_that_stays_away(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller is told after a while, and at last the log."""
    monkeypatch.setattr(uses, "ANSWER_LIMIT", 0)
    monkeypatch.setattr(uses, "LIMIT", 0)
    failing = Failing(store)
    codes = Codes(failing, store, [])
    draft = await new_code(codes)
    failing.fails, failing.fail_next = "after", 10**6
    with pytest.raises(Unavailable):
        await codes.spend("reset", draft.ticket, draft.digits)
    await codes.close()
    assert "a code stays used" in caplog.text
    assert (await store.get_record(KIND, draft.key)) is not None
