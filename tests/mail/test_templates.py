"""Templates: those that come with toto_aio, the author's, and their languages."""

from __future__ import annotations

from pathlib import Path

import pytest

from toto_aio.mail.templates import OWN, PAGE, PAGE_VALUES, Templates, _check, is_language
from toto_aio.settings import SettingsError

FULL = {
    "code": "123456",
    "link": "https://x.example/?a&b",
    "minutes": "10",
    "service": "A & B",
    "address": "a@x",
}
WITHOUT_LINK = {**FULL, "link": ""}


def write(folder: Path, **files: str) -> Templates:
    """The templates with these files of the author's, whose dots are underscores twice."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return Templates(str(folder))


def test_those_that_come_with_it() -> None:
    """Each is sound, says the same in text and HTML, and escapes what it is given."""
    names = {path.name for path in OWN.iterdir()}
    for name in names:
        kind = name.rpartition(".")[2]
        _check(name, name.partition(".")[0], kind, (OWN / name).read_text(encoding="utf-8"))
        if not name.startswith(PAGE):
            assert {name.replace(f".{kind}", ".txt"), name.replace(f".{kind}", ".html")} <= names
    mail = Templates().mail("reset_password", [], FULL)
    assert mail.subject == "123456 is your code for a new password at A & B"
    assert "https://x.example/?a&b" in mail.plain
    assert '<a href="https://x.example/?a&amp;b">' in mail.html
    assert "A &amp; B" in mail.html
    assert "123456" in mail.html


def test_a_line_without_its_value() -> None:
    """Without a link a mail has no line about one, nor has a page without an error."""
    mail = Templates().mail("reset_password", [], WITHOUT_LINK)
    assert "here:" not in mail.plain
    assert "<a" not in mail.html
    assert "123456" in mail.plain
    values = dict.fromkeys(PAGE_VALUES, "x")
    assert 'class="error"' in Templates().page("reset_password", [], values)
    assert 'class="error"' not in Templates().page("reset_password", [], {**values, "error": ""})


def test_templates_of_an_author(tmp_path: Path) -> None:
    """They replace those of the same name; a text of one's own is not sent with the built-in HTML."""
    templates = write(
        tmp_path,
        reset_password__txt="Subject: Neu\n\nPlain $code\n",
        login_code__txt="Subject: Code $code\n\n$code costs $$1\n",
        login_code__html="<b>$code</b> $service",
        page_done__html="<p>fertig",
        README__md="anything else is left alone",
    )
    assert templates.mail("reset_password", [], FULL) == ("Neu", "Plain 123456\n", "")
    assert templates.mail("login_code", [], FULL) == (
        "Code 123456",
        "123456 costs $1\n",
        "<b>123456</b> A &amp; B",
    )
    assert templates.page("done", [], dict.fromkeys(PAGE_VALUES, "")) == "<p>fertig"
    assert "confirm it here" in templates.mail("verify_email", [], FULL).html


def test_languages(tmp_path: Path) -> None:
    """The first that there is, as it is or more generally, else the default one."""
    templates = write(
        tmp_path,
        **{
            "login_code__de__txt": "Subject: D\n\nd",
            "login_code__de-AT__txt": "Subject: A\n\na",
            "login_code__pt__txt": "Subject: P\n\np",
            "login_code__pt__html": "p",
        },
    )
    for languages, subject in (
        (["de"], "D"),
        (["de-CH"], "D"),
        (["de-at"], "A"),
        (["fr", "pt-BR"], "P"),
        (["fr"], "123456 is your code for A & B"),
        (["../../etc/passwd"], "123456 is your code for A & B"),
        ([], "123456 is your code for A & B"),
    ):
        assert templates.mail("login_code", languages, FULL).subject == subject, languages
    for text, is_one in (("de", True), ("pt-BR", True), ("../de", False), ("", False), ("d" * 9, False)):
        assert is_language(text) is is_one, text


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        (
            "rest_password.txt",
            "Subject: x",
            "no mail or page has this name: write one of change_email, ",
        ),
        ("login_code.txt", "Your code\n$code", "begin with a line such as 'Subject: Your code'"),
        ("login_code.txt", "Subject:\n$code", "begin with a line such as"),
        ("login_code.de.txt", "Subject: x\n$cod", "there is no $cod: write one of $code, $link, "),
        ("login_code.txt", "Subject: x\n$ 5", "write $$ for a $ that begins no value"),
        ("login_code.html", "x", "write the text of the mail too, login_code.txt"),
        ("page_done.html", "$code", "there is no $code: write one of $service, $hidden, $error"),
        ("page_done.txt", "Subject: x", "a page is HTML: write page_done.html"),
    ],
)
def test_a_wrong_template(tmp_path: Path, file: str, text: str, what: str) -> None:
    """It stops the start, with what to write."""
    (tmp_path / file).write_text(text)
    with pytest.raises(SettingsError, match="mail_templates: ") as caught:
        Templates(str(tmp_path))
    assert what in str(caught.value)


def test_other_wrong_folders(tmp_path: Path) -> None:
    """One that is not there, and a file that is not UTF-8."""
    with pytest.raises(SettingsError, match="there is no folder"):
        Templates(str(tmp_path / "missing"))
    (tmp_path / "login_code.txt").write_bytes(b"Subject: \xff")
    with pytest.raises(SettingsError, match=r"cannot read login_code\.txt"):
        Templates(str(tmp_path))
