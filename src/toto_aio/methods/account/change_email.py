"""Change the verified address of an account: with a code, or a link, that is sent to the new one."""

from __future__ import annotations

from functools import partial

from toto_aio.auth.audit import Action
from toto_aio.auth.verified_addresses import Holder
from toto_aio.dispatch.coded_mail import Sent
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import authenticated, method, rate
from toto_aio.mail.addresses import read_address
from toto_aio.methods.account._codes import Code, Email, Language, Ticket, Token, coded_mail, send_code, spend
from toto_aio.methods.account.verify_email import Verified

PURPOSE = "change_email"


@method
@authenticated
async def request(handler: Handler, email: Email, password: str, language: Language = "") -> Sent:
    """Send a code to the new address. ``password`` is that of the account: a session alone is not enough.

    Whether the address belongs to another account shows only to somebody who reads its mail.
    """
    session = handler.session
    assert session is not None
    user_id, address = session.user_id, read_address(email)
    with handler.accounts.audit.refusals(Action.PASSWORD_REFUSED, user_id):
        async with handler.sessions.attempts.attempt(user_id, handler.address, session.record.key):
            await handler.accounts.verify(user_id, password)

    async def find() -> Holder:
        return Holder(user_id, address.text)

    return await send_code(handler, PURPOSE, user_id, address, find, language)


@method
@rate(100, per=900, by="address")
@redirects_form
async def confirm(handler: Handler, ticket: Ticket = "", code: Code = "", token: Token = "") -> Verified:
    """Use the code: the new address takes the place of the old one, which gets a mail about that."""
    mail = coded_mail(handler)
    async with spend(handler, PURPOSE, ticket, code, token) as spent:
        address = spent.data["address"]
        with mail.audit.recording(Action.EMAIL_CHANGED, spent.owner):
            still = partial(mail.require_valid, spent)
            former = await mail.addresses.claim(spent.owner, spent.data["key"], address, still)
    if former is not None:
        mail.notify("email_changed", spent.owner, former, address)
    return {"email": address}
