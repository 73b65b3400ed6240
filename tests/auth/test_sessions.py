"""The rules of sessions: ids, lifetimes, saves that keep what others wrote, and the caller."""

from __future__ import annotations

import asyncio
import base64
import enum
import hashlib
import string
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock_time
from decimal import Decimal
from functools import partial
from typing import Any

import argon2
import pytest
from msgspec.structs import replace

import toto_aio.auth.sessions
from tests.support.service import shown
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.caller import Caller
from toto_aio.auth.ends import Ends
from toto_aio.auth.passwords import Passwords
from toto_aio.auth.session_state import MAX_SIZE
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.codecs.msgpack_codec import EXACT
from toto_aio.exceptions import InvalidCredentials, InvalidHMAC, InvalidSessionID, Unavailable
from toto_aio.models import Account, ClientInfo, Session
from toto_aio.settings import Settings
from toto_aio.stores import Store
from toto_aio.stores.memory import MemoryStore

MakeSessions = Callable[..., Sessions]

PASSWORD = "correct horse"
SOON = 20.0
"""Seconds that a test may take between two readings of the clock."""


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Hashes that are cheap to compute."""
    passwords = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield passwords
    passwords.close()


@pytest.fixture
def make_sessions(store: Store, passwords: Passwords) -> MakeSessions:
    """The sessions in the store under the given settings: ``make_sessions(session_ttl=10)``."""
    return lambda **options: Sessions(store, Accounts(store, passwords), Settings(**options))


@pytest.fixture
def sessions(make_sessions: MakeSessions) -> Sessions:
    """The sessions in the store under the default settings."""
    return make_sessions()


class Held:
    """Make the first call of some store operations wait for ``go``; ``reached`` is set when it is waiting."""

    def __init__(self, store: Any, *operations: str) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        for name in operations:
            setattr(store, name, self._hold(getattr(store, name)))

    def _hold(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        async def held(*args: Any, **kwargs: Any) -> Any:
            if not self.reached.is_set():
                self.reached.set()
                await self.go.wait()
            return await operation(*args, **kwargs)

        return held


def changes_of_accounts(store: Any) -> list[str]:
    """The operations of a store that change an existing account."""
    others = ("_", "get_", "add_", "open", "close", "sweep")
    names = [name for name in dir(store) if not name.startswith(others) and "session" not in name]
    return [name for name in names if callable(getattr(store, name))]


class Counted:
    """Counts the calls of a store operation."""

    def __init__(self, store: Any, operation: str) -> None:
        self.calls = 0
        original = getattr(store, operation)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return await original(*args, **kwargs)

        setattr(store, operation, counted)


async def stored(store: Store, user_id: str = "ada") -> Session:
    """The only session of a user, as it is stored."""
    [session] = await store.list_sessions(user_id)
    return session


async def load(sessions: Sessions, session_id: str) -> UserSession:
    """A session that must exist."""
    session = await sessions.load(session_id)
    assert session is not None
    return session


async def state_of(sessions: Sessions, session: UserSession) -> dict[str, Any]:
    """The stored state of a session, as another request reads it."""
    return (await load(sessions, session.session_id)).state


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


# Renewal


async def test_a_fresh_session_is_not_written(store: Store, make_sessions: MakeSessions) -> None:
    """Renewal does not cost a write on every request."""
    for options in ({}, {"session_renew": 600}, {"session_ttl": 1e9}, {"session_max_ttl": 60}):
        sessions = make_sessions(**options)
        session = await sessions.create("ada")
        writes = Counted(store, "touch_session")
        for _ in range(3):
            assert (await load(sessions, session.session_id)).expires == session.expires
        assert writes.calls == 0


RENEWALS: list[tuple[str, dict[str, float], float, float | None]] = [
    ("ada", {"session_ttl": 100_000}, 99_500, None),
    ("ada", {"session_ttl": 1000}, 985, 1000),
    ("ada", {"session_ttl": 1000}, 20, 1000),
    ("ada", {"session_ttl": 1000, "session_renew": 100}, 120, None),
    ("ada", {"session_ttl": 1000, "session_renew": 100}, 80, 1000),
    ("ada", {"session_ttl": 1000, "session_renew": 5000}, 980, 1000),
    ("ada", {"session_ttl": 1000, "session_renew": 900, "anon_session_renew": 10}, 500, 1000),
    ("", {"anon_session_ttl": 100_000}, 99_500, None),
    ("", {"anon_session_ttl": 1000}, 985, 1000),
    ("", {"anon_session_ttl": 1000, "session_ttl": 9000}, 20, 1000),
    ("", {"anon_session_ttl": 1000, "anon_session_renew": 100}, 120, None),
    ("", {"anon_session_ttl": 1000, "anon_session_renew": 100, "session_renew": 900}, 500, None),
    ("", {"anon_session_ttl": 1000, "anon_session_renew": 100}, 80, 1000),
]
"""The user, the options, the seconds that are left, and the new lifetime, or None without a renewal."""


async def test_renewal(store: Store, make_sessions: MakeSessions) -> None:
    """0 renews after a hundredth of the lifetime, else when less is left; anonymous sessions separately."""
    for user_id, options, left, life in RENEWALS:
        sessions = make_sessions(**options)
        session = await sessions.create(user_id)
        before = time.time() + left
        await store.touch_session(session.record.key, before, time.time())
        loaded = await load(sessions, session.session_id)
        record = await stored(store, user_id)
        assert record.expires == loaded.expires
        assert record.version == 1
        if life is None:
            assert loaded.expires == pytest.approx(before, abs=0.001), (options, left)
        else:
            assert 0 <= time.time() + life - loaded.expires < SOON, (options, left)
        await sessions.end(session)


async def test_a_session_ends_at_last(store: Store, make_sessions: MakeSessions) -> None:
    """However often it is used, it ends after ``session_max_ttl``."""
    sessions = make_sessions(session_ttl=1000, session_max_ttl=5000)
    session = await sessions.create("ada")
    now = time.time()
    record = replace(await stored(store), created=now - 4500, expires=now + 10)
    await store.remove_session(record.key)
    await store.add_session(record)
    loaded = await load(sessions, session.session_id)
    assert loaded.expires == pytest.approx(record.created + 5000, abs=0.001)
    assert (await stored(store)).expires == loaded.expires
    writes = Counted(store, "touch_session")
    assert (await load(sessions, session.session_id)).expires == loaded.expires
    assert writes.calls == 0


async def test_no_session_is_made_to_live_longer(make_sessions: MakeSessions) -> None:
    """``session_max_ttl`` counts from the creation, for anonymous sessions too."""
    sessions = make_sessions(session_ttl=1000, anon_session_ttl=1000, session_max_ttl=100)
    for user_id in ("ada", ""):
        session = await sessions.create(user_id)
        assert 0 <= time.time() + 100 - session.expires < SOON


async def test_a_shorter_life_is_not_applied_backwards(store: Store, make_sessions: MakeSessions) -> None:
    """A session that was created with a longer lifetime keeps it."""
    session = await make_sessions(session_ttl=5000).create("ada")
    loaded = await load(make_sessions(session_ttl=1000), session.session_id)
    assert loaded.expires == (await stored(store)).expires == session.expires


async def test_a_renewal_revives_nothing(store: Store, make_sessions: MakeSessions) -> None:
    """A session that ends while it is being renewed stays ended."""
    sessions = make_sessions(session_ttl=1000)
    session = await sessions.create("ada")
    await store.touch_session(session.record.key, time.time() + 10, time.time())
    renewal = Held(store, "touch_session")
    loading = asyncio.create_task(sessions.load(session.session_id))
    await renewal.reached.wait()
    await sessions.end(session)
    renewal.go.set()
    assert await loading is None
    assert await store.list_sessions("ada") == []


async def test_a_renewal_that_cannot_be_written(
    store: Store,
    make_sessions: MakeSessions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The session is used as it is, the database is spared for a while, and a later request renews it."""
    sessions = make_sessions(session_ttl=1000)
    session = await sessions.create("ada")
    end = time.time() + 900
    await store.touch_session(session.record.key, end, time.time())
    touch = store.touch_session

    async def refuse(*args: Any) -> bool:
        raise Unavailable from OSError("OOM command not allowed")

    monkeypatch.setattr(store, "touch_session", refuse)
    tried = Counted(store, "touch_session")
    for _ in range(2):
        loaded = await load(sessions, session.session_id)
        assert loaded.expires == pytest.approx(end)
        assert not loaded.renewed
    assert tried.calls == 1
    assert "sessions cannot be renewed, and are used as they are: OSError('OOM" in caplog.text
    monkeypatch.setattr(toto_aio.auth.sessions, "RENEWAL_PAUSE", 0)
    sessions = make_sessions(session_ttl=1000)
    assert (await load(sessions, session.session_id)).renewed is False
    monkeypatch.setattr(store, "touch_session", touch)
    loaded = await load(sessions, session.session_id)
    assert loaded.renewed
    assert loaded.expires == (await stored(store)).expires > end


