"""Mails with a code: asked for by a call, which learns nothing of what becomes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from email.message import EmailMessage
from itertools import count
from typing import TypedDict
from urllib.parse import urlencode

from toto_aio.auth.accounts import Accounts
from toto_aio.auth.audit import Action, acting, acting_now
from toto_aio.auth.codes import LASTS, Codes, RefusedCodeError, Spent
from toto_aio.auth.mail_limits import MailLimits
from toto_aio.auth.verified_addresses import Holder, VerifiedAddresses
from toto_aio.exceptions import InvalidParameters, Unavailable
from toto_aio.mail.addresses import Address
from toto_aio.mail.post import Post
from toto_aio.mail.templates import is_language
from toto_aio.settings import Settings
from toto_aio.settings.urls import root_path
from toto_aio.stores import SessionStore, Store
from toto_aio.stores.records import records_of

Find = Callable[[], Awaitable[Holder | None]]
"""Whom a mail goes to; None if it goes to nobody."""


def open_coded_mail(
    post: Post, settings: Settings, database: Store, counters: SessionStore, accounts: Accounts
) -> CodedMail:
    """The mails with codes of a service, whose codes and addresses are in the ``database``."""
    records = records_of(database)
    return CodedMail(
        post,
        Codes(records, counters, settings.secret_key),
        VerifiedAddresses(records, database),
        MailLimits(counters),
        accounts,
        root_path(settings) if settings.method_select != "parameter" else None,
    )


class Sent(TypedDict):
    """What a call gets that asks for a code, whether or not anybody gets a mail."""

    ticket: str
    expires: float


class CodedMail:
    """What the methods with codes share. ``root`` is the path of the service; None: no method has a path."""

    def __init__(
        self,
        post: Post,
        codes: Codes,
        addresses: VerifiedAddresses,
        limits: MailLimits,
        accounts: Accounts,
        root: str | None,
    ) -> None:
        self.post = post
        self._codes = codes
        self.addresses = addresses
        self.audit = accounts.audit
        self._limits = limits
        self._accounts = accounts
        self._root = root

    async def close(self) -> None:
        """Wait until the last codes are given back."""
        await self._codes.close()

    async def request(
        self, purpose: str, subject: str, asked: Address, find: Find, client: str, method: str, language: str
    ) -> Sent:
        """Send a code to whom ``find`` finds, later; the template has the name of the ``purpose``.

        ``subject`` is the address or the user that asks: there is one valid code for each. The call itself
        does the same for every address: it counts, and queues. Later, too, the same is done for an address
        that nobody has, except that no mail is sent. ``method`` is the name of the called method; that of the
        link is ``confirm`` beside it. Raises ``InvalidParameters``, ``TooManyAttempts`` and ``Unavailable``.
        """
        if language and not is_language(language):
            raise InvalidParameters("language: write a tag such as de or pt-BR.")
        await self._limits.count(dict.fromkeys((subject, asked.key)), client)
        draft = self._codes.draft(purpose, subject)
        asking = acting_now()
        attempts = count()
        holder: Holder | None = None

        async def prepare() -> EmailMessage | None:
            nonlocal holder
            if next(attempts) and await self._codes.is_replaced(draft):
                return None  # while the database was out of reach, a later code has been sent
            holder = await find()
            to = Holder("", asked.text) if holder is None else holder
            languages = [language] if language else await self._languages(to.user_id)
            mark = await self._accounts.password_mark(to.user_id)
            data = {"address": to.address, "key": asked.key, "mark": mark}
            await self._codes.store(draft, to.user_id, data)
            values = {
                "code": draft.digits,
                "link": self._link(method, draft.token, languages),
                "minutes": f"{LASTS / 60:.0f}",
                "address": to.address,
            }
            message = self.post.letters.write(purpose, to.address, languages, values)
            return None if holder is None else message

        def record() -> None:
            # Not in ``prepare``: that would delay the client in its next call, and show that a mail is sent.
            assert holder is not None
            acting.set(asking)
            self.audit.record(Action.CODE_SENT, holder.user_id, purpose=purpose)

        self.post.outbox.put(purpose, prepare, LASTS, record)
        return {"ticket": draft.ticket, "expires": draft.expires}

    def spending(
        self, purpose: str, ticket: str, digits: str, *, held: bool = False
    ) -> AbstractAsyncContextManager[Spent]:
        """A block that uses a code. Raises ``InvalidCredentials``, also if the password is another one since.

        With ``held`` it also does if the address that the code was sent to is the account's no longer. So
        nobody who has lost an account by a new password or address comes back with a code from before. If the
        block ends with ``Unavailable``, the code is valid again.
        """
        return self._spending(purpose, self._codes.spend(purpose, ticket, digits), held)

    def spending_link(
        self, purpose: str, token: str, *, held: bool = False
    ) -> AbstractAsyncContextManager[Spent]:
        """A block that uses a link, as ``spending`` does a code."""
        return self._spending(purpose, self._codes.spend_link(purpose, token), held)

    def notify(self, template: str, user_id: str, address: str, about: str = "") -> None:
        """Tell the owner of an ``address`` of a change, such as that ``about`` is the address now.

        If too many mails wait, nobody is told: what has changed has changed.
        """

        async def prepare() -> EmailMessage:
            languages = await self._languages(user_id)
            return self.post.letters.write(template, address, languages, {"address": about})

        with suppress(Unavailable):  # which is logged
            self.post.outbox.put(template, prepare, LASTS)

    @asynccontextmanager
    async def _spending(self, purpose: str, use: Awaitable[Spent], held: bool) -> AsyncIterator[Spent]:
        """A block with what a code was for. One that is refused is in the audit log."""
        try:
            spent = await use
            async with spent.use.given_back_unless_done():
                await self.require_valid(spent, held=held)
                yield spent
        except RefusedCodeError as exc:
            self.audit.record(Action.CODE_REFUSED, exc.user_id, purpose=purpose)
            raise

    async def require_valid(self, spent: Spent, *, held: bool = False) -> None:
        """Raise ``InvalidCredentials`` if a code that was used is worth nothing, as ``spending`` says.

        That may change until what follows from it is done, so it is asked again then.
        """
        if spent.data["mark"] != await self._accounts.password_mark(spent.owner):
            raise RefusedCodeError(spent.owner)
        if held:
            holder = await self.addresses.holder(spent.data["key"])
            if holder is None or holder.user_id != spent.owner:
                raise RefusedCodeError(spent.owner)

    async def _languages(self, user_id: str) -> list[str]:
        """The language of an account: its custom field ``language``."""
        account = await self._accounts.of_session(user_id)
        found = None if account is None else account["language"]
        return [found] if isinstance(found, str) and is_language(found) else []

    def _link(self, method: str, token: str, languages: list[str]) -> str:
        """The link to the page of a method; "" without ``public_url``, or a path."""
        if not self.post.letters.public_url or self._root is None:
            return ""
        path = f"{method.rpartition('.')[0]}.confirm".replace(".", "/")
        query = urlencode({"token": token, **({"language": languages[0]} if languages else {})})
        return f"{self.post.letters.public_url}{self._root}/{path}?{query}"
