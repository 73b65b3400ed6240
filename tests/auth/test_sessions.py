"""The rules of sessions: ids, logins, and how many a user has."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import string
import time
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.sessions import (
    PASSWORD,
    SOON,
    Counted,
    Held,
    MakeSessions,
    changes_of_accounts,
    load,
    stored,
)
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.caller import Caller
from toto_aio.auth.ends import Ends
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.exceptions import InvalidCredentials, Unavailable
from toto_aio.models import Account, ClientInfo
from toto_aio.settings import Settings
from toto_aio.stores import Store
from toto_aio.stores.memory import MemoryStore

# Ids


async def test_a_new_session(sessions: Sessions) -> None:
    """It belongs to the user, is empty, is valid for as long as the settings say, and loads by its id."""
    session = await sessions.create("ada")
    assert (session.user_id, session.state) == ("ada", {})
    assert 0 <= time.time() + 30 * 86400 - session.expires < SOON
    loaded = await load(sessions, session.session_id)
    assert (loaded.session_id, loaded.user_id, loaded.state) == (session.session_id, "ada", {})
    assert session.describe() == {
        "session_id": session.session_id,
        "expires": session.expires,
        "user_id": "ada",
    }


async def test_an_anonymous_session(sessions: Sessions) -> None:
    """Its user id is empty, and it is valid for a day."""
    session = await sessions.create()
    assert session.user_id == ""
    assert 0 <= time.time() + 86400 - session.expires < SOON
    assert (await load(sessions, session.session_id)).user_id == ""


async def test_ids_cannot_be_guessed(sessions: Sessions) -> None:
    """Each has 32 random bytes that no other session has, in characters that any header can carry."""
    ids = [(await sessions.create("ada")).session_id for _ in range(200)]
    assert len(set(ids)) == 200
    for session_id in ids:
        assert set(session_id) <= set(string.ascii_letters + string.digits + "-_")
        assert len(base64.urlsafe_b64decode(session_id + "=")) == 32
    for length in (4, 8):  # neither the time nor a counter is at the beginning or the end
        assert len({session_id[:length] for session_id in ids}) > 195
        assert len({session_id[-length:] for session_id in ids}) > 195


async def test_ids_are_hashed_at_rest(store: Store, sessions: Sessions) -> None:
    """The store knows a session only by the SHA-256 of its id, which does not load it."""
    session = await sessions.create("ada")
    session["a"] = 1
    await session.save()
    record = await stored(store)
    assert record.key == hashlib.sha256(session.session_id.encode()).hexdigest()
    assert session.session_id not in repr(record)
    assert await store.get_session(session.session_id) is None
    assert await sessions.load(record.key) is None


async def test_every_login_has_an_id_of_its_own(sessions: Sessions) -> None:
    """A second login leaves the first session unchanged."""
    await sessions.accounts.create("ada", PASSWORD)
    first, second = (
        await sessions.log_in("Ada", PASSWORD, ClientInfo("127.0.0.1")),
        await sessions.log_in("ada", PASSWORD, ClientInfo("127.0.0.1")),
    )
    assert first.session_id != second.session_id
    for session in (first, second):
        assert (await load(sessions, session.session_id)).user_id == "ada"


async def test_unknown_ids(sessions: Sessions) -> None:
    """They have no session, whatever they look like, and create none."""
    await sessions.create("ada")
    for session_id in ("", "x", "x" * 43, "x" * 256, "x" * 257, "x" * 1_000_000, "é", "\ud800", "\x00", " "):
        assert await sessions.load(session_id) is None, ascii(session_id[:50])
        assert await sessions.load(session_id) is None, ascii(session_id[:50])


async def test_ids_of_impossible_length(store: Store, sessions: Sessions) -> None:
    """The store is not queried for an id that it cannot have."""
    reads = Counted(store, "get_session")
    for session_id in ("", "x" * 257):
        assert await sessions.load(session_id) is None, session_id
        assert reads.calls == 0, session_id


async def test_ids_that_are_no_text(store: Store, sessions: Sessions) -> None:
    """Other values that a client may send as an id have no session, and never reach the store."""
    reads = Counted(store, "get_session")
    odd: list[Any] = [{"$gt": ""}, ["x"], [], 0, 1, True, False, b"x", 1.5]
    for session_id in odd:
        assert await sessions.load(session_id) is None, session_id
        assert await Caller(sessions, None, None).retrieve(session_id) is None, session_id
        assert reads.calls == 0, session_id


async def test_an_ended_session(store: Store, sessions: Sessions) -> None:
    """It can no longer be loaded; the user's other sessions can."""
    session, other = await sessions.create("ada"), await sessions.create("ada")
    await sessions.end(session)
    assert await sessions.load(session.session_id) is None
    assert await sessions.load(other.session_id) is not None
    await sessions.end(session)


