"""A password change that is interrupted anywhere: either nothing is changed, or no other session is left."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, cast

import argon2
import pytest

from tests.support.limits import WATCHDOG
from toto_aio.auth import account_change, change_marker
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.change_marker import is_account_changing, new_marker
from toto_aio.auth.ends import Ends
from toto_aio.auth.password_change import change_password
from toto_aio.auth.passwords import Match, Passwords
from toto_aio.auth.sessions import Sessions
from toto_aio.auth.user_session import UserSession
from toto_aio.exceptions import InvalidCredentials, TotoException, Unavailable
from toto_aio.models import Account, ClientInfo
from toto_aio.settings import Settings
from toto_aio.stores import Store
from toto_aio.stores.memory import MemoryStore

OLD, NEW = "correct horse", "battery staple"
CLIENT = ClientInfo("127.0.0.1", "a test")


class Instant(Passwords):
    """Passwords that are their own hashes."""

    def __init__(self) -> None:
        """No threads."""

    async def hash(self, password: str) -> str:
        """The password."""
        return password

    async def verify(self, password: str, stored: str | None) -> Match:
        """Whether they are equal."""
        return Match.RIGHT if password == stored else Match.NONE


class Unlimited:
    """Attempts that aren't counted."""

    def attempt(self, user_id: str, address: str, session_key: str = "") -> AbstractAsyncContextManager[None]:
        """Enter."""
        return self._attempt()

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator[None]:
        yield


Before = Callable[[str, Callable[[], Any]], Any]


class Around:
    """A store, each of whose operations is passed to ``run`` with its name."""

    def __init__(self, store: Store, run: Before) -> None:
        self._store = store
        self._run = run

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)
        if not inspect.iscoroutinefunction(operation):
            return operation

        async def around(*args: Any, **kwargs: Any) -> Any:
            return await self._run(name, lambda: operation(*args, **kwargs))

        return around


def sessions_in(accounts: Any, sessions: Any = None, **options: Any) -> Sessions:
    """The sessions over two stores, or one."""
    store = accounts if sessions is None else sessions
    ends = Ends(store, options.get("on_end"))
    return Sessions(store, Accounts(accounts, Instant(), ends=ends), Settings(), **options)


async def change(sessions: Sessions, session: UserSession, old: str = OLD, new: str = NEW) -> UserSession:
    """Change the password of a session's user."""
    return await change_password(sessions, session, old, new, CLIENT, lambda renewed: None)


async def is_right(sessions: Sessions, user_id: str, password: str) -> bool:
    """Whether an account has this password."""
    try:
        await sessions.accounts.verify(user_id, password)
    except InvalidCredentials:
        return False
    return True


async def assert_whole(sessions: Sessions, user_id: str, others: Sequence[UserSession]) -> bool:
    """Assert that one password is right, and if it is the new one, that no session of others is left."""
    changed = await is_right(sessions, user_id, NEW)
    assert await is_right(sessions, user_id, OLD) is not changed, user_id
    if changed:
        for other in others:
            assert await sessions.load(other.session_id) is None, user_id
    return changed


class Failing:
    """Fails the operations number ``first`` and, unless ``once``, all that follow."""

    def __init__(self, first: int, how: str, *, once: bool) -> None:
        self.failed = 0
        self._first = first
        self._how = how
        self._once = once
        self._count = itertools.count()

    async def run(self, name: str, operation: Callable[[], Any]) -> Any:
        """Run an operation, or fail before it or after it."""
        number = next(self._count)
        if number < self._first or (self._once and number > self._first):
            return await operation()
        self.failed += 1
        if self._how.startswith("after"):
            with suppress(TotoException):
                await operation()
        if self._how.endswith("cancelled") and self.failed == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        raise Unavailable


HOWS = ("before", "after", "before, cancelled", "after, cancelled")
FAILS = (("both", True), ("both", False), ("accounts", False), ("sessions", False))
"""Which operations fail, and whether only one does, which may be one of either."""


