"""URLs of the option ``mail``."""

from __future__ import annotations

import pytest

from toto_aio.mail.server import MailServer, read_server
from toto_aio.settings import SettingsError


def test_urls() -> None:
    """A server, a port, a login, and how what is said is encrypted."""
    for url, server in {
        "smtp://mail.example": ("mail.example", 587, "", "", "starttls", ""),
        "smtps://mail.example": ("mail.example", 465, "", "", "implicit", ""),
        "smtp://mail.example?tls=off": ("mail.example", 25, "", "", "off", ""),
        "smtp://a%40b:p%3Aw%40d@mail.example:2525/": ("mail.example", 2525, "a@b", "p:w@d", "starttls", ""),
        "smtps://u:p@[::1]:1?tls_ca=/etc/ca.pem": ("::1", 1, "u", "p", "implicit", "/etc/ca.pem"),
        "smtp://u:p@localhost?tls=off": ("localhost", 25, "u", "p", "off", ""),
    }.items():
        assert read_server(url) == MailServer(*server), url  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mail.example", "cannot read 'mail.example': write smtp://user:password@host"),
        ("http://mail.example", "cannot read"),
        ("smtp://", "cannot read"),
        ("smtp://u:secret@host:port", "cannot read"),
        ("smtp://u:secret@host/path", "cannot read"),
        ("smtp://u:sec#ret@host", "cannot read"),
        ("smtp://u@host", "write both the user and the password"),
        ("smtp://host?tls=on", "write tls=starttls or tls=off for smtp://"),
        ("smtps://host?tls=off", "write tls=implicit for smtps://"),
        ("smtp://host?ssl=1", "there is no 'ssl' in such a URL: write tls or tls_ca"),
        ("smtp://u:secret@host?tls=off", "a password would travel in plain text"),
    ],
)
def test_what_is_no_url(url: str, what: str) -> None:
    """The error says what to write, and never the password."""
    with pytest.raises(SettingsError, match="mail: ") as caught:
        read_server(url)
    assert what in str(caught.value)
    assert "sec" not in str(caught.value)