async def test_a_save_does_not_undo_a_renewal(store: Store, make_sessions: MakeSessions) -> None:
    """A long request saves after another has renewed the session: the session stays valid."""
    sessions = make_sessions(session_ttl=1000)
    session = await sessions.create("ada")
    await store.touch_session(session.record.key, time.time() + 995, time.time())
    long = await load(sessions, session.session_id)
    renewed = time.time() + 1000
    await store.touch_session(session.record.key, renewed, time.time())
    long["a"] = 1
    await long.save()
    assert (await stored(store)).expires == pytest.approx(renewed, abs=0.001)


# A session as a method sees it


async def test_dictionary_access(sessions: Sessions) -> None:
    """A session reads like its state, and a missing key as None."""
    session = await sessions.create("ada")
    session["a"], session["b"] = 1, None
    assert (session["a"], session["b"], session["missing"]) == (1, None, None)
    assert (session.get("a"), session.get("missing"), session.get("missing", 5), session.get("b", 5)) == (
        1,
        None,
        5,
        None,
    )
    assert "a" in session
    assert "missing" not in session
    assert sorted(session) == ["a", "b"]
    assert session.state == {"a": 1, "b": None}
    del session["a"]
    assert session.state == {"b": None}


async def test_whose_session_it_is_can_only_be_read(sessions: Sessions) -> None:
    """A method cannot become another user, or extend the lifetime, by an assignment."""
    session: Any = await sessions.create("ada")
    for name in ("user_id", "expires", "state"):
        with pytest.raises(AttributeError):
            setattr(session, name, "eve")


