"""Show that an address of mail is the account's: with a code, or a link, that is sent there."""

from __future__ import annotations

from functools import partial
from typing import TypedDict

from toto_aio.auth.audit import Action
from toto_aio.auth.confirmation import confirm as confirm_user
from toto_aio.auth.verified_addresses import HAS_ONE, Holder
from toto_aio.dispatch.coded_mail import Sent
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import InvalidParameters
from toto_aio.invocation import authenticated, method, rate
from toto_aio.mail.addresses import read_address
from toto_aio.methods.account._codes import Code, Email, Language, Ticket, Token, coded_mail, send_code, spend

PURPOSE = "verify_email"


class Verified(TypedDict):
    """The verified address of the account."""

    email: str


@method
@authenticated
async def request(
    handler: Handler, email: Email, language: Language = "", password: str | None = None
) -> Sent:
    """Send a code to an address. An account that has a verified one changes it by ``account.change_email``.

    Needs the ``password``, or a login of the last ten minutes: with the address one can set a new password.
    Whether the address belongs to another account shows only to somebody who reads its mail.
    """
    session = handler.session
    assert session is not None
    user_id, address = session.user_id, read_address(email)
    await confirm_user(handler.sessions, session, password, handler.client)
    if await coded_mail(handler).addresses.of(user_id) not in (None, address.text):
        raise InvalidParameters(HAS_ONE)

    async def find() -> Holder:
        return Holder(user_id, address.text)

    return await send_code(handler, PURPOSE, user_id, address, find, language)


@method
@rate(100, per=900, by="address")
@redirects_form
async def confirm(handler: Handler, ticket: Ticket = "", code: Code = "", token: Token = "") -> Verified:
    """Use the code: the address is that of the account which has asked for it, from now on.

    It needs no session, as a link may be opened in another browser. Error 1003 if the address belongs to
    another account, or if the account has another one by now.
    """
    mail = coded_mail(handler)
    async with spend(handler, PURPOSE, ticket, code, token) as spent:
        address = spent.data["address"]
        with mail.audit.recording(Action.EMAIL_VERIFIED, spent.owner):
            still = partial(mail.require_valid, spent)
            await mail.addresses.claim(spent.owner, spent.data["key"], address, still, replaces=False)
    return {"email": address}
