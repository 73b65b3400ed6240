"""Accounts that are deleted and made again: nothing that was meant for the one is for the other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, cast

from tests.auth.test_password_change import CLIENT, OLD, Around, sessions_in
from toto_aio.auth.api_keys import ApiKeys
from toto_aio.auth.second_factor import SecondFactor
from toto_aio.auth.secret_box import SecretBox
from toto_aio.exceptions import InvalidCredentials, NotAuthorized, TotoException
from toto_aio.stores import Store


async def log_in(store: Store) -> None:
    """Log in after a check of the service's own."""
    await sessions_in(store).log_in_known("ada", CLIENT)


async def make_key(store: Store) -> None:
    """Make an API key."""
    await ApiKeys(store, sessions_in(store)).create("ada", "backup", ["*"])


async def test_a_call_of_an_account_before(store: Store) -> None:
    """Wherever it is stopped while the user id gets another account, that has no session and no key of it."""
    accounts = sessions_in(store).accounts
    for act, password in itertools.product((log_in, make_key), (OLD, None)):
        outcomes = set()
        for number in itertools.count(1):  # at first it reads the account
            await accounts.create("ada", password)
            done = itertools.count()

            async def run(
                name: str,
                operation: Callable[[], Awaitable[Any]],
                done: Any = done,
                number: int = number,
                password: str | None = password,
            ) -> Any:
                if next(done) == number:
                    await accounts.delete("ada")
                    await accounts.create("ada", password)
                return await operation()

            call = act(cast(Store, Around(store, run)))
            [outcome] = await asyncio.gather(call, return_exceptions=True)
            is_last = next(done) <= number
            if not is_last:
                assert await store.list_sessions("ada") == [], (act, password, number)
                assert await store.list_records("ada", "api_key") == [], (act, password, number)
                assert outcome is None or isinstance(outcome, TotoException), outcome
                outcomes.add(type(outcome))
            await accounts.delete("ada")
            if is_last:
                break
        assert number >= 4
        assert {InvalidCredentials, NotAuthorized} & outcomes, outcomes


async def test_what_was_for_an_account_before(store: Store) -> None:
    """Codes, tickets and devices of an account without a password are not those of the next one."""
    accounts = sessions_in(store).accounts
    second = SecondFactor(store, store, SecretBox(["k" * 32]), "Notes")
    marks: set[str | bytes] = set()
    for _ in range(2):
        account = await accounts.create("ada", None, name="Ada")
        assert {**account} == {"user_id": "ada", "name": "Ada"}
        await account.load()
        assert {**account} == {"user_id": "ada", "name": "Ada"}
        mark = await accounts.password_mark("ada"), await second.mark("ada")
        assert mark == (await accounts.password_mark("ada"), await second.mark("ada"))
        marks.update(mark)
        await accounts.delete("ada")
    assert len(marks) == 4
