"""The queue of mails: what is sent, tried again, given up and lost, and what the log has of it."""

from __future__ import annotations

import asyncio
import logging
from email.message import EmailMessage

import pytest

from tests.support.limits import PATIENCE, WATCHDOG, limits
from toto_aio.exceptions import Unavailable
from toto_aio.mail import outbox as module
from toto_aio.mail.outbox import Outbox, Prepare
from toto_aio.mail.senders import MailRefusedError


def make_message(number: int = 0) -> EmailMessage:
    """A mail with a secret."""
    message = EmailMessage()
    message["To"], message["Message-ID"], message["Subject"] = "ada@example.org", f"<{number}@x>", "123456"
    message.set_content("secret 123456")
    return message


def ready(message: EmailMessage | None) -> Prepare:
    """A mail that is prepared already."""

    async def prepare() -> EmailMessage | None:
        return message

    return prepare


class Unreliable:
    """A sender that raises these errors first, one for each attempt."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent: list[str] = []
        self.attempts = 0

    async def send(self, message: EmailMessage) -> None:
        """Send a mail, or raise the next error."""
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(message["Message-ID"])


class Stuck:
    """A sender that never ends."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def send(self, message: EmailMessage) -> None:
        """Wait."""
        self.begun.set()
        await asyncio.sleep(PATIENCE)


async def test_mails_are_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Each is sent once; the log names its template, its id and its domain, and nothing that it says."""
    sender = Unreliable()
    outbox = Outbox(sender)
    with caplog.at_level(logging.DEBUG):
        outbox.put("login_code", ready(make_message(1)), PATIENCE)
        outbox.put("login_code", ready(None), PATIENCE)
        outbox.put("reset_password", ready(make_message(2)), PATIENCE)
        await outbox.close(WATCHDOG)
    assert sorted(sender.sent) == ["<1@x>", "<2@x>"]
    assert "mail login_code to a***@example.org <1@x> sent" in caplog.text
    assert "123456" not in caplog.text
    assert "ada@" not in caplog.text


async def test_it_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    """After any error, in the preparation too, until the mail is sent."""
    sender = Unreliable(OSError("no route"), TimeoutError())
    failures: list[Exception] = [Unavailable()]

    async def prepare() -> EmailMessage:
        if failures:
            raise failures.pop()
        return make_message()

    outbox = Outbox(sender, waits=(0.0, 0.0, 0.0))
    outbox.put("login_code", prepare, PATIENCE)
    await outbox._tasks.finish(WATCHDOG)
    assert sender.sent == ["<0@x>"]
    assert "not sent yet, trying again in 0 s: OSError('no route')" in caplog.text
    await outbox.close(WATCHDOG)


async def test_when_a_mail_leaves() -> None:
    """That is told once, before the first attempt, and not at all if there is nobody to send a mail to."""
    told: list[int] = []
    sender = Unreliable(OSError("no route"))
    outbox = Outbox(sender, waits=(0.0,))
    outbox.put("login_code", ready(make_message()), PATIENCE, lambda: told.append(sender.attempts))
    outbox.put("login_code", ready(None), PATIENCE, lambda: told.append(-1))
    await outbox._tasks.finish(WATCHDOG)
    assert (told, sender.attempts, sender.sent) == ([0], 2, ["<0@x>"])
    await outbox.close(WATCHDOG)


@pytest.mark.parametrize(
    ("errors", "lasts", "attempts", "line"),
    [
        ([MailRefusedError("550")], PATIENCE, 1, "not sent: 550"),
        ([OSError("down")] * 9, PATIENCE, 3, "lost, after the last attempt: OSError('down')"),
        ([OSError("<Ada@example.org> is busy")] * 9, PATIENCE, 3, "OSError('<a***@example.org> is busy')"),
        ([OSError("down")] * 9, -1.0, 0, "lost: it has waited until it was of no use any more"),
    ],
    ids=["refused", "out of attempts", "its address", "too old"],
)
async def test_it_gives_up(
    caplog: pytest.LogCaptureFixture, errors: list[Exception], lasts: float, attempts: int, line: str
) -> None:
    """If the server refuses the mail, after the last attempt, and once the mail is of no use any more."""
    sender = Unreliable(*errors)
    outbox = Outbox(sender, waits=(0.0, 0.0))
    outbox.put("login_code", ready(make_message()), lasts)
    await outbox._tasks.finish(WATCHDOG)
    assert (sender.attempts, sender.sent) == (attempts, [])
    assert line in caplog.text
    assert "da@" not in caplog.text
    await outbox.close(WATCHDOG)


async def test_a_mail_whose_turn_comes_too_late(caplog: pytest.LogCaptureFixture) -> None:
    """It is not sent, as its code has expired."""

    async def prepare() -> EmailMessage:
        await asyncio.sleep(0.2)
        return make_message()

    sender = Unreliable()
    outbox = Outbox(sender)
    outbox.put("login_code", prepare, 0.1)
    await outbox._tasks.finish(WATCHDOG)
    assert (sender.attempts, sender.sent) == (0, [])
    assert "<0@x> lost: it has waited" in caplog.text
    await outbox.close(WATCHDOG)


async def test_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """What waits for its next attempt has one at once; what is not sent in time is named as lost."""
    sender = Unreliable(OSError("down"))
    outbox = Outbox(sender, waits=(PATIENCE,))
    outbox.put("login_code", ready(make_message()), 2 * PATIENCE)
    async with asyncio.timeout(WATCHDOG):
        while "trying again" not in caplog.text:
            await asyncio.sleep(0.01)
        await outbox.close(PATIENCE)
    assert sender.sent == ["<0@x>"]
    with pytest.raises(Unavailable):
        outbox.put("login_code", ready(make_message()), PATIENCE)

    stuck = Stuck()
    outbox = Outbox(stuck)
    with limits(module, SPREAD=0.0):
        for _ in range(3):
            outbox.put("login_code", ready(make_message()), PATIENCE)
        async with asyncio.timeout(WATCHDOG):
            await stuck.begun.wait()
            await outbox.close(0.01)
    assert "3 mails are lost: the service has ended before they were sent" in caplog.text
    assert len(outbox._tasks) == 0


async def test_a_full_queue() -> None:
    """It takes so many, and then refuses; what is refused is not kept."""
    with limits(module, SPREAD=0.0):
        outbox = Outbox(Stuck(), most=2)
        for _ in range(2):
            outbox.put("login_code", ready(make_message()), PATIENCE)
        for _ in range(2):
            with pytest.raises(Unavailable, match="Too many mails are waiting"):
                outbox.put("login_code", ready(make_message()), PATIENCE)
        assert len(outbox._tasks) == 2
        await outbox.close(0.0)


async def test_the_order() -> None:
    """Mails are prepared one after the other: of two codes for an address the later one is valid."""
    prepared: list[int] = []

    def slow(number: int) -> Prepare:
        async def prepare() -> None:
            await asyncio.sleep(0.02 if number == 0 else 0)
            prepared.append(number)

        return prepare

    outbox = Outbox(Unreliable())
    for number in range(5):
        outbox.put("login_code", slow(number), PATIENCE)
    await outbox.close(WATCHDOG)
    assert prepared == [0, 1, 2, 3, 4]
