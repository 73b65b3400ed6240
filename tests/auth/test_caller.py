"""The caller: loads its session once, makes others, and leaves."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.sessions import PASSWORD, Counted, Held
from toto_aio.auth.caller import Caller
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.exceptions import InvalidCredentials, InvalidHMAC
from toto_aio.models import ClientInfo
from toto_aio.stores import Store


async def test_a_caller_loads_the_session_once(store: Store, sessions: Sessions) -> None:
    """However often and concurrently it is asked for, the store is queried once."""
    session = await sessions.create("ada")
    caller = Caller(sessions, session.session_id, None)
    reads = Counted(store, "get_session")
    found = await asyncio.gather(*(caller.retrieve() for _ in range(10)))
    found += [await caller.retrieve(), await caller.retrieve(session.session_id)]
    assert caller.session is not None
    assert all(one is caller.session for one in found)
    assert reads.calls == 1


async def test_an_unknown_id_is_looked_up_once(store: Store, sessions: Sessions) -> None:
    """It has no session, and the store is queried once."""
    reads = Counted(store, "get_session")
    for number, session_id in enumerate(("unknown", "x" * 43), 1):
        caller = Caller(sessions, session_id, None)
        assert await asyncio.gather(*(caller.retrieve() for _ in range(10))) == [None] * 10
        assert await caller.retrieve() is None, session_id
        assert caller.session is None, session_id
        assert reads.calls == number, session_id


async def test_a_caller_without_an_id(store: Store, sessions: Sessions) -> None:
    """There is no session, and the store is not queried."""
    reads = Counted(store, "get_session")
    assert await Caller(sessions, None, None).retrieve() is None
    assert reads.calls == 0


async def test_another_id(sessions: Sessions) -> None:
    """A method may ask for the session of an id that it names; a wrong id has none."""
    own, other = await sessions.create("ada"), await sessions.create("eve")
    caller = Caller(sessions, own.session_id, None)
    await caller.retrieve()
    found = await caller.retrieve(other.session_id)
    assert found is not None
    assert found.user_id == "eve"
    assert caller.session is found
    assert await caller.retrieve("wrong") is None
    assert await caller.retrieve("") is None


async def test_a_signature_is_verified_where_the_session_is_loaded(sessions: Sessions) -> None:
    """A wrong signature is an error each time, and leaves no session."""
    session = await sessions.create("ada")
    verified = []

    async def refuse(session: UserSession) -> None:
        verified.append(session.user_id)
        raise InvalidHMAC

    caller = Caller(sessions, session.session_id, refuse)
    for _ in range(2):
        with pytest.raises(InvalidHMAC):
            await caller.retrieve()
        assert caller.session is None
    with pytest.raises(InvalidHMAC):
        await caller.log_out()
    assert verified == ["ada"] * 3
    assert await sessions.load(session.session_id) is not None


async def test_a_caller_makes_sessions(sessions: Sessions) -> None:
    """Anonymous without a user id, with a password check, or without; it becomes the caller's session."""
    await sessions.accounts.create("ada", PASSWORD)
    caller = Caller(sessions, None, None)
    anonymous = await caller.create(None, None, ClientInfo("127.0.0.1"), verify_password=True)
    assert (anonymous.user_id, caller.session) == ("", anonymous)
    logged_in = await caller.create("Ada", PASSWORD, ClientInfo("127.0.0.1"), verify_password=True)
    assert (logged_in.user_id, caller.session) == ("ada", logged_in)
    trusted = await caller.create("ADA", None, ClientInfo("127.0.0.1"), verify_password=False)
    assert (trusted.user_id, caller.session) == ("ada", trusted)
    assert await caller.retrieve() is trusted


async def test_a_caller_that_fails_to_log_in(sessions: Sessions) -> None:
    """The existing session stays the caller's."""
    await sessions.accounts.create("ada", PASSWORD)
    session = await sessions.create("ada")
    for user_id, password, verify_password in (
        ("ada", "wrong", True),
        ("eve", PASSWORD, True),
        ("eve", None, False),
        ("", "", True),
        ("", None, False),
    ):
        caller = Caller(sessions, session.session_id, None)
        await caller.retrieve()
        with pytest.raises(InvalidCredentials):
            await caller.create(user_id, password, ClientInfo("127.0.0.1"), verify_password=verify_password)
        assert caller.session is not None, (user_id, password)
        assert caller.session.session_id == session.session_id, (user_id, password)


async def test_a_login_while_the_old_session_is_loaded(store: Store, sessions: Sessions) -> None:
    """Calls of a batch may run concurrently: the created session is the one that stays."""
    old = await sessions.create("ada")
    caller = Caller(sessions, old.session_id, None)
    reading = Held(store, "get_session")
    retrieval = asyncio.create_task(caller.retrieve())
    await reading.reached.wait()
    login = asyncio.create_task(caller.create(None, None, ClientInfo("127.0.0.1"), verify_password=True))
    await asyncio.wait({login}, timeout=0.05)
    reading.go.set()
    await retrieval
    made = await login
    assert caller.session is made


async def test_a_caller_leaves(store: Store, sessions: Sessions) -> None:
    """The session is ended in the store and the caller no longer has one; a second logout is not an error."""
    session, other = await sessions.create("ada"), await sessions.create("ada")
    caller = Caller(sessions, session.session_id, None)
    for _ in range(2):
        await caller.log_out()
        assert caller.session is None
        assert await caller.retrieve() is None
    assert await sessions.load(session.session_id) is None
    assert await sessions.load(other.session_id) is not None


async def test_a_caller_leaves_what_it_made(sessions: Sessions) -> None:
    """After a login, the new session ends."""
    await sessions.accounts.create("ada", PASSWORD)
    caller = Caller(sessions, None, None)
    session = await caller.create("ada", PASSWORD, ClientInfo("127.0.0.1"), verify_password=True)
    await caller.log_out()
    assert caller.session is None
    assert await sessions.load(session.session_id) is None


async def test_nobody_leaves(sessions: Sessions) -> None:
    """Without a session, or with one that has ended, there is nothing to do."""
    await Caller(sessions, None, None).log_out()
    await Caller(sessions, "unknown", None).log_out()