async def test_any_operation_fails(store: Store) -> None:
    """Wherever it stops, either the old password is right, or the new one and no other session is left."""
    whole = sessions_in(store)
    for how, (fails, once) in itertools.product(HOWS, FAILS):
        seen = set()
        for number in itertools.count():
            at = f"{how}, {fails}, {'once' if once else 'for good'}, {number}"
            user_id = f"ada {at}"
            await whole.accounts.create(user_id, OLD)
            own, *others = [await whole.create(user_id, CLIENT) for _ in range(3)]
            failing = Failing(number, how, once=once)
            around = cast(Store, Around(store, failing.run))
            interrupted = sessions_in(
                store if fails == "sessions" else around, store if fails == "accounts" else around
            )
            task = asyncio.ensure_future(change(interrupted, own))
            [outcome] = await asyncio.gather(task, return_exceptions=True)
            changed = await assert_whole(whole, user_id, others)
            seen.add(changed)
            if isinstance(outcome, UserSession):
                assert changed, at
                assert await whole.load(outcome.session_id) is not None, at
                assert await whole.load(own.session_id) is None, at
            else:
                assert isinstance(outcome, Unavailable | asyncio.CancelledError), at
            if not failing.failed:
                break
        assert number >= (3 if fails == "accounts" else 8), at
        assert seen == {True, False}, at


async def test_a_login_at_any_step(store: Store) -> None:
    """A session that is created during the change, before the password is replaced, doesn't outlive it."""
    for lasts, log_in in itertools.product((True, False), (True, False)):
        await log_in_at_any_step(store, lasts=lasts, log_in=log_in)


async def log_in_at_any_step(store: Store, *, lasts: bool, log_in: bool) -> None:
    """Begin before each operation of a change, which fails from there on unless it ``lasts``.

    The session is created with the password, or otherwise.
    """
    whole = sessions_in(store, attempts=Unlimited())
    case = f"{'lasts' if lasts else 'fails'}, {'password' if log_in else 'other'}"  # ids are in lower case
    created = 0
    for number in itertools.count():
        user_id = f"{case}, {number}"
        await whole.accounts.create(user_id, OLD)
        own = await whole.create(user_id, CLIENT)
        count, others, replaced = itertools.count(), [], False

        async def run(name: str, operation: Callable[[], Any]) -> Any:
            nonlocal replaced
            at = next(count)  # noqa: B023
            if at == number:  # noqa: B023  # it ends with this round
                with suppress(Unavailable, InvalidCredentials):
                    if log_in:
                        others.append(await whole.log_in(user_id, OLD, CLIENT))  # noqa: B023
                    elif not replaced:
                        others.append(await whole.create(user_id, CLIENT))  # noqa: B023
            if at > number and not lasts:  # noqa: B023
                raise Unavailable
            result = await operation()
            replaced = replaced or name == "replace_password"
            return result

        around = cast(Store, Around(store, run))
        interrupted = sessions_in(around, attempts=Unlimited())
        with suppress(Unavailable):
            await change(interrupted, own)
        created += len(others)
        await assert_whole(whole, user_id, others)
        if next(count) <= number:
            break
    assert created, user_id
    assert number > 7, user_id


class Stepped:
    """A task whose store operations each wait for ``step``; after ``end`` none is carried out."""

    def __init__(self, store: Store, start: Callable[[Sessions], Any], log: list[str], name: str) -> None:
        self._waiting: asyncio.Future[None] | None = None
        self._log = log
        self._name = name
        sessions = sessions_in(cast(Store, Around(store, self._run)), attempts=Unlimited())
        self.task = asyncio.ensure_future(start(sessions))

    async def _run(self, name: str, operation: Callable[[], Any]) -> Any:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting
        self._log.append(f"{self._name} {name}")
        return await operation()

    async def step(self) -> None:
        """Run the next operation, if there is one, and what comes between it and the one after it."""
        while self._waiting is None and not self.task.done():
            await asyncio.sleep(0)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.set_result(None)
        while self._waiting is None and not self.task.done():
            await asyncio.sleep(0)

    async def finish(self) -> Any:
        """Run all that is left; the result, or the error."""
        while not self.task.done():
            await self.step()
        return (await asyncio.gather(self.task, return_exceptions=True))[0]

    async def kill(self) -> None:
        """End the task where it is."""
        while not self.task.done():
            self.task.cancel()
            await asyncio.sleep(0)


OPERATIONS_OF_CHANGE = 9
OPERATIONS_OF_LOGIN = 5


def interleavings() -> Iterator[tuple[int, tuple[int, ...]]]:
    """How many operations of a change there are before its process dies, and where those of a login are."""
    for done in range(OPERATIONS_OF_CHANGE + 1):
        for places in itertools.combinations_with_replacement(range(done + 1), OPERATIONS_OF_LOGIN):
            yield done, places