async def test_changes_stay_here_until_they_are_saved(sessions: Sessions) -> None:
    """Another request sees them after ``save``, and after ``save_state``, which is the same."""
    session = await sessions.create("ada")
    session["a"] = 1
    assert await state_of(sessions, session) == {}
    await session.save()
    assert await state_of(sessions, session) == {"a": 1}
    session.state["b"] = 2
    await session.save_state()
    assert await state_of(sessions, session) == {"a": 1, "b": 2}


STATE: dict[str, Any] = {
    "text": "grüße 🦊 \x00 \n",
    "bytes": bytes(range(256)),
    "large": 2**63 - 1,
    "small": -(2**63),
    "real": 0.1,
    "whole": 2.0,
    "true": True,
    "none": None,
    "list": [1, [2, {"a": [b"x"]}]],
    "dict": {"dotted.name": {"$gt": ""}, "": 1},
    "": "no name",
    "$set": "name",
    "a.b": "name",
}


async def test_state_of_every_plain_kind(sessions: Sessions) -> None:
    """It comes back unchanged, each value with its own type."""
    session = await sessions.create("ada")
    session.state.update(STATE)
    await session.save()
    state = await state_of(sessions, session)
    assert state == STATE
    assert [type(state[name]) for name in STATE] == [type(value) for value in STATE.values()]


async def test_a_save_writes_changed_keys_alone(sessions: Sessions) -> None:
    """What another request wrote to other keys is kept, and visible here after the save."""
    session = await sessions.create("ada")
    session.state.update({"mine": 0, "theirs": 0, "removed": 0})
    await session.save()
    one, two = await load(sessions, session.session_id), await load(sessions, session.session_id)
    assert two["theirs"] == 0  # reading them is not a change
    one["theirs"], one["new"] = 1, 1
    del one["removed"]
    await one.save()
    two["mine"] = 2
    await two.save()
    assert two.state == {"mine": 2, "theirs": 1, "new": 1}
    assert await state_of(sessions, session) == {"mine": 2, "theirs": 1, "new": 1}


