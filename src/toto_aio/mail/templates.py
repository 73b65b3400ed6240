"""Templates of mails and of the pages behind their links: those that come with toto_aio, and the author's.

``reset_password.txt`` is the text of a mail, with its subject in the first line; ``reset_password.html`` is
the same in HTML, if there is one; ``reset_password.de.txt`` is the text in German; and
``page_reset_password.html`` is a page. They are read when the service starts: a call names a language, and
never a file.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import NamedTuple

from toto_aio.settings import SettingsError

OWN = Path(__file__).with_name("templates")
VALUES = ("code", "link", "minutes", "service", "address")
"""What a mail may contain."""
PAGE_VALUES = ("service", "hidden", "error")
"""What a page may contain: ``$hidden`` are the fields of its form that it needs."""
PAGE = "page_"
"""What the names of pages begin with."""
SUBJECT = "Subject:"
_LANGUAGE = r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}"
_FILE = re.compile(rf"(?P<name>[a-z_]+)(?:\.(?P<language>{_LANGUAGE}))?\.(?P<kind>txt|html)")


class Text(NamedTuple):
    """What a mail says: ``html`` is "" if it is plain text only."""

    subject: str
    plain: str
    html: str


class Templates:
    """The templates of a service: those of ``folder`` come before the built-in ones of the same name."""

    def __init__(self, folder: str = "") -> None:
        own = _read(OWN)
        self._names = frozenset(name for name, _, _ in own)
        self._files = {**own}
        if folder:
            self._take(folder)

    def _take(self, folder: str) -> None:
        if not Path(folder).is_dir():
            raise SettingsError(f"mail_templates: there is no folder {folder!r}")
        given = _read(Path(folder))
        for (name, language, kind), text in given.items():
            file = f"{name}{f'.{language}' if language else ''}.{kind}"
            if name not in self._names:
                known = ", ".join(sorted(self._names))
                raise SettingsError(
                    f"mail_templates: {file}: no mail or page has this name: write one of {known}"
                )
            _check(file, name, kind, text)
            if kind == "txt":  # whose HTML would say something else
                self._files.pop((name, language, "html"), None)
        for name, language, kind in given:
            if kind == "html" and not name.startswith(PAGE) and (name, language, "txt") not in given:
                raise SettingsError(f"mail_templates: {name}: write the text of the mail too, {name}.txt")
        self._files.update(given)

    def mail(self, name: str, languages: Iterable[str], values: Mapping[str, str]) -> Text:
        """A mail in the first of these languages that there is, or else in the default one.

        A line that has a value which is "" is left out: without ``public_url`` that of the link.
        """
        language = self._language(name, "txt", languages)
        head, _, rest = self._files[name, language, "txt"].partition("\n")
        subject = _filled(head.removeprefix(SUBJECT), values).strip()
        text = _filled(rest.lstrip("\n"), values)
        rich = self._files.get((name, language, "html"), "")
        return Text(subject, text, _filled(rich, {key: html.escape(value) for key, value in values.items()}))

    def page(self, name: str, languages: Iterable[str], values: Mapping[str, str]) -> str:
        """A page in HTML, whose values are HTML already. A line with an empty value is left out."""
        return _filled(
            self._files[PAGE + name, self._language(PAGE + name, "html", languages), "html"], values
        )

    def _language(self, name: str, kind: str, languages: Iterable[str]) -> str:
        for wanted in languages:
            wanted = wanted.lower()
            while wanted:
                if (name, wanted, kind) in self._files:
                    return wanted
                wanted = wanted.rpartition("-")[0]
        return ""


def is_language(text: str) -> bool:
    """Whether a text is a tag of a language (RFC 5646), such as ``de`` or ``pt-BR``."""
    return re.fullmatch(_LANGUAGE, text) is not None


def _read(folder: Path) -> dict[tuple[str, str, str], str]:
    """The files of a folder that have names of templates, by name, language and kind."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and (match := _FILE.fullmatch(path.name)):
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as exc:
                raise SettingsError(f"mail_templates: cannot read {path.name}: {exc}") from None
            found[match["name"], (match["language"] or "").lower(), match["kind"]] = text
    return found


def _check(file: str, name: str, kind: str, text: str) -> None:
    """Raise ``SettingsError`` for a template that cannot be filled in."""
    is_page = name.startswith(PAGE)
    known = PAGE_VALUES if is_page else VALUES
    if is_page and kind == "txt":
        raise SettingsError(f"mail_templates: {file}: a page is HTML: write {name}.html")
    if kind == "txt" and not re.match(rf"{SUBJECT}[^\n]*\S", text):
        raise SettingsError(f"mail_templates: {file}: begin with a line such as 'Subject: Your code'")
    template = Template(text)
    if not template.is_valid():
        raise SettingsError(f"mail_templates: {file}: write $$ for a $ that begins no value")
    if unknown := set(template.get_identifiers()) - set(known):
        listed = ", ".join(f"${each}" for each in known)
        raise SettingsError(f"mail_templates: {file}: there is no ${min(unknown)}: write one of {listed}")


def _filled(text: str, values: Mapping[str, str]) -> str:
    empty = {name for name, value in values.items() if not value}
    lines = text.splitlines(keepends=True)
    kept = (line for line in lines if empty.isdisjoint(Template(line).get_identifiers()))
    return Template("".join(kept)).substitute(values)
