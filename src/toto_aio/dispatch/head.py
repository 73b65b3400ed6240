"""What a method may set of a response: what can't be sent is an error where it is set."""

from __future__ import annotations

import re


def checked_status(status: int) -> int:
    """A status. Raises ``TypeError``, and ``ValueError`` unless it ends a response (RFC 9110, 15)."""
    if not isinstance(status, int):
        raise TypeError(f"a status is a number such as 404, not {type(status).__name__}")
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of a response: write one from 200 to 599")
    return status


def checked_header(name: str, value: str) -> tuple[str, str]:
    """A header. Raises ``TypeError``, and ``ValueError`` for what would be read as something else."""
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header: write letters, digits and -")
    return name, checked_text(value, name)


def checked_text(text: str, what: str) -> str:
    """Text for the head of a response. Raises ``TypeError``, and ``ValueError`` for what would end it."""
    if not isinstance(text, str):
        raise TypeError(f"{what}: text is expected, not {type(text).__name__}")
    if _UNSENDABLE.search(text):
        raise ValueError(f"{what}: {text!r} has a line break or another character that no header may have")
    return text


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
