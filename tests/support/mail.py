"""Mail that a service sends in a test: an object that keeps it, and a real server that receives it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from email.message import EmailMessage
from types import ModuleType
from typing import Any

from tests.support.limits import WATCHDOG

DIGITS = re.compile(r"(?<![\w.-])\d{6}(?![\w-])")
"""A code; not six digits that a link has by chance."""
LINK = re.compile(r"https?://\S+")


class Mailbox:
    """A sender that keeps what it is to send: the option ``mail`` of a service."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._arrived = asyncio.Event()

    async def send(self, message: EmailMessage) -> None:
        """Keep a mail."""
        self.messages.append(message)
        self._arrived.set()

    async def next(self) -> EmailMessage:
        """Wait for the next mail, and take it out."""
        async with asyncio.timeout(WATCHDOG):
            while not self.messages:
                self._arrived.clear()
                await self._arrived.wait()
        return self.messages.pop(0)


def text_of(message: EmailMessage) -> str:
    """The plain text of a mail."""
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def code_of(message: EmailMessage) -> str:
    """The six digits in a mail."""
    [code] = set(DIGITS.findall(text_of(message)))
    return str(code)


def link_of(message: EmailMessage) -> str:
    """The link in a mail."""
    [link] = LINK.findall(text_of(message))
    return str(link)


def code_methods() -> Mapping[str, ModuleType]:
    """The methods that send codes, as an option ``method_module`` names them."""
    from toto_aio.methods.account import change_email, login_code, reset_password, verify_email

    modules: tuple[Any, ...] = (change_email, login_code, reset_password, verify_email)
    return {f"account.{module.__name__.rpartition('.')[2]}": module for module in modules}
