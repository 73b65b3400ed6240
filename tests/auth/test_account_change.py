"""Deletions and new passwords that are interrupted anywhere: no session from before outlives them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.auth.test_password_change import (
    CLIENT,
    NEW,
    OLD,
    Around,
    Failing,
    Stepped,
    Unlimited,
    change,
    is_right,
    sessions_in,
)
from tests.support.stores import make_record
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_account import UserAccount
from toto_aio.auth.user_session import UserSession
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


async def delete(sessions: Sessions, user_id: str = "ada") -> Any:
    """Delete an account."""
    return await sessions.accounts.delete(user_id)


async def set_password(sessions: Sessions, user_id: str = "ada") -> Any:
    """Set a new password."""
    return await sessions.accounts.set_password(user_id, NEW)


WAYS = {"before": True, "after": False, "before, cancelled": False, "after, cancelled": True}
"""How an operation fails, and whether only once."""


@pytest.mark.parametrize("act", [delete, set_password])
async def test_any_operation_fails(store: Store, act: Callable[..., Any]) -> None:
    """Wherever it stops, the account is as before, or no session is valid: not even if the id comes again."""
    whole = sessions_in(store)
    users = (f"ada{number}" for number in itertools.count())
    for how, once in WAYS.items():
        seen = set()
        for number in itertools.count():
            user_id = next(users)
            await whole.accounts.create(user_id, OLD)
            before = [await whole.create(user_id, CLIENT) for _ in range(2)]
            failing = Failing(number, how, once=once)
            task = asyncio.ensure_future(act(sessions_in(cast(Store, Around(store, failing.run))), user_id))
            outcome: Any = (await asyncio.gather(task, return_exceptions=True))[0]
            changed = not await is_right(whole, user_id, OLD)
            seen.add(changed)
            if changed:
                if act is delete:
                    assert await whole.accounts.get(user_id) is None, (how, number)
                    await whole.accounts.create(user_id, OLD)
                assert [await whole.load(each.session_id) for each in before] == [None, None], (how, number)
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, Unavailable | asyncio.CancelledError)
                await act(whole, user_id)  # it can be repeated
                assert not await is_right(whole, user_id, OLD)
            else:
                assert changed
            assert await store.list_sessions(user_id) == []
            if not failing.failed:
                break
        assert number >= 5
        assert seen == {True, False}, how


@pytest.mark.parametrize("log_in", [True, False], ids=["password", "other"])
@pytest.mark.parametrize(("act", "operations"), [(delete, 7), (set_password, 7)])
async def test_every_interleaving(act: Callable[..., Any], operations: int, log_in: bool) -> None:
    """However a login alternates with the change, and wherever that dies, no older session is left."""
    outcomes = set()
    for done in range(operations + 1):
        for places in itertools.combinations_with_replacement(range(done + 1), 5):
            store, log = MemoryStore(), []  # type: ignore[var-annotated]
            whole = sessions_in(store)
            await store.add_account(Account("ada", OLD))

            async def log_in_now(sessions: Sessions) -> UserSession:
                if log_in:
                    return await sessions.log_in("ada", OLD, CLIENT)
                return await sessions.log_in_known("ada", CLIENT)

            changing = Stepped(store, act, log, "change")
            login = Stepped(store, log_in_now, log, "login")
            for step in range(done + 1):
                for _ in range(places.count(step)):
                    await login.step()
                if step < done:
                    await changing.step()
            session = await login.finish()
            await changing.kill()
            changed = not await is_right(whole, "ada", OLD)
            lives = isinstance(session, UserSession) and await whole.load(session.session_id) is not None
            if changed and lives:  # it doesn't depend on the old password, and is younger than the new one
                assert act is set_password, log
                assert not log_in, log
                assert log.index("change replace_password") < log.index("login add_session"), log
            outcomes.add((changed, lives))
        if done == operations:
            assert [entry for entry in log if entry.startswith("change")][-1] == "change remove_session"
    both = {(True, True)} if act is set_password and not log_in else set()
    assert outcomes == {(False, False), (False, True), (True, False)} | both


@pytest.mark.parametrize("act", [delete, set_password])
async def test_during_a_password_change(act: Callable[..., Any]) -> None:
    """What comes in the middle of the user's own change of the password holds: no new session outlives it."""
    for number in range(20):
        store, log = MemoryStore(), []  # type: ignore[var-annotated]
        whole = sessions_in(store, attempts=Unlimited())
        await store.add_account(Account("ada", OLD))
        own = await whole.create("ada", CLIENT)

        async def change_own(sessions: Sessions, own: UserSession = own) -> UserSession:
            return await change(sessions, own, OLD, "the user's own")

        changing = Stepped(store, change_own, log, "change")
        for _ in range(number):
            await changing.step()
        ended = changing.task.done()
        await act(whole)
        await changing.finish()
        assert await store.list_sessions("ada") == [], log
        assert await is_right(whole, "ada", NEW) is (act is set_password)
        if ended:
            break
    assert ended