@pytest.mark.parametrize("log_in", [True, False], ids=["password", "other"])
async def test_every_interleaving(log_in: bool) -> None:
    """However the operations of a login and a change alternate, and wherever the change's process dies."""
    outcomes = set()
    for done, places in interleavings():
        store, log = MemoryStore(), []  # type: ignore[var-annotated]
        whole = sessions_in(store)
        await store.add_account(Account("ada", OLD))
        own = await whole.create("ada", CLIENT)

        async def start(sessions: Sessions, own: UserSession = own) -> UserSession:
            return await change(sessions, own)

        async def log_in_now(sessions: Sessions) -> UserSession:
            return await (sessions.log_in("ada", OLD, CLIENT) if log_in else sessions.create("ada", CLIENT))

        changing = Stepped(store, start, log, "change")
        login = Stepped(store, log_in_now, log, "login")
        for step in range(done + 1):
            for _ in range(places.count(step)):
                await login.step()
            if step < done:
                await changing.step()
        session = await login.finish()
        await changing.kill()
        changed = await is_right(whole, "ada", NEW)
        lives = isinstance(session, UserSession) and await whole.load(session.session_id) is not None
        if changed and lives:
            # It doesn't depend on the old password, and is younger than the new one.
            assert not log_in, log
            assert log.index("change replace_password") < log.index("login add_session"), log
        if isinstance(session, UserSession) and not changed and not lives:
            assert "change remove_sessions" in log  # others may have been ended in vain
        outcomes.add((changed, lives))
    assert outcomes == {(False, False), (False, True), (True, False)} | (set() if log_in else {(True, True)})


async def test_the_operations(store: Store) -> None:
    """The order that everything depends on, and that the test of all interleavings counts on."""
    log: list[str] = []

    async def run(name: str, operation: Callable[[], Any]) -> Any:
        log.append(name)
        return await operation()

    sessions = sessions_in(cast(Store, Around(store, run)), attempts=Unlimited())
    await sessions.accounts.create("ada", OLD)
    own = await sessions.create("ada", CLIENT)
    log.clear()
    renewed = await change(sessions, own)
    assert log == [
        "get_account",
        "add_session",  # the marker
        "get_account",
        "remove_sessions",
        "replace_password",
        "add_session",
        "get_account",
        "remove_sessions",
        "remove_session",  # the marker
    ]
    assert len(log) == OPERATIONS_OF_CHANGE
    log.clear()
    await sessions.log_in("ada", NEW, CLIENT)
    assert log == ["get_account", "add_session", "list_sessions", "surplus_sessions", "get_account"]
    assert len(log) == OPERATIONS_OF_LOGIN
    assert await sessions.load(renewed.session_id) is not None


async def test_two_changes_at_once(store: Store) -> None:
    """One counts; the other is refused, and leaves neither its password nor a session."""
    sessions = sessions_in(store)
    await sessions.accounts.create("ada", OLD)
    owns = [await sessions.create("ada", CLIENT) for _ in range(2)]
    passwords = ["battery staple 0", "battery staple 1"]
    outcomes: list[Any] = await asyncio.gather(
        *(change(sessions, own, OLD, new) for own, new in zip(owns, passwords, strict=True)),
        return_exceptions=True,
    )
    [refused] = [outcome for outcome in outcomes if not isinstance(outcome, UserSession)]
    assert isinstance(refused, InvalidCredentials)
    for outcome, password in zip(outcomes, passwords, strict=True):
        assert await is_right(sessions, "ada", password) is (outcome is not refused)
    for own in owns:
        assert await sessions.load(own.session_id) is None
    assert not await is_account_changing(store, "ada")


async def test_the_second_of_two_changes_ends_nothing(store: Store) -> None:
    """It has verified the old password before the first one replaced it, and ends no session of the first."""
    sessions = sessions_in(store)
    await sessions.accounts.create("ada", OLD)
    own = await sessions.create("ada", CLIENT)
    renewed = None

    async def run(name: str, operation: Callable[[], Any]) -> Any:
        nonlocal renewed
        if name == "add_session":
            renewed = await change(sessions, own)
        return await operation()

    with pytest.raises(InvalidCredentials):
        await change(sessions_in(cast(Store, Around(store, run))), own, OLD, "another password")
    assert renewed is not None
    assert await sessions.load(renewed.session_id) is not None
    assert await is_right(sessions, "ada", NEW)