async def test_saves_at_once_keep_each_other(sessions: Sessions) -> None:
    """Ten requests save one key each at the same time, and all ten keys are stored."""
    session = await sessions.create("ada")
    loaded = [await load(sessions, session.session_id) for _ in range(10)]
    for n, other in enumerate(loaded):
        other[f"k{n}"] = n
    await asyncio.gather(*(other.save() for other in loaded))
    assert await state_of(sessions, session) == {f"k{n}": n for n in range(10)}


async def test_servers_that_save_at_once_keep_each_other(make_sessions: MakeSessions) -> None:
    """The same holds for ten servers, which do not know of each other."""
    session = await make_sessions().create("ada")
    loaded = [await load(make_sessions(), session.session_id) for _ in range(10)]
    for n, other in enumerate(loaded):
        other[f"k{n}"] = n
    await asyncio.gather(*(other.save() for other in loaded))
    assert await state_of(make_sessions(), session) == {f"k{n}": n for n in range(10)}


async def test_the_last_save_of_a_key_counts(sessions: Sessions) -> None:
    """If two requests set the same key, the later save wins."""
    session = await sessions.create("ada")
    one, two = await load(sessions, session.session_id), await load(sessions, session.session_id)
    one["a"], two["a"] = 1, 2
    await one.save()
    await two.save()
    assert await state_of(sessions, session) == {"a": 2}


async def test_a_deleted_key_is_removed(sessions: Sessions) -> None:
    """It stays removed, even when another request that had read it saves other keys."""
    session = await sessions.create("ada")
    session.state.update({"a": 1, "b": 1})
    await session.save()
    one, two = await load(sessions, session.session_id), await load(sessions, session.session_id)
    assert two["a"] == 1
    del one["a"]
    await one.save()
    two["b"] = 2
    await two.save()
    assert await state_of(sessions, session) == {"b": 2}


async def test_a_nested_change_is_noticed(sessions: Sessions) -> None:
    """Changing a value in place is enough, even to one that Python considers equal."""
    changes: list[tuple[Any, Callable[[Any], None], Any]] = [
        ([1], lambda value: value.append(2), [1, 2]),
        ({"a": {"b": [1]}}, lambda value: value["a"]["b"].clear(), {"a": {"b": []}}),
        ({"a": 1}, lambda value: value.update(a=True), {"a": True}),
        ({"a": 1}, lambda value: value.update(a=1.0), {"a": 1.0}),
        ([0.0], lambda value: value.__setitem__(0, -0.0), [-0.0]),
    ]
    for before, change, after in changes:
        session = await sessions.create("ada")
        session["value"] = before
        await session.save()
        loaded = await load(sessions, session.session_id)
        change(loaded["value"])
        await loaded.save()
        assert repr((await state_of(sessions, session))["value"]) == repr(after)


async def test_a_saved_value_can_be_changed_again(sessions: Sessions) -> None:
    """After a save, the value passed in belongs to the session and is not linked to what was saved."""
    session = await sessions.create("ada")
    session["list"] = [1]
    await session.save()
    session["list"].append(2)
    assert await state_of(sessions, session) == {"list": [1]}
    await session.save()
    assert await state_of(sessions, session) == {"list": [1, 2]}


async def test_changes_during_a_save_are_not_lost(store: Store, sessions: Sessions) -> None:
    """Anything set, deleted or changed in place while a save is in progress is written by the next one."""
    session = await sessions.create("ada")
    session.state.update({"a": 1, "gone": 1, "list": [1]})
    writing = Held(store, "save_session")
    save = asyncio.create_task(session.save())
    await writing.reached.wait()
    session["b"] = 2
    session["list"].append(2)
    del session["gone"]
    writing.go.set()
    await save
    assert session.state == {"a": 1, "b": 2, "list": [1, 2]}
    assert await state_of(sessions, session) == {"a": 1, "gone": 1, "list": [1]}
    await session.save()
    assert await state_of(sessions, session) == {"a": 1, "b": 2, "list": [1, 2]}


async def test_saves_of_one_request_at_once(sessions: Sessions) -> None:
    """Tasks of one request may save the session that they share."""
    session = await sessions.create("ada")

    async def work(n: int) -> None:
        session[f"k{n}"] = n
        await session.save()

    await asyncio.gather(*(work(n) for n in range(10)))
    assert session.state == await state_of(sessions, session) == {f"k{n}": n for n in range(10)}


