"""The mails that a service writes, and the options that they depend on."""

from __future__ import annotations

from typing import Any

import pytest

from toto_aio import create_app
from toto_aio.mail.letters import Letters
from toto_aio.methods.account import reset_password
from toto_aio.settings import SettingsError, read_settings

OPTIONS = {"mail": "console", "mail_from": "Notes <n@notes.example>"}


def test_a_mail() -> None:
    """It has a sender, a date, an id of the sender's domain, and one line of a subject."""
    letters = Letters(read_settings(OPTIONS))
    values = {"code": "1\r\nBcc: eve@example.org", "minutes": "10"}
    message = letters.write("login_code", "ada@example.org", [], values)
    assert message["From"] == "Notes <n@notes.example>"
    assert message["Subject"] == "1 Bcc: eve@example.org is your code for Notes"
    assert message["Bcc"] is None
    assert message["Message-ID"].endswith("@notes.example>")
    assert message["Date"].endswith("+0000")


def test_the_name_of_the_service() -> None:
    """That of the sender, or the host of the application, or the domain of the sender."""
    for options, name in (
        ({}, "Notes"),
        ({"mail_from": "n@notes.example", "public_url": "https://app.example/x"}, "app.example"),
        ({"mail_from": "n@notes.example"}, "notes.example"),
        ({"mail_from": ""}, "toto_aio"),
    ):
        assert Letters(read_settings({**OPTIONS, **options})).service == name, options


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"mail": object()}, "mail: write smtp://user:password@host"),
        ({"mail": "smtp://host", "mail_from": ""}, "mail_from: write the sender of the mails"),
        ({"mail_from": "Notes"}, "mail_from: write the sender of the mails"),
        ({"mail_from": "Notes <n@notes.example>\nBcc: x@x.org"}, "mail_from: write the sender"),
        ({"public_url": "notes.example"}, "public_url: write a URL such as https://notes.example"),
        ({"public_url": "https://notes.example/?a=b"}, "public_url: write a URL"),
        ({"public_url": "ftp://notes.example"}, "public_url: write a URL"),
        ({"public_url": "https://notes.example:x"}, "public_url: write a URL"),
        ({"mail_templates": "/nowhere"}, "mail_templates: there is no folder '/nowhere'"),
        ({"mail": None}, "mail: 'reset.request' needs it: write mail=smtp://user:password@host"),
    ],
)
def test_wrong_options(options: dict[str, Any], what: str) -> None:
    """They stop the start, with what to write."""
    with pytest.raises(SettingsError) as caught:
        create_app(database="memory://", method_module={"reset": reset_password}, **{**OPTIONS, **options})
    assert str(caught.value).startswith(what.split(":")[0])
    assert what in str(caught.value)
