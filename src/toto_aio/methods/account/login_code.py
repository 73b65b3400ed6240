"""Log in without a password: with a code that is sent to the verified address."""

from __future__ import annotations

from functools import partial
from typing import Any

from toto_aio.auth.verified_addresses import Holder
from toto_aio.dispatch.coded_mail import Sent
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import method, rate
from toto_aio.mail.addresses import read_address
from toto_aio.methods.account._codes import Code, Email, Language, Ticket, coded_mail, send_code, spend

PURPOSE = "login_code"


@method
async def request(handler: Handler, email: Email, language: Language = "") -> Sent:
    """Send a code to an address, if it is the verified one of an account; the result is always the same.

    The mail has no link: whoever opens one that somebody else has asked for would be logged in as that one.
    """
    address = read_address(email)

    async def find() -> Holder | None:
        return await coded_mail(handler).addresses.holder(address.key)

    return await send_code(handler, PURPOSE, address.key, address, find, language)


@method
@rate(100, per=900, by="address")
@redirects_form
async def confirm(handler: Handler, ticket: Ticket, code: Code) -> dict[str, Any]:
    """Log in with the code; returns a new session, as ``account.login`` does."""
    handler.act()
    async with spend(handler, PURPOSE, ticket, code, "", held=True) as spent:
        still = partial(coded_mail(handler).require_valid, spent, held=True)
        session = await handler.caller.create(
            spent.owner, None, handler.client, verify_password=False, require=still
        )
    return session.describe()
