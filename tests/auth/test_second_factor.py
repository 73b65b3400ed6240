"""The records of second factors, on every store."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.auth.test_password_change import CLIENT, NEW, OLD, Instant
from tests.support.disturbed import Stopped
from toto_aio.auth import totp, uses
from toto_aio.auth.accounts import Accounts
from toto_aio.auth.second_factor import ENROLMENT, KIND, SecondFactor
from toto_aio.auth.secret_box import SecretBox
from toto_aio.auth.sessions import Sessions
from toto_aio.exceptions import InvalidCredentials, InvalidParameters, SecondFactorRequired, Unavailable
from toto_aio.models import Account, ClientInfo
from toto_aio.settings import Settings
from toto_aio.stores import Store

LONG = "u" * 255
"""A user id that is longer than the key of a record."""


async def test_one_use_on_every_store(store: Store) -> None:
    """Of eight uses of a step, of a recovery code and of a ticket at once, over two processes, one counts."""
    await store.add_account(Account(LONG, "hash"))
    second, other = (SecondFactor(store, store, SecretBox(["k" * 32]), "Notes") for _ in range(2))
    await second.require(LONG, None)
    secret = base64.b32decode((await second.enrol(LONG))["secret"])
    codes = await second.confirm(LONG, totp.hotp(secret, totp.step_at(time.time())))
    for code in (totp.hotp(secret, totp.step_at(time.time()) + 1), codes[0]):
        uses = (each.check(LONG, code) for each in (second, other) * 4)
        outcomes = await asyncio.gather(*uses, return_exceptions=True)
        assert sum(isinstance(outcome, InvalidCredentials) for outcome in outcomes) == 7, outcomes
    assert (await second.check(LONG, codes[1])).left == 8
    uses = (second.check(LONG, code) for code in codes[2:6])
    assert sorted(checked.left or 0 for checked in await asyncio.gather(*uses)) == [4, 5, 6, 7]
    with pytest.raises(SecondFactorRequired) as required:
        await second.require(LONG, None)
    ticket = await other.tickets.find(required.value.ticket)
    assert ticket is not None
    assert (ticket.user_id, ticket.mark) == (LONG, await second.mark(LONG))
    assert sorted(await asyncio.gather(*(second.tickets.spend(ticket) for _ in range(8)))) == [False] * 7 + [
        True
    ]
    token = await second.devices.remember(LONG, ticket.mark, ClientInfo("127.0.0.1", "x"))
    assert token is not None
    await other.require(LONG, token)
    with pytest.raises(InvalidParameters):
        await second.enrol(LONG)
    assert (await second.describe(LONG))["recovery_codes"] == 4
    assert await second.disable(LONG) is True
    assert await second.disable(LONG) is False
    await second.require(LONG, None)
    assert await second.devices.list(LONG) == []


async def test_a_process_that_was_stopped(store: Store) -> None:
    """What it has read before the second factor was disabled, and another one enrolled, is worth nothing."""
    await store.add_account(Account("ada", "hash"))
    second = a_second_factor(store)
    for number, use in enumerate(("code", "recovery", "renew", "disable", "confirm")):
        secret, before = await enrolled(second)
        checked = await second.check("ada", before[2])
        if use == "confirm":
            await second.disable("ada")
            secret = base64.b32decode((await second.enrol("ada"))["secret"])
        [read] = await store.list_records("ada", ENROLMENT if use == "confirm" else KIND)
        stopped = a_second_factor(Stopped(store, read))
        await second.disable("ada")
        with pytest.raises(InvalidCredentials):
            await second.check("ada", before[1])
        if use == "confirm":
            latest = base64.b32decode((await second.enrol("ada"))["secret"])
        else:
            latest, codes = await enrolled(second)
        with pytest.raises((InvalidCredentials, InvalidParameters)):
            if use == "renew":
                await stopped.renew_recovery_codes("ada", checked)
            elif use == "disable":
                await stopped.disable("ada", checked)
            elif use == "confirm":
                await stopped.confirm("ada", totp.hotp(secret, totp.step_at(time.time())))
            else:
                code = totp.hotp(secret, totp.step_at(time.time()) + 1) if use == "code" else before[0]
                await stopped.check("ada", code)
        if use == "confirm":
            codes = await second.confirm("ada", totp.hotp(latest, totp.step_at(time.time())))
        assert (await second.check("ada", totp.hotp(latest, totp.step_at(time.time()) + 1))).left is None
        assert (await second.check("ada", codes[0])).left == 9, number
        assert await second.disable("ada")


async def test_a_confirmation_that_was_stopped(store: Store) -> None:
    """It turns nothing on if another was turned on and off meanwhile; one that fails can be sent again."""
    await store.add_account(Account("ada", "hash"))
    second = a_second_factor(store)

    async def on_and_off() -> None:
        await enrolled(second)
        assert await second.disable("ada")

    for operation in ("add_record", "remove_record"):
        for when in ("before", "after"):
            secret = base64.b32decode((await second.enrol("ada"))["secret"])
            code = totp.hotp(secret, totp.step_at(time.time()))
            if operation == "add_record" and when == "before":
                stopped = a_second_factor(Disturbed(store, operation, when, on_and_off))
                with pytest.raises(InvalidParameters):
                    await stopped.confirm("ada", code)
                assert not (await second.describe("ada"))["enabled"]
                secret = base64.b32decode((await second.enrol("ada"))["secret"])
                code = totp.hotp(secret, totp.step_at(time.time()))
            failing = a_second_factor(Disturbed(store, operation, when, fail))
            with pytest.raises(Unavailable):
                await failing.confirm("ada", code)
            assert not (await second.describe("ada"))["enabled"], (operation, when)
            if (operation, when) != ("remove_record", "after"):  # otherwise it has to be enrolled again
                assert len(await second.confirm("ada", code)) == 10
                assert await second.disable("ada")


async def test_a_login_that_was_stopped(store: Store) -> None:
    """It gets no ticket for the second step if what it has shown is outdated, and leaves no session."""
    await store.add_account(Account("ada", OLD))
    _, codes = await enrolled(a_second_factor(store))

    async def change() -> None:
        assert await store.replace_password("ada", OLD, NEW)

    async def refuse() -> None:
        raise InvalidCredentials

    stopped = sessions_over(Disturbed(store, "get_record", "before", change))
    with pytest.raises(InvalidCredentials) as refused:
        await stopped.log_in("ada", OLD, CLIENT)
    assert not isinstance(refused.value, SecondFactorRequired)
    sessions = sessions_over(store)
    with pytest.raises(InvalidCredentials):
        await sessions.log_in_known("ada", CLIENT, require=refuse)
    with pytest.raises(SecondFactorRequired) as required:
        await sessions.log_in("ada", NEW, CLIENT)
    failing = sessions_over(Disturbed(store, "remove_record", "before", fail))
    with pytest.raises(Unavailable):
        await failing.finish_log_in(required.value.ticket, codes[0], CLIENT)
    assert await store.list_sessions("ada") == []
    assert (await sessions.finish_log_in(required.value.ticket, codes[0], CLIENT)).user_id == "ada"


async def test_a_device_of_a_second_factor_before(store: Store) -> None:
    """A process that was stopped before it remembered one gives it nothing, nor does a ticket from then."""
    await store.add_account(Account("ada", "hash"))
    second = a_second_factor(store)
    await enrolled(second)
    with pytest.raises(SecondFactorRequired) as required:
        await second.require("ada", None)
    ticket = await second.tickets.find(required.value.ticket)
    assert ticket is not None
    await second.disable("ada")
    await enrolled(second)
    device = await second.devices.remember("ada", ticket.mark, ClientInfo("127.0.0.1", "x"))
    with pytest.raises(SecondFactorRequired):
        await second.require("ada", device)
    assert await second.mark("ada") != ticket.mark
    device = await second.devices.remember("ada", await second.mark("ada"), ClientInfo("127.0.0.1", "x"))
    await second.require("ada", device)
    await second.renew_recovery_codes("ada")  # of the same second factor
    await second.require("ada", device)


async def test_a_code_that_led_to_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether of the app or for recovery, it counts again if the store fails after its use, and once then."""
    monkeypatch.setattr(uses, "PAUSE", 0)
    await store.add_account(Account("ada", "hash"))
    second = a_second_factor(store)
    secret, codes = await enrolled(second)
    for code, left in ((totp.hotp(secret, totp.step_at(time.time()) + 1), None), (codes[0], 9)):
        checked = await second.check("ada", code)
        with pytest.raises(Unavailable):
            async with checked.use.given_back_unless_done():
                raise Unavailable
        checked = await second.check("ada", code)
        assert checked.left == left
        async with checked.use.given_back_unless_done():
            pass
        with pytest.raises(InvalidCredentials):
            await second.check("ada", code)
    checked = await second.check("ada", codes[1])
    with pytest.raises(Unavailable):
        async with checked.use.given_back_unless_done():
            await second.disable("ada")
            raise Unavailable
    assert (await second.describe("ada"))["enabled"] is False


class Disturbed:
    """A store as a process has it that does something before or after its first operation of a name."""

    def __init__(self, store: Store, operation: str, when: str, do: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._operation = operation
        self._when = when
        self._do = do

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != self._operation:
            return found

        async def disturbed(*values: Any) -> Any:
            self._operation = ""
            if self._when == "before":
                await self._do()
            result = await found(*values)
            if self._when == "after":
                await self._do()
            return result

        return disturbed


async def fail() -> None:
    """Fail as an operation of a store does."""
    raise Unavailable


def sessions_over(store: Any) -> Sessions:
    """The sessions of a process, with second factors."""
    return Sessions(store, Accounts(store, Instant()), Settings(), second_factor=a_second_factor(store))


def a_second_factor(store: Any) -> SecondFactor:
    """The second factors of a process."""
    return SecondFactor(store, store, SecretBox(["k" * 32]), "Notes")


async def enrolled(second: SecondFactor) -> tuple[bytes, list[str]]:
    """A new second factor of ada: its secret, and the recovery codes."""
    secret = base64.b32decode((await second.enrol("ada"))["secret"])
    return secret, await second.confirm("ada", totp.hotp(secret, totp.step_at(time.time())))
