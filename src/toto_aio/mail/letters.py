"""The mails of a service: from a template and its values to a message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from urllib.parse import urlsplit

from toto_aio.exceptions import InvalidParameters
from toto_aio.mail.addresses import read_address
from toto_aio.mail.templates import VALUES, Templates
from toto_aio.settings import Settings, SettingsError

NOBODY = "toto_aio <toto_aio@localhost>"
"""The sender of mails that only the log gets, if ``mail_from`` names none."""


class Letters:
    """Writes the mails of a service, and says where their links point."""

    def __init__(self, settings: Settings) -> None:
        self.templates = Templates(settings.mail_templates)
        self.public_url = _public_url(settings.public_url)
        self._from = _sender(settings)
        self.service = self._from.display_name or urlsplit(self.public_url).hostname or self._from.domain
        """The name of the service, as its mails have it."""

    def write(
        self, name: str, to: str, languages: Iterable[str] = (), values: Mapping[str, str] | None = None
    ) -> EmailMessage:
        """A mail to an address that ``read_address`` has accepted.

        Each value is text; none becomes a header, except in a subject, where it is one line.
        """
        filled = {**dict.fromkeys(VALUES, ""), "service": self.service, **(values or {})}
        text = self.templates.mail(name, languages, filled)
        message = EmailMessage()
        message["From"] = self._from
        message["To"] = to
        message["Subject"] = " ".join(text.subject.split())
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = make_msgid(domain=self._from.domain)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is reported back
        message.set_content(text.plain)
        if text.html:
            message.add_alternative(text.html, subtype="html")
        return message


def _public_url(url: str) -> str:
    """The URL without a slash behind it. Raises ``SettingsError`` if it is not a URL."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or parts.query or parts.fragment or parts.username or not url.isprintable() or " " in url:
        raise SettingsError(f"public_url: write a URL such as https://notes.example, not {url!r}")
    return url.rstrip("/")


def _sender(settings: Settings) -> Mailbox:
    text = settings.mail_from or (NOBODY if settings.mail == "console" else "")
    name, address = parseaddr(text if text.isprintable() else "")
    try:
        if text == NOBODY:
            return Mailbox(name, addr_spec=address)
        return Mailbox(name, addr_spec=read_address(address).text)
    except (InvalidParameters, ValueError):
        raise SettingsError(
            f"mail_from: write the sender of the mails, such as 'Notes <noreply@notes.example>', not {text!r}"
        ) from None
