"""The command line of ``toto-aio call``: the command's own options, and the parameters of the method."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from toto_aio.settings.durations import FORM, in_seconds
from toto_aio.settings.options import OPTIONS
from toto_aio.settings.sources import ENVIRONMENT_PREFIX


class UsageError(Exception):
    """The command line is wrong; the text says what to write instead."""


OWN: Mapping[str, tuple[str, str]] = {
    "json": ("", "print the result, or the error, as JSON"),
    "timeout": ("SECONDS", "the time that the call may take (default 60), as 90s or 15m"),
    "user": ("NAME", "call as this user: only in process, where no password is needed"),
    "signing": (
        "SCHEME",
        "user_id, session, toto1 or off (default: as at the login, or as the service says)",
    ),
    "parameters-json": ("JSON", "parameters as a JSON object; @FILE reads it from a file, @- from stdin"),
    "upload": ("NAME=FILE", "send a file for a parameter of a method that does not say what it takes"),
    "idempotency-key": (
        "KEY",
        "what a repeat of this call has too, so that it is done once; without KEY one is made up and shown",
    ),
    "unsigned": ("", "accept a stream or a redirect that the service could not sign"),
    "help": ("", "show this, the methods of a service, or the parameters of a method"),
}
"""The options of the command with their placeholders, "" for those without a value, and descriptions."""
MAY_BE_BARE = frozenset({"idempotency-key"})
"""Those whose value may be left out; if they have one it stands behind an equals sign."""
DEFAULT_TIMEOUT = 60.0
ADDRESS = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+|\[[\da-f:]+\])(:\d|/)", re.IGNORECASE)
"""How a URL begins whose http:// was forgotten."""


@dataclass
class Options:
    """The command's own options, as they were given."""

    values: dict[str, str] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        """Whether an option was given."""
        return name in self.values

    @property
    def timeout(self) -> float:
        """The seconds that the call may take. Raises ``UsageError``."""
        text = self.values.get("timeout")
        if text is None:
            return DEFAULT_TIMEOUT
        try:
            seconds = float(in_seconds(text))
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < float("inf"):
            raise UsageError(f"--timeout: write seconds, or {FORM}, not {text!r}")
        return seconds


@dataclass
class Line:
    """What was written: the service, the method, and what stands behind it."""

    options: Options = field(default_factory=Options)
    target: str | None = None
    method: str | None = None
    rest: Sequence[str] = ()


@dataclass
class Given:
    """What stands behind the method: its parameters, each with its texts; None is an option without one."""

    options: Options
    parameters: dict[str, list[str | None]] = field(default_factory=dict)
    reads_stdin: bool = False


def read_head(arguments: Sequence[str]) -> Line:
    """Everything up to the method. Raises ``UsageError``."""
    line = Line()
    waiting = list(arguments)
    while waiting and line.method is None:
        argument = waiting.pop(0)
        if _is_option(argument):
            name = _take_own(argument, waiting, line.options)
            if name is not None:
                instead = "parameters follow the method"
                if name.replace("-", "_") in OPTIONS:
                    instead = of_the_service(name)
                raise UsageError(f"--{name}: no such option of this command; {instead}")
        elif line.target is None:
            line.target = argument
        else:
            line.method = argument
    line.rest = waiting
    return line


def read_rest(
    line: Line, names: Collection[str] = (), booleans: Collection[str] = (), *, lenient: bool = False
) -> Given:
    """Everything behind the method, which has parameters of these ``names``, some of them ``booleans``.

    A parameter comes before an option of the command that has its name. ``lenient``: the names are not
    known yet. Raises ``UsageError``.
    """
    given = Given(Options(dict(line.options.values), list(line.options.uploads)))
    waiting = list(line.rest)
    while waiting:
        argument = waiting.pop(0)
        if argument == "-":
            given.reads_stdin = True
        elif not _is_option(argument):
            if not lenient:
                raise UsageError(f"{argument!r}: write --NAME={argument}")
        else:
            name = parameter_name(argument.partition("=")[0].lstrip("-"), names)
            is_help = argument in ("--help", "-h")
            if is_help or name not in names:
                other = _take_own(argument, waiting, given.options)
                if other is None:
                    continue
            _, equals, text = argument.partition("=")
            takes_next = not equals and name not in booleans and waiting and not _is_option(waiting[0])
            value = text if equals else waiting.pop(0) if takes_next else None
            given.parameters.setdefault(name, []).append(value)
    return given


def parameter_name(written: str, names: Collection[str]) -> str:
    """The parameter that an option is for: ``due_date`` for ``due-date``, unless a name has hyphens."""
    return written if written in names else written.replace("-", "_")


def option_of(name: str) -> str:
    """The option of a parameter: ``--due-date`` for ``due_date``."""
    return f"--{name.replace('_', '-')}"


def of_the_service(name: str) -> str:
    """Where to write an option of the service."""
    variable = f"{ENVIRONMENT_PREFIX}{name.replace('-', '_').upper()}"
    return f"write options of the service into its file, or into the environment, as {variable}"


def _is_option(argument: str) -> bool:
    return argument == "-h" or (argument.startswith("--") and len(argument) > 2)


def _take_own(argument: str, waiting: list[str], options: Options) -> str | None:
    """Read an option of the command, whose value may be the next argument; the name of any other option."""
    written, equals, text = argument.partition("=")
    name = "help" if written == "-h" else written[2:].replace("_", "-")
    if name not in OWN:
        return name
    if not OWN[name][0]:
        if equals:
            raise UsageError(f"{written}: write it without a value")
        options.values[name] = ""
        return None
    if name in MAY_BE_BARE:
        if equals and not text:
            raise UsageError(f"{written}: write {written}={OWN[name][0]}, or leave out the equals sign")
        options.values[name] = text
        return None
    if not equals:
        if not waiting:
            raise UsageError(f"{written}: write {written}={OWN[name][0]}")
        text = waiting.pop(0)
    if name == "upload":
        options.uploads.append(text)
    options.values[name] = text
    return None