async def test_a_marker_holds_up_one_user_for_a_minute(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else's logins, not even of ids that look like the marker's; it is no session of anyone."""
    monkeypatch.setattr(change_marker, "MARKER_TTL", 1.0)
    sessions = sessions_in(store)
    await sessions.accounts.create("ada", OLD)
    own = await sessions.create("ada", CLIENT)

    async def run(name: str, operation: Callable[[], Any]) -> Any:
        if name == "replace_password":
            await store.add_session(new_marker("bob"))
        result = await operation()
        if name == "replace_password":
            raise Unavailable  # the connection was lost after the commit
        return result

    with pytest.raises(Unavailable):
        await change(sessions_in(cast(Store, Around(store, run))), own)
    assert await is_right(sessions, "ada", NEW)
    await sessions.create("eve", CLIENT)
    await sessions.create()
    await sessions.create("Password change of ada", CLIENT)
    assert [each.key for each in await store.list_sessions("ada")] == [own.record.key]
    async with asyncio.timeout(WATCHDOG):
        while True:
            began = time.time()
            try:
                session = await sessions.log_in("ada", NEW, CLIENT)
                break
            except Unavailable:
                assert began - own.record.created < WATCHDOG
                await asyncio.sleep(0.05)
    keys = {each.key for each in await store.list_sessions("ada")}
    assert keys == {own.record.key, session.record.key}


async def test_a_replacement_that_comes_late(store: Store) -> None:
    """A database may replace the password after nobody waits for it: until then no old login is let in."""
    sessions = sessions_in(store)
    await sessions.accounts.create("ada", OLD)
    own = await sessions.create("ada", CLIENT)
    late: list[Callable[[], Any]] = []

    async def run(name: str, operation: Callable[[], Any]) -> Any:
        if name == "replace_password":
            late.append(operation)
            raise Unavailable
        return await operation()

    with pytest.raises(Unavailable):
        await change(sessions_in(cast(Store, Around(store, run))), own)
    with pytest.raises(Unavailable):
        await sessions.log_in("ada", OLD, CLIENT)
    await late[0]()
    assert await is_right(sessions, "ada", NEW)
    assert [each.key for each in await store.list_sessions("ada")] == [own.record.key]


async def test_the_ends_are_told_before_the_password_is_replaced(store: Store) -> None:
    """So sockets of the other sessions are closed even if the change fails then."""
    told: list[Any] = []

    async def tell(end: dict[str, str]) -> None:
        told.append(end)

    async def run(name: str, operation: Callable[[], Any]) -> Any:
        if name == "replace_password":
            told.append(name)
            raise Unavailable
        return await operation()

    sessions = sessions_in(store)
    await sessions.accounts.create("ada", OLD)
    own, other = [await sessions.create("ada", CLIENT) for _ in range(2)]
    with pytest.raises(Unavailable):
        await change(sessions_in(cast(Store, Around(store, run)), on_end=tell), own)
    assert told == [{"user_id": "ada", "keep": own.record.key}, "replace_password"]
    assert await sessions.load(own.session_id) is not None
    assert await sessions.load(other.session_id) is None


async def test_too_slow_a_change(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password isn't replaced if the marker might expire meanwhile."""
    monkeypatch.setattr(account_change, "CHANGE_WITHIN", 0.0)
    sessions = sessions_in(store)
    await sessions.accounts.create("ada", OLD)
    own = await sessions.create("ada", CLIENT)
    with pytest.raises(Unavailable):
        await change(sessions, own)
    assert await is_right(sessions, "ada", OLD)
    assert not await is_account_changing(store, "ada")


async def test_a_hash_that_is_outdated(store: Store) -> None:
    """It is replaced by the change, also if a login replaces it at the same time."""
    passwords = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    try:
        for user_id in ("ada", "bob"):
            await store.add_account(Account(user_id, "$p5k2$$exec$r1EWMCMk7Rlv3L/RNcFXviDefYa0hlql"))
        sessions = Sessions(store, Accounts(store, passwords), Settings())
        own = await sessions.create("ada", CLIENT)
        await change(sessions, own, "cloadm", NEW)
        assert await is_right(sessions, "ada", NEW)
        own = await sessions.create("bob", CLIENT)
        login, changed = await asyncio.gather(
            sessions.log_in("bob", "cloadm", CLIENT),
            change(sessions, own, "cloadm", NEW),
            return_exceptions=True,
        )
        assert isinstance(changed, UserSession)
        assert await is_right(sessions, "bob", NEW)
        if isinstance(login, UserSession):
            assert await sessions.load(login.session_id) is None
        else:
            assert isinstance(login, Unavailable | InvalidCredentials)
    finally:
        passwords.close()
