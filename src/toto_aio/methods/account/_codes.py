"""What the methods that send a code have in common."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Annotated

from msgspec import Meta

from toto_aio.auth.codes import Spent
from toto_aio.dispatch.coded_mail import CodedMail, Find, Sent
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import InvalidParameters
from toto_aio.mail.addresses import Address

Email = Annotated[str, Meta(description="an address such as ada@example.org", max_length=254)]
Language = Annotated[
    str,
    Meta(
        description="the language of the mail, such as de or pt-BR; by default the account's", max_length=64
    ),
]
Ticket = Annotated[str, Meta(description="what the request for the code has returned", max_length=200)]
Code = Annotated[str, Meta(description="the six digits in the mail", max_length=20)]
Token = Annotated[
    str, Meta(description="that of the link in the mail, instead of ticket and code", max_length=200)
]


def coded_mail(handler: Handler) -> CodedMail:
    """The mail of the service, without which none of these methods is served."""
    found = handler.connection.coded_mail
    assert found is not None
    return found


async def send_code(
    handler: Handler, purpose: str, subject: str, asked: Address, find: Find, language: str
) -> Sent:
    """Send a code for a purpose to whom ``find`` finds."""
    mail = coded_mail(handler)
    return await mail.request(purpose, subject, asked, find, handler.address, handler.call.method, language)


def spend(
    handler: Handler, purpose: str, ticket: str, code: str, token: str, *, held: bool = False
) -> AbstractAsyncContextManager[Spent]:
    """A block that uses a code with its ticket, or the token of a link. Raises ``InvalidCredentials``.

    ``held``: the code was sent to the address of the account, and counts as long as it is that. If the block
    ends with ``Unavailable``, the code is valid again.
    """
    mail = coded_mail(handler)
    if token and not (ticket or code):
        return mail.spending_link(purpose, token, held=held)
    if token or not (ticket and code):
        raise InvalidParameters("Write ticket and code, or the token of a link.")
    return mail.spending(purpose, ticket, code, held=held)
