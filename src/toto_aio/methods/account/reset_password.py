"""Set a new password without the old one: with a code, or a link, that is sent to the verified address."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from toto_aio.auth.verified_addresses import Holder
from toto_aio.dispatch.coded_mail import Sent
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import method, rate
from toto_aio.mail.addresses import read_address
from toto_aio.methods.account._codes import Code, Email, Language, Ticket, Token, coded_mail, send_code, spend

PURPOSE = "reset_password"
NewPassword = Annotated[str, Meta(description="of the length that account.create wants")]


class Reset(TypedDict):
    """The account whose password is set."""

    user_id: str


@method
async def request(handler: Handler, email: Email, language: Language = "") -> Sent:
    """Send a code to an address, if it is the verified one of an account; the result is always the same."""
    address = read_address(email)

    async def find() -> Holder | None:
        return await coded_mail(handler).addresses.holder(address.key)

    return await send_code(handler, PURPOSE, address.key, address, find, language)


@method
@rate(100, per=900, by="address")
@redirects_form
async def confirm(
    handler: Handler, new_password: NewPassword, ticket: Ticket = "", code: Code = "", token: Token = ""
) -> Reset:
    """Use the code: it sets the password, and ends all sessions of the user. It logs nobody in.

    The login that follows asks for whatever else the account asks for. A password that cannot be set uses up
    no code.
    """
    handler.accounts.require_password("new_password", new_password)
    async with spend(handler, PURPOSE, ticket, code, token, held=True) as spent:
        await handler.accounts.reset_password(spent.owner, new_password, spent.data["mark"])
    coded_mail(handler).notify("password_changed", spent.owner, spent.data["address"])
    return {"user_id": spent.owner}