async def test_a_session_store_that_is_away(store: Store) -> None:
    """Nothing is changed, in whatever state the accounts are."""

    async def run(name: str, operation: Callable[[], Any]) -> Any:
        raise Unavailable

    sessions = sessions_in(store, cast(Store, Around(MemoryStore(), run)))
    await sessions.accounts.create("ada", OLD)
    for act in (delete, set_password):
        with pytest.raises(Unavailable):
            await act(sessions)
    assert await is_right(sessions, "ada", OLD)


async def test_the_first_password_and_another(store: Store) -> None:
    """One that is set needs no old one, follows the rules for new ones, and ends the sessions."""
    told: list[dict[str, str]] = []

    async def tell(end: dict[str, str]) -> None:
        told.append(end)

    sessions = sessions_in(store, on_end=tell, attempts=Unlimited())
    accounts = sessions.accounts
    await accounts.create("Ada", None, name="Ada")
    session = await sessions.create("ada", CLIENT)
    eve = await sessions.create("eve", CLIENT)
    for password in ("short", "x" * 1025, "\ud800", None):
        with pytest.raises(InvalidParameters):
            await accounts.set_password("ada", cast(str, password))
    for user_id in ("unknown", ""):
        with pytest.raises(InvalidUserID, match="no such account"):
            await accounts.set_password(user_id, OLD)
    assert await sessions.load(session.session_id) is not None
    await accounts.set_password("ADA", OLD)
    assert await sessions.load(session.session_id) is None
    assert told == [{"user_id": "ada", "keep": ""}]
    session = await sessions.log_in("ada", OLD, CLIENT)
    await accounts.set_password("ada", NEW)
    assert await sessions.load(session.session_id) is None
    with pytest.raises(InvalidCredentials):
        await sessions.log_in("ada", OLD, CLIENT)
    await sessions.log_in("ada", NEW, CLIENT)
    account = await accounts.get("ada")
    assert account is not None
    assert account["name"] == "Ada"
    assert await sessions.load(eve.session_id) is not None


async def test_a_deletion(store: Store) -> None:
    """The account and its sessions are gone, others are not; a new account of the name has nothing of it."""
    sessions = sessions_in(store, attempts=Unlimited())
    accounts = sessions.accounts
    for user_id in ("ada", "eve"):
        await accounts.create(user_id, OLD, name=user_id)
        await store.add_record(make_record(user_id, owner=user_id))
    session, eve = [await sessions.create(user_id, CLIENT) for user_id in ("ada", "eve")]
    kept = await accounts.get("ada")
    assert kept is not None
    assert await accounts.delete("ADA") is True
    assert [await store.get_record("code", user_id) is None for user_id in ("ada", "eve")] == [True, False]
    await store.add_record(make_record("late", owner="ada"))  # by a call in progress
    assert await accounts.delete("ada") is False
    assert await store.get_record("code", "late") is None
    await store.add_record(make_record("later", owner="ada"))
    with pytest.raises(UserIDExists):
        await accounts.create("eve", NEW)
    assert await store.get_record("code", "eve") is not None
    assert await accounts.get("ada") is None
    kept["name"] = "revived"
    with pytest.raises(InvalidUserID):
        await kept.save()
    with pytest.raises(InvalidCredentials):
        await sessions.log_in("ada", OLD, CLIENT)
    with pytest.raises(InvalidCredentials):
        await sessions.log_in_known("ada", CLIENT)
    again = await accounts.create("ada", NEW)
    assert again["name"] is None
    assert await store.get_record("code", "later") is None
    assert await sessions.load(session.session_id) is None
    assert await is_right(sessions, "ada", NEW)
    assert not await is_right(sessions, "ada", OLD)
    assert await sessions.load(eve.session_id) is not None
    assert [each.user_id for each in (await accounts.list()).accounts] == ["ada", "eve"]