async def test_the_others_are_ended(sessions: Sessions) -> None:
    """All other sessions of the user end; those of other users stay."""
    session = await sessions.create("ada")
    others = [await sessions.create("ada") for _ in range(3)]
    eve, anonymous = await sessions.create("eve"), await sessions.create()
    assert await sessions.end_others(session) == 3
    for other in others:
        assert await sessions.load(other.session_id) is None
    for kept in (session, eve, anonymous):
        assert await sessions.load(kept.session_id) is not None


async def test_an_anonymous_session_has_no_others(sessions: Sessions) -> None:
    """Anonymous sessions belong to nobody, so one of them cannot end those of strangers."""
    session, stranger = await sessions.create(), await sessions.create()
    assert await sessions.end_others(session) == 0
    assert await sessions.load(stranger.session_id) is not None


async def test_an_expired_session(store: Store, sessions: Sessions) -> None:
    """It counts as missing, and loading it does not bring it back."""
    session = await sessions.create("ada")
    await store.touch_session(session.record.key, time.time() - 1, time.time())
    assert await sessions.load(session.session_id) is None
    assert await store.list_sessions("ada") == []


# Accounts and logins


async def test_the_account_of_a_session(sessions: Sessions) -> None:
    """It is the user's account, with its values."""
    await sessions.accounts.create("Ada", PASSWORD, name="Ada")
    session = await sessions.log_in("ADA", PASSWORD, ClientInfo("127.0.0.1"))
    account = await session.get_account()
    assert account is not None
    assert dict(account) == {"user_id": "ada", "name": "Ada"}


async def test_sessions_without_an_account(store: Store, sessions: Sessions) -> None:
    """Anonymous sessions have none, without a query; nor do sessions whose account no longer exists."""
    reads = Counted(store, "get_account")
    assert await (await sessions.create()).get_account() is None
    assert reads.calls == 0
    assert await (await sessions.create("gone")).get_account() is None


async def test_a_failed_login(store: Store, sessions: Sessions) -> None:
    """It creates no session."""
    await sessions.accounts.create("ada", PASSWORD)
    for user_id, password in (("ada", "wrong"), ("ada", ""), ("eve", PASSWORD), ("", "")):
        with pytest.raises(InvalidCredentials):
            await sessions.log_in(user_id, password, ClientInfo("127.0.0.1"))
        for user in ("ada", "eve", ""):
            assert await store.list_sessions(user) == [], (user_id, password)


async def test_a_login_at_once_with_a_password_change(store: Store, sessions: Sessions) -> None:
    """A session created with the old password during its change does not outlive the change."""
    await sessions.accounts.create("ada", PASSWORD)
    adding = Held(store, "add_session")
    login = asyncio.create_task(sessions.log_in("ada", PASSWORD, ClientInfo("127.0.0.1")))
    await adding.reached.wait()  # the old password was right; its session is about to be created
    await sessions.accounts.change_password("ada", PASSWORD, "battery staple")
    kept = await sessions.create("ada")
    await sessions.end_others(kept)
    adding.go.set()
    with pytest.raises(InvalidCredentials):
        await login
    assert (await stored(store)).key == kept.record.key


async def test_a_login_before_a_password_change(store: Store, sessions: Sessions) -> None:
    """A session created just before the change is ended by it, however late it is handed out."""
    await sessions.accounts.create("ada", PASSWORD)
    looking = Counted(store, "get_account")
    session = await sessions.log_in("ada", PASSWORD, ClientInfo("127.0.0.1"))
    assert looking.calls == 2  # once for the password, and once more when the session existed
    await sessions.accounts.change_password("ada", PASSWORD, "battery staple")
    await sessions.end_others(await sessions.create("ada"))
    assert await sessions.load(session.session_id) is None


