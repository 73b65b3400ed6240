"""What is known of each option, read from its declaration: for ``--help``, the documentation and errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import msgspec

from toto_aio.settings.declaration import Settings
from toto_aio.settings.old_options import RENAMED


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of an option, for ``--help`` and the documentation."""

    name: str
    type: Any
    default: Any
    group: str
    description: str
    by_server: bool
    """Whether it is one of the processes that serve, and not of a service."""

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that the option accepts, if it accepts only a few."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def flag(self) -> str:
        """The option on a command line."""
        return "--app.NAME" if self.name == "app" else f"--{self.name.replace('_', '-')}"

    @property
    def metavar(self) -> str:
        """The placeholder for the value in ``--help``."""
        return "|".join(self.choices) or _METAVARS.get(self.type, "VALUE")


def describe_options() -> Iterator[Option]:
    """The options in the order in which they are declared."""
    return iter(OPTIONS.values())


def unknown_option(place: str, name: str, names: Iterable[str] | None = None) -> str:
    """The error for an option that does not exist: its new name, or similar ``names`` (of all options)."""
    if name in RENAMED:
        return f"{place}: {RENAMED[name]}"
    import difflib  # here, as no start needs what takes a hundredth of a second

    def similarity(other: str) -> float:
        return difflib.SequenceMatcher(None, other, name).ratio()

    matches = difflib.get_close_matches(name, OPTIONS if names is None else names, 3)
    similar = [other for other in matches if similarity(other) == similarity(matches[0])]
    if similar:
        return f"{place}: no such option; did you mean {' or '.join(similar)}?"
    own = "" if place.startswith("--") else ". A setting of your own is app={...}, or under [app] in TOML"
    return f"{place}: no such option; see --help{own}"


def _declared(name: str) -> Option:
    field = FIELDS[name]
    meta = field.type.__metadata__[0]
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    group, by_server = meta.extra_json_schema["x-group"], meta.extra_json_schema["x-by-server"]
    return Option(name, field.type.__origin__, default, group, meta.description, by_server)


FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
OPTIONS = {name: _declared(name) for name in FIELDS}
_METAVARS = {bool: "true|false", int: "N", float: "SECONDS", list[str]: "A,B,C"}
