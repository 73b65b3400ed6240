"""Limits of mails: for one client, for one address, and for all that a client asks for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from toto_aio.auth.mail_limits import FROM_ONE_CLIENT, OF_ONE_CLIENT, TO_ONE_ADDRESS, WINDOW, MailLimits
from toto_aio.exceptions import TooManyAttempts
from toto_aio.stores import open_store


async def allowed(limits: MailLimits, mails: Sequence[tuple[str, str]]) -> int:
    """How many of these mails, of an address and a client each, are allowed before one is not."""
    for number, (subject, client) in enumerate(mails):
        try:
            await limits.count([subject], client)
        except TooManyAttempts as exc:
            return number if 0 < exc.retry_after <= WINDOW else -1
    return len(mails)


@pytest.mark.parametrize(
    ("mails", "most"),
    [
        ([("ada", "192.0.2.1")] * 99, FROM_ONE_CLIENT),
        ([("ada", f"192.0.2.{n}") for n in range(99)], TO_ONE_ADDRESS),
        ([(f"user {n}", "192.0.2.1") for n in range(99)], OF_ONE_CLIENT),
        ([("ada", f"2001:db8::{n:x}") for n in range(99)], FROM_ONE_CLIENT),
    ],
    ids=["one client", "one address", "all of a client", "a network of IPv6"],
)
async def test_limits(mails: Sequence[tuple[str, str]], most: int) -> None:
    """So many are allowed, and then others from elsewhere."""
    limits = MailLimits(await open_store("memory://"))
    assert await allowed(limits, mails) == most
    assert await allowed(limits, [("grace", "198.51.100.1")]) == 1


async def test_one_client_does_not_use_up_an_address() -> None:
    """What is beyond the limit of a client counts for it alone."""
    limits = MailLimits(await open_store("memory://"))
    for _ in range(99):
        await allowed(limits, [("ada", "192.0.2.1")])
    assert await allowed(limits, [("ada", "198.51.100.1")] * 9) == FROM_ONE_CLIENT


async def test_accounts_of_one_stranger() -> None:
    """An address gets no more mails because many accounts ask for them."""
    limits = MailLimits(await open_store("memory://"))
    for number in range(TO_ONE_ADDRESS):
        await limits.count([f"user {number}", "address"], f"192.0.2.{number}")
    with pytest.raises(TooManyAttempts):
        await limits.count(["another", "address"], "198.51.100.1")
    await limits.count(["another", "other address"], "198.51.100.1")