async def test_a_cancelled_save(store: Store, sessions: Sessions) -> None:
    """A request that is cancelled in its save leaves the session usable, for itself and for others."""
    session = await sessions.create("ada")
    session["a"] = 1
    writing = Held(store, "save_session")
    save = asyncio.create_task(session.save())
    await writing.reached.wait()
    save.cancel()
    await asyncio.gather(save, return_exceptions=True)
    other = await load(sessions, session.session_id)
    other["b"] = 2
    await asyncio.wait_for(other.save(), SOON)
    await asyncio.wait_for(session.save(), SOON)
    assert await state_of(sessions, session) == {"a": 1, "b": 2}


# Update and refresh


async def test_a_hundred_updates_at_once(sessions: Sessions) -> None:
    """Each is atomic: no two see the same number."""
    session = await sessions.create("ada")
    loaded = [await load(sessions, session.session_id) for _ in range(100)]

    def add(state: dict[str, Any]) -> int:
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    seen = await asyncio.gather(*(other.update(add) for other in loaded))
    assert sorted(seen) == list(range(1, 101))
    assert await state_of(sessions, session) == {"n": 100}


async def test_twenty_updates_of_servers_at_once(make_sessions: MakeSessions) -> None:
    """The same holds for servers that do not know of each other."""
    session = await make_sessions().create("ada")
    loaded = [await load(make_sessions(), session.session_id) for _ in range(20)]

    def add(state: dict[str, Any]) -> int:
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    seen = await asyncio.gather(*(other.update(add) for other in loaded))
    assert sorted(seen) == list(range(1, 21))


async def test_update_returns_what_its_function_returned(sessions: Sessions) -> None:
    """The change is in the session immediately, and stored."""
    session = await sessions.create("ada")
    session["stack"] = [1, 2]
    await session.save()
    assert await session.update(lambda state: state["stack"].pop()) == 2
    assert session.state == await state_of(sessions, session) == {"stack": [1]}
    assert await session.update(lambda state: state.pop("stack")) == [1]
    assert session.state == await state_of(sessions, session) == {}
    assert await session.update(lambda state: dict(state)) == {}


async def test_update_is_called_again_on_a_conflict(sessions: Sessions) -> None:
    """If another request came first, the function sees what it wrote, and its last value is returned."""
    session = await sessions.create("ada")
    one, two = await load(sessions, session.session_id), await load(sessions, session.session_id)
    one["n"] = 5
    await one.save()
    seen = []

    def add(state: dict[str, Any]) -> int:
        seen.append(dict(state))
        state["n"] = state.get("n", 0) + 1
        return int(state["n"])

    assert await two.update(add) == 6
    assert seen == [{}, {"n": 5}]
    assert two.state == await state_of(sessions, session) == {"n": 6}


async def test_update_writes_unsaved_changes(sessions: Sessions) -> None:
    """They are in the state that the function gets, on top of what others wrote."""
    session = await sessions.create("ada")
    other = await load(sessions, session.session_id)
    other.state.update({"a": 1, "b": 1})
    await other.save()
    session["a"] = 2
    assert await session.update(lambda state: dict(state)) == {"a": 2, "b": 1}
    assert session.state == await state_of(sessions, session) == {"a": 2, "b": 1}


async def test_update_of_an_unsaved_value(sessions: Sessions) -> None:
    """An unsaved value can be changed in place: the change counts once, here and in the store."""
    session = await sessions.create("ada")
    session["list"] = [1]
    await session.update(lambda state: state["list"].append(2))
    assert await state_of(sessions, session) == {"list": [1, 2]}
    assert session.state == {"list": [1, 2]}
    await session.save()
    assert await state_of(sessions, session) == {"list": [1, 2]}


async def test_update_of_an_unsaved_value_on_a_conflict(sessions: Sessions) -> None:
    """A change that the function made in a failed attempt is not applied twice."""
    session = await sessions.create("ada")
    other = await load(sessions, session.session_id)
    other["other"] = 1
    await other.save()
    session["list"] = [1]
    await session.update(lambda state: state["list"].append(2))
    assert await state_of(sessions, session) == {"list": [1, 2], "other": 1}
    assert session.state == {"list": [1, 2], "other": 1}