async def test_two_logins_that_replace_an_old_hash(store: Store, sessions: Sessions) -> None:
    """Both have the right password and both succeed, though each stores a different hash."""
    await store.add_account(Account("ada", "$p5k2$$exec$r1EWMCMk7Rlv3L/RNcFXviDefYa0hlql"))
    replacing = Held(store, *changes_of_accounts(store))
    first = asyncio.create_task(sessions.log_in("ada", "cloadm", ClientInfo("127.0.0.1")))
    await replacing.reached.wait()
    adding = Held(store, "add_session")
    second = asyncio.create_task(sessions.log_in("ada", "cloadm", ClientInfo("127.0.0.1")))
    await adding.reached.wait()  # the second has replaced the hash, and its session is about to be created
    replacing.go.set()
    await first
    adding.go.set()
    await second
    for session in (await first, await second):
        assert await sessions.load(session.session_id) is not None


async def test_other_changes_do_not_disturb_a_login(store: Store, sessions: Sessions) -> None:
    """Only the password counts: a login to an account whose values change in the meantime succeeds."""
    await sessions.accounts.create("ada", PASSWORD)
    adding = Held(store, "add_session")
    login = asyncio.create_task(sessions.log_in("ada", PASSWORD, ClientInfo("127.0.0.1")))
    await adding.reached.wait()
    await store.update_account("ada", {"name": "Ada"})
    adding.go.set()
    assert (await login).user_id == "ada"


async def test_accounts_and_sessions_in_two_stores(store: Store, passwords: Passwords) -> None:
    """Accounts may be stored elsewhere than sessions."""
    accounts = MemoryStore()
    sessions = Sessions(store, Accounts(accounts, passwords), Settings())
    await sessions.accounts.create("ada", PASSWORD, name="Ada")
    session = await sessions.log_in("ada", PASSWORD, ClientInfo("127.0.0.1"))
    account = await session.get_account()
    assert account is not None
    assert account["name"] == "Ada"
    assert await store.get_account("ada") is None
    assert await accounts.list_sessions("ada") == []
    assert (await load(sessions, session.session_id)).user_id == "ada"


async def test_more_sessions_than_a_user_may_have(store: Store, make_sessions: MakeSessions) -> None:
    """The oldest end, and are told; anonymous sessions are not counted, and every login gets one."""
    told: list[dict[str, str]] = []

    async def tell(end: dict[str, str]) -> None:
        told.append(end)

    sessions = make_sessions(max_sessions=3)
    sessions.ends = Ends(store, tell)
    eve = await sessions.create("eve")
    made = [await sessions.create("ada") for _ in range(5)]
    assert [await sessions.load(each.session_id) is not None for each in made] == [False] * 2 + [True] * 3
    assert told == [{"key": each.record.key} for each in made[:2]]
    anonymous = [await sessions.create() for _ in range(5)]
    assert all([await sessions.load(each.session_id) for each in (*anonymous, eve)])
    # A process whose clock is behind, or a smaller limit, ends the others and not the one it has just made.
    one = make_sessions(max_sessions=1)
    for session in made[2:]:
        await store.remove_session(session.record.key)
        await store.add_session(replace(session.record, created=time.time() + 900))
    newest = await one.create("ada")
    assert [each.key for each in await store.list_sessions("ada")] == [newest.record.key]


async def test_surplus_sessions_that_cannot_be_ended(
    store: Store, make_sessions: MakeSessions, caplog: pytest.LogCaptureFixture
) -> None:
    """The login succeeds, and a later one ends them."""
    sessions = make_sessions(max_sessions=1)
    first = await sessions.create("ada")

    async def away(*args: Any) -> list[str]:
        raise Unavailable from OSError("disk on fire")

    surplus = store.surplus_sessions
    store.surplus_sessions = away  # type: ignore[assignment,method-assign]
    second = await sessions.create("ada")
    assert "could not be ended: OSError('disk on fire')" in caplog.text
    assert await sessions.load(first.session_id) is not None
    store.surplus_sessions = surplus  # type: ignore[method-assign]
    third = await sessions.create("ada")
    assert [each.key for each in await store.list_sessions("ada")] == [third.record.key]
    assert await sessions.load(second.session_id) is None
