"""The records of second factors, on every store."""

from __future__ import annotations

import asyncio
import base64
import time

import pytest

from toto_aio.auth import totp
from toto_aio.auth.second_factor import SecondFactor
from toto_aio.auth.secret_box import SecretBox
from toto_aio.exceptions import InvalidCredentials, InvalidParameters, SecondFactorRequired
from toto_aio.models import Account, ClientInfo
from toto_aio.stores import Store

LONG = "u" * 255
"""A user id that is longer than the key of a record."""


async def test_one_use_on_every_store(store: Store) -> None:
    """Of eight uses of a step, of a recovery code and of a ticket at once, over two processes, one counts."""
    await store.add_account(Account(LONG, "hash"))
    second, other = (SecondFactor(store, store, SecretBox(["k" * 32]), "Notes") for _ in range(2))
    await second.require(LONG, None)
    secret = base64.b32decode((await second.enrol(LONG))["secret"])
    codes = await second.confirm(LONG, totp.hotp(secret, totp.step_at(time.time()) - 1))
    for code in (totp.hotp(secret, totp.step_at(time.time()) + 1), codes[0]):
        uses = (each.check(LONG, code) for each in (second, other) * 4)
        outcomes = await asyncio.gather(*uses, return_exceptions=True)
        assert sum(isinstance(outcome, InvalidCredentials) for outcome in outcomes) == 7, outcomes
    assert await second.check(LONG, codes[1]) == 8
    uses = (second.check(LONG, code) for code in codes[2:6])
    assert sorted(left or 0 for left in await asyncio.gather(*uses)) == [4, 5, 6, 7]
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