async def test_update_that_fails(store: Store, sessions: Sessions) -> None:
    """An exception from its function propagates, and nothing has changed, here or in the store."""
    session = await sessions.create("ada")
    session["a"] = 1
    await session.save()
    before = await stored(store)

    def fail(state: dict[str, Any]) -> None:
        state["a"] = 2
        raise KeyError("a")

    with pytest.raises(KeyError):
        await session.update(fail)
    assert await stored(store) == before
    assert session.state == {"a": 1}
    await session.update(lambda state: state.update(a=3))
    assert await state_of(sessions, session) == {"a": 3}


async def test_refresh(sessions: Sessions) -> None:
    """It reads what others wrote, and drops unsaved changes; the state stays the same object."""
    session = await sessions.create("ada")
    session.state.update({"a": 1, "list": [1]})
    await session.save()
    state = session.state
    other = await load(sessions, session.session_id)
    other["b"] = 2
    del other["a"]
    await other.save()
    session["unsaved"] = 1
    session["list"].append(2)
    await session.refresh()
    assert session.state == {"list": [1], "b": 2}
    assert session.state is state
    await session.save()
    assert await state_of(sessions, session) == {"list": [1], "b": 2}


async def test_refresh_reads_the_expiry(store: Store, sessions: Sessions) -> None:
    """A renewal by another request is visible here afterwards."""
    session = await sessions.create("ada")
    later = float(int(session.expires) + 100)
    await store.touch_session(session.record.key, later, time.time())
    await session.refresh()
    assert session.expires == later


# What cannot be saved


async def test_an_ended_session_cannot_be_saved(store: Store, sessions: Sessions) -> None:
    """The error is 1007, and the save does not revive the session."""
    saves: dict[str, Callable[[UserSession], Any]] = {
        "save": UserSession.save,
        "save_state": UserSession.save_state,
        "update": lambda session: session.update(lambda state: None),
    }
    for name, save in saves.items():
        session = await sessions.create("ada")
        await sessions.end(await load(sessions, session.session_id))
        session["a"] = 1
        with pytest.raises(InvalidSessionID) as refused:
            await save(session)
        assert refused.value.as_dict() == {"code": 1007, "value": "Invalid session ID."}, name
        assert await sessions.load(session.session_id) is None, name
        assert await store.list_sessions("ada") == [], name


async def test_an_ended_session_cannot_be_refreshed(sessions: Sessions) -> None:
    """The error is 1007; the contents of the session can still be read."""
    session = await sessions.create("ada")
    session["a"] = 1
    await session.save()
    await sessions.end(session)
    with pytest.raises(InvalidSessionID):
        await session.refresh()
    assert session["a"] == 1


async def test_an_end_during_a_save(store: Store, sessions: Sessions) -> None:
    """A save that is in progress when the session ends comes too late."""
    session = await sessions.create("ada")
    session["a"] = 1
    writing = Held(store, "save_session")
    save = asyncio.create_task(session.save())
    await writing.reached.wait()
    await sessions.end(session)
    writing.go.set()
    with pytest.raises(InvalidSessionID):
        await save
    assert await store.list_sessions("ada") == []


async def test_an_expiry_during_a_save(store: Store, sessions: Sessions) -> None:
    """The same holds for a session that expires in the meantime."""
    session = await sessions.create("ada")
    await store.touch_session(session.record.key, time.time() - 1, time.time())
    session["a"] = 1
    with pytest.raises(InvalidSessionID):
        await session.save()
    assert await store.list_sessions("ada") == []


async def test_what_is_no_plain_data(store: Store, sessions: Sessions) -> None:
    """It raises ``TypeError`` and nothing is stored; without that value the next save works."""
    session = await sessions.create("ada")
    odd: list[Any] = [object(), print, {"a": [object()]}, 1j, type]
    for number, value in enumerate(odd):
        session["a"] = -1
        await session.save()
        before = await stored(store)
        session["a"], session["b"] = number, value
        with pytest.raises(TypeError):
            await session.save()
        assert await stored(store) == before, value
        assert (session["a"], session["b"]) == (number, value)
        del session["b"]
        await session.save()
        assert await state_of(sessions, session) == {"a": number}, value


class Role(enum.Enum):
    """A choice, whose value is text."""

    ADMIN = "admin"


@dataclass
class Point:
    """A value with fields."""

    x: int = 1


