"""Senders: a real SMTP server with TLS and logins, the log, and an object of an author's."""

from __future__ import annotations

import asyncio
import logging
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiosmtpd.smtp import SMTP as Protocol
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests.support.limits import WATCHDOG, limits
from tests.support.servers import free_port, make_certificate
from toto_aio.exceptions import described
from toto_aio.mail import senders
from toto_aio.mail.letters import Letters
from toto_aio.mail.senders import MailDelayedError, MailRefusedError, open_sender
from toto_aio.settings import Settings, SettingsError


class Certificate(NamedTuple):
    """A certificate of localhost, which is its own authority."""

    authority: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of localhost."""
    folder = tmp_path_factory.mktemp("tls")
    authority, key = folder / "cert.pem", folder / "key.pem"
    make_certificate(authority, key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority, key)
    return Certificate(authority, context)


class Post:
    """What a server does with a mail; ``answer`` refuses it."""

    def __init__(self, answer: str = "250 OK", at: str = "DATA", stuck: bool = False) -> None:
        self.received: list[Any] = []
        self._answer, self._at, self._stuck = answer, at, stuck

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        if self._at == "RCPT":
            return self._answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        """Take a mail, or refuse it."""
        if self._stuck:
            await asyncio.sleep(3600)
        if self._answer.startswith("250"):
            self.received.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return self._answer


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Let one user in."""
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ada", b"p@ss")
    return AuthResult(success=is_right, handled=False)


@asynccontextmanager
async def serving(post: Post, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """A mail server on a free port of this machine."""
    loop = asyncio.get_running_loop()
    protocols: list[Protocol] = []

    def connected() -> Protocol:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of logins without TLS, which this server wants
            protocols.append(Protocol(post, loop=loop, **options))
        return protocols[-1]

    server = await loop.create_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for protocol in protocols:
            if isinstance(protocol.transport, asyncio.Transport):
                protocol.transport.abort()
        await asyncio.sleep(0)


def letter(to: str = "ada@example.org") -> EmailMessage:
    """A mail as the service writes it."""
    letters = Letters(Settings(mail="console", mail_from="Nötes <notes@notes.example>"))
    return letters.write("login_code", to, [], {"code": "123456", "minutes": "10"})


async def test_a_server(certificate: Certificate) -> None:
    """What is sent arrives, in the clear, after STARTTLS or over TLS, with a login and without."""
    context = certificate.context
    with_login = {"authenticator": authenticate, "auth_required": True}
    for url, tls, options in (
        ("smtp://localhost:{}?tls=off", None, {}),
        ("smtp://ada:p%40ss@localhost:{}?tls=off", None, {**with_login, "auth_require_tls": False}),
        ("smtp://localhost:{}?tls_ca={}", None, {"tls_context": context, "require_starttls": True}),
        ("smtp://ada:p%40ss@localhost:{}?tls_ca={}", None, {"tls_context": context, **with_login}),
        ("smtps://ada:p%40ss@localhost:{}?tls_ca={}", context, {**with_login, "auth_require_tls": False}),
    ):
        post = Post()
        async with serving(post, tls, **options) as port:
            async with asyncio.timeout(WATCHDOG):
                await open_sender(url.format(port, certificate.authority)).send(letter())
        [(sender, recipients, content)] = post.received
        assert (sender, recipients) == ("notes@notes.example", ["ada@example.org"]), url
        received = message_from_bytes(content, policy=policy.default)
        assert isinstance(received, EmailMessage)
        assert received["From"] == "Nötes <notes@notes.example>"
        assert received["Auto-Submitted"] == "auto-generated"
        kinds = [part.get_content_type() for part in received.walk()]
        assert kinds == ["multipart/alternative", "text/plain", "text/html"]
        assert "123456" in received["Subject"]


async def test_what_is_not_sent(certificate: Certificate) -> None:
    """Mails that are refused for good; and what may be tried again: errors for now, TLS, logins, time."""
    context = certificate.context
    off = "smtp://localhost:{}?tls=off"
    wrong_login = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}
    for url, post, options, expected in (
        (off, Post("550 no such user", "RCPT"), {}, MailRefusedError),
        (off, Post("554 spam"), {}, MailRefusedError),
        (off, Post("451 <ada@example.org>: later", "RCPT"), {}, MailDelayedError),
        (off, Post("451 <ada@example.org>: later 123456"), {}, MailDelayedError),
        ("smtp://localhost:{}", Post(), {}, Exception),  # it offers no TLS
        ("smtp://localhost:{}", Post(), {"tls_context": context}, Exception),  # of an authority unknown
        ("smtp://ada:wrong@localhost:{}?tls=off", Post(), wrong_login, Exception),
    ):
        async with serving(post, **options) as port:
            async with asyncio.timeout(WATCHDOG):
                with pytest.raises(expected) as caught:
                    await open_sender(url.format(port)).send(letter())
        assert "ada" not in described(caught.value), "the log has no address"
        assert isinstance(caught.value, MailRefusedError) == (expected is MailRefusedError), (
            url,
            caught.value,
        )
        assert post.received == []
    with pytest.raises(OSError, match="onnect"):
        await open_sender(off.format(free_port())).send(letter())


async def test_a_slow_server() -> None:
    """It has so much time, and no more."""
    async with serving(Post(stuck=True)) as port:
        with limits(senders, LIMIT=0.3):
            async with asyncio.timeout(WATCHDOG):
                with pytest.raises(TimeoutError):
                    await open_sender(f"smtp://localhost:{port}?tls=off").send(letter())


async def test_the_console(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the mail, to copy its code from."""
    with caplog.at_level(logging.INFO):
        await open_sender("console").send(letter())
    assert "mail to ada@example.org: 123456 is your code for Nötes\nLog in to Nötes" in caplog.text


async def test_an_object_of_an_author() -> None:
    """Its send is a coroutine function or a plain one, which blocks nothing; it has a limit of time."""
    sent: list[Any] = []
    hold = asyncio.Event()

    class Plain:
        def send(self, message: EmailMessage) -> None:
            sent.append(message)

    class Awaited:
        async def send(self, message: EmailMessage) -> None:
            sent.append(message)

    class Lazy:
        def send(self, message: EmailMessage) -> Any:
            return Awaited().send(message)

    class Stuck:
        async def send(self, message: EmailMessage) -> None:
            await hold.wait()

    for kind in (Plain, Awaited, Lazy):
        await open_sender(kind()).send(letter())
    assert len(sent) == 3
    with limits(senders, LIMIT=0.05):
        with pytest.raises(TimeoutError):
            await open_sender(Stuck()).send(letter())


@pytest.mark.parametrize("mail", [1, object(), "post", Post, "", "sendmail://x"])
def test_what_is_no_sender(mail: object) -> None:
    """The error says what to write."""
    with pytest.raises(SettingsError, match=r"^mail: .*smtp://user:password@host"):
        open_sender(mail)


def test_a_missing_authority(tmp_path: Path) -> None:
    """A file of certificates that cannot be read stops the start."""
    with pytest.raises(SettingsError, match="tls_ca: cannot read"):
        open_sender(f"smtps://localhost?tls_ca={tmp_path}/none.pem")
