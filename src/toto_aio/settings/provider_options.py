"""What follows the ``?`` in the URLs that providers of databases hand out, written for many clients.

A table says for each option what it means here. What has a meaning becomes an option of ours, what is a habit
or a limit of another client is left out, and what would be unsafe to leave out is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from toto_aio.settings.declaration import SettingsError

logger = logging.getLogger(__name__)

Pair = tuple[str, str]


class Meaning(NamedTuple):
    """What an option means."""

    values: Mapping[str, Pair | None] | None = None
    """For each value, in lower case, the option of ours; None leaves it out. Without a table: every value."""
    name: str = ""
    """Without a table, the option of ours that has the value; "" leaves it out."""
    advice: str = ""
    """What to write instead of another value."""


LEFT_OUT = Meaning()
"""It makes no difference here."""


def renamed(name: str) -> Meaning:
    """The meaning of an option that has another name here."""
    return Meaning(name=name)


MODES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "ssl-mode": ("DISABLED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"),
}
"""The modes of TLS, the safest last: of two that a URL has, the safer one holds."""


def translated(option: str, pairs: Iterable[Pair], table: Mapping[str, Meaning]) -> dict[str, str]:
    """Return the options of a URL as those of ours. What is not in the table is kept as it is.

    Raises ``SettingsError``, which names the ``option`` that holds the URL, for a value that cannot be left
    out; it shows no value, as it may be a secret.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        meaning = table.get(name)
        if meaning is None:
            _add(found, name, value)
        elif meaning.values is None:
            if meaning.name:
                _add(found, meaning.name, value)
            else:
                logger.debug("%s: left %s of the URL out, which means nothing here", option, name)
        elif value.lower() in meaning.values:
            if pair := meaning.values[value.lower()]:
                _add(found, *pair)
        else:
            raise SettingsError(f"{option}: cannot use this {name} of the URL: {meaning.advice}")
    return found


def _add(found: dict[str, str], name: str, value: str) -> None:
    modes = MODES.get(name, ())
    if not (value in modes and found.get(name) in modes[modes.index(value) :]):
        found[name] = value
