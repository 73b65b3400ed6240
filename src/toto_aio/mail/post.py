"""The mail of a service: what it writes, and how it goes out."""

from __future__ import annotations

from toto_aio.importer import load
from toto_aio.mail.addresses import MAIL_EXTRA
from toto_aio.mail.letters import Letters
from toto_aio.mail.outbox import Outbox
from toto_aio.mail.senders import open_sender
from toto_aio.settings import Settings


class Post:
    """The letters of a service, and the queue in which they wait. Raises ``SettingsError``."""

    def __init__(self, settings: Settings) -> None:
        load("email_validator", MAIL_EXTRA)
        self.letters = Letters(settings)
        self.outbox = Outbox(open_sender(settings.mail))
