"""What sends a mail: an SMTP server, the log, or an object of the author's."""

from __future__ import annotations

import asyncio
import inspect
import logging
import ssl
from email.message import EmailMessage
from typing import Any, Protocol

from toto_aio.importer import load
from toto_aio.mail.addresses import MAIL_EXTRA
from toto_aio.mail.server import EXAMPLE, MailServer, read_server
from toto_aio.settings import SettingsError

logger = logging.getLogger(__name__)

LIMIT = 30.0
"""Seconds that one attempt to send a mail may take."""


class MailRefusedError(Exception):
    """The mail cannot be sent, however often one tries."""


class MailDelayedError(Exception):
    """The server refuses the mail for now. Its own words, which may name the address, are left out."""


class Sender(Protocol):
    """Sends mails, one at a time or several at the same time."""

    async def send(self, message: EmailMessage) -> None:
        """Send a mail. Raises ``MailRefusedError`` if it is of no use to try again, and any other error."""


def open_sender(mail: Any) -> Sender:
    """What the option ``mail`` stands for. Nothing is connected yet. Raises ``SettingsError``."""
    if mail == "console":
        return Console()
    if isinstance(mail, str):
        return SMTP(read_server(mail))
    if not callable(getattr(mail, "send", None)) or isinstance(mail, type):
        raise SettingsError(f"mail: write {EXAMPLE}, or an object with send(message), not {mail!r}")
    return Own(mail)


class SMTP:
    """Sends through a server, over a connection for each mail, as mails of a service are few."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._library = load("aiosmtplib", MAIL_EXTRA)
        self._tls: ssl.SSLContext | None = None
        if server.encryption != "off":
            try:
                self._tls = ssl.create_default_context(cafile=server.authority or None)
            except OSError as exc:
                raise SettingsError(f"mail: tls_ca: cannot read {server.authority}: {exc}") from None

    async def send(self, message: EmailMessage) -> None:
        server, library = self._server, self._library
        try:
            async with asyncio.timeout(LIMIT):
                await library.send(
                    message,
                    hostname=server.host,
                    port=server.port,
                    username=server.user or None,
                    password=server.password or None,
                    use_tls=server.encryption == "implicit",
                    start_tls=server.encryption == "starttls",
                    tls_context=self._tls,
                    timeout=LIMIT,
                )
        except library.SMTPRecipientsRefused as exc:
            codes = [refused.code for refused in exc.recipients]
            if all(code >= 500 for code in codes):
                raise MailRefusedError(f"the server refuses the address: {codes[0]}") from exc
            raise MailDelayedError(f"the server refuses the address: {codes[0]}") from exc
        except library.SMTPResponseException as exc:
            if exc.code >= 500 and not isinstance(exc, library.SMTPAuthenticationError):
                raise MailRefusedError(f"the server refuses the mail: {exc.code}") from exc
            # A password that is wrong now may be set right meanwhile.
            raise MailDelayedError(f"{type(exc).__name__}: {exc.code}") from exc


class Console:
    """Writes mails into the log, codes and all: for development."""

    async def send(self, message: EmailMessage) -> None:
        body = message.get_body(("plain",))
        text = "" if body is None else body.get_content()
        logger.info("mail to %s: %s\n%s", message["To"], message["Subject"], text.rstrip())


class Own:
    """An object of the author's. Its ``send`` is a coroutine function, or a plain one, run in a thread."""

    def __init__(self, sender: Any) -> None:
        self._send = sender.send

    async def send(self, message: EmailMessage) -> None:
        async with asyncio.timeout(LIMIT):
            if inspect.iscoroutinefunction(self._send):
                await self._send(message)
                return
            outcome = await asyncio.to_thread(self._send, message)
            if inspect.isawaitable(outcome):
                await outcome