OTHER_TYPES = [
    *(datetime(2026, 1, 2, 3), date(2026, 1, 2), clock_time(3, 4), timedelta(1), Decimal("1.5")),
    *(uuid.UUID(int=1), Role.ADMIN, {1}, frozenset({1}), (1, 2), Point(), deque([1]), range(3)),
]


def put(key: str, value: Any, state: Any) -> None:
    """Set a key of a state."""
    state[key] = value


async def test_what_would_come_back_as_another_type(sessions: Sessions) -> None:
    """``save`` and ``update`` raise ``TypeError`` with the key and the type, and nothing is stored."""
    session = await sessions.create("ada")
    for value in OTHER_TYPES:
        expected = f"'a' has a value of type {type(value).__name__}, which would come back"
        for written in (value, [{"b": [value]}]):
            session["a"] = written
            with pytest.raises(TypeError, match=expected):
                await session.save()
            del session["a"]
            with pytest.raises(TypeError, match=expected):
                await session.update(partial(put, "a", written))
            assert await state_of(sessions, session) == {}, written


async def test_a_time_with_its_zone(sessions: Sessions) -> None:
    """It comes back as the same time."""
    session = await sessions.create("ada")
    at = datetime(2026, 1, 2, 3, 4, 5, 678, timezone(timedelta(hours=2)))
    session["at"] = [at]
    await session.save()
    assert await state_of(sessions, session) == {"at": [at]}


async def test_keys_that_are_no_text(store: Store, sessions: Sessions) -> None:
    """Keys of the state must be strings; otherwise ``TypeError`` is raised and nothing is stored."""
    created = await sessions.create("ada")
    before = await stored(store)
    keys: list[Any] = [1, None, b"a", ("a",)]
    for key in keys:
        session = await load(sessions, created.session_id)
        session.state[key] = 1
        with pytest.raises(TypeError):
            await session.save()
        with pytest.raises(TypeError):
            await session.update(lambda state: None)
        assert await stored(store) == before, key


async def test_nested_keys_that_are_no_text(store: Store, sessions: Sessions) -> None:
    """They are refused when the state is saved, and a state that has them is not decoded."""
    created = await sessions.create("ada")
    before = await stored(store)
    for key in (1, None, (1, 2)):
        session = await load(sessions, created.session_id)
        session["a"] = [{key: 1}]
        with pytest.raises(TypeError, match="Keys must be strings"):
            await session.save()
        assert await stored(store) == before, key
        session.record.state = EXACT.encode({"a": [{key: 1}]})
        with pytest.raises(ValueError, match="Keys must be strings"):
            session.reset(session.record)


async def test_an_update_that_sets_what_cannot_be_written(store: Store, sessions: Sessions) -> None:
    """An error is raised, nothing is stored, and the session is unchanged."""
    for value in (object(), 2**70, "lone \ud800 surrogate"):
        session = await sessions.create("ada")
        before = await stored(store)
        with pytest.raises((TypeError, ValueError, OverflowError)):
            await session.update(lambda state: state.update(a=1, b=value))  # noqa: B023  # at once
        assert await stored(store) == before, shown(value)
        assert session.state == {}, shown(value)
        await session.update(lambda state: state.update(a=1))
        assert await state_of(sessions, session) == {"a": 1}, shown(value)
        await sessions.end(session)


async def test_refresh_drops_what_cannot_be_saved(sessions: Sessions) -> None:
    """It recovers the session after a failed save."""
    session = await sessions.create("ada")
    session["a"] = 1
    await session.save()
    session["b"] = object()
    with pytest.raises(TypeError):
        await session.save()
    await session.refresh()
    assert session.state == {"a": 1}


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


# The caller


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


async def test_too_large_a_state(sessions: Sessions) -> None:
    """More than 4 MiB is a ``ValueError`` on every store, and the old state stays; so much is kept."""
    session = await sessions.create("ada")
    largest = b"'\\\0" * (MAX_SIZE // 3 - 20)
    session["large"] = largest
    await session.save()
    session["large"] = largest + b"x" * 80
    with pytest.raises(ValueError, match=f"bytes, and {MAX_SIZE} at most are kept"):
        await session.save()
    with pytest.raises(ValueError, match="at most are kept"):
        await session.update(lambda state: state.update(more=bytes(17_000_000)))
    assert (await load(sessions, session.session_id))["large"] == largest
    await session.refresh()
    session["large"] = None
    await session.save()