async def test_an_account_of_version_0_1(store: Store) -> None:
    """One whose id would be stored in another form now is meant by exactly that id, and no other is."""
    sessions = sessions_in(store)
    for user_id in ("ada", "ada "):
        await store.add_account(Account(user_id, OLD))
    ada, older = [await sessions.create(user_id, CLIENT) for user_id in ("ada", "ada ")]
    assert [each["handle"] for each in await sessions.list("ada ")] == [older.handle]
    assert [each["handle"] for each in await sessions.list(" ADA")] == [ada.handle]
    await sessions.accounts.set_password("ada ", NEW)
    assert await sessions.load(older.session_id) is None
    assert await sessions.accounts.delete("ada ") is True
    assert [each.user_id for each in (await sessions.accounts.list()).accounts] == ["ada"]
    assert await is_right(sessions, "ada", OLD)
    assert await sessions.load(ada.session_id) is not None


async def test_only_the_account_itself(store: Store) -> None:
    """What is repeated after the account is gone does not find the one that looks the same, nor strangers."""
    sessions = sessions_in(store)
    accounts = sessions.accounts
    await accounts.create("admin", OLD)
    admin, stranger = await sessions.create("admin", CLIENT), await sessions.create("", CLIENT)
    for older in ("\uff41dmin", "admin ", "ad\u00admin"):
        await store.add_account(Account(older, OLD))
        session = await sessions.create(older, CLIENT)
        assert await accounts.delete(older) is True
        assert await sessions.load(session.session_id) is None
        assert await accounts.delete(older) is False, ascii(older)
        with pytest.raises(InvalidUserID, match="no such account"):
            await accounts.set_password(older, NEW)
    for nobody in ("", " ", "\u2800"):
        assert await accounts.delete(nobody) is False
    assert await is_right(sessions, "admin", OLD)
    for kept in (admin, stranger):
        assert await sessions.load(kept.session_id) is not None


async def test_pages_of_accounts(store: Store) -> None:
    """The cursor of a page leads to the next, and is None on the last."""
    accounts = sessions_in(store).accounts
    assert await accounts.list() == ([], None)
    user_ids = [f"user{n}" for n in range(5)]
    for user_id in user_ids:
        await accounts.create(user_id, None, name=user_id.upper())
    found: list[UserAccount] = []
    cursor, pages = None, 0
    while True:
        page = await accounts.list(cursor, limit=2)
        found += page.accounts
        pages += 1
        if (cursor := page.cursor) is None:
            break
    assert pages == 3
    assert [(each.user_id, each["name"]) for each in found] == [(each, each.upper()) for each in user_ids]
    found[0]["name"] = "new"
    await found[0].save()
    assert (await accounts.list(limit=1)).accounts[0]["name"] == "new"
    for limit in (0, 1001, -1):
        with pytest.raises(ValueError, match="limit: write 1 to 1000"):
            await accounts.list(limit=limit)
    with pytest.raises(InvalidParameters):
        await accounts.list("\ud800")


async def test_the_sessions_of_a_user_for_authors(store: Store) -> None:
    """They can be listed and ended by the user id; anonymous ones are nobody's."""
    told: list[dict[str, str]] = []

    async def tell(end: dict[str, str]) -> None:
        told.append(end)

    sessions = sessions_in(store, on_end=tell)
    made = [await sessions.create("ada", CLIENT) for _ in range(2)]
    anonymous = await sessions.create()
    listed = await sessions.list("ADA")
    assert {each["handle"] for each in listed} == {each.handle for each in made}
    assert listed[0].keys() == {"handle", "created", "seen", "expires", "address", "agent"}
    assert (listed[0]["address"], listed[0]["agent"]) == (CLIENT.address, CLIENT.agent)
    assert await sessions.end_all("Ada") == 2
    assert told == [{"user_id": "ada", "keep": ""}]
    assert await sessions.list("ada") == []
    assert await sessions.end_all("ada") == 0
    for act in (sessions.list, sessions.end_all):
        with pytest.raises(InvalidParameters, match="must not be empty"):
            await act("")
    assert await sessions.load(anonymous.session_id) is not None
