"""How a service in the background was started: ``restart`` starts it in the same way.

It is in the environment of its process, which the kernel shows to its owner and to root alone (proc(5)). So
there is no file that could be out of date, be written by others, or keep a secret. Root is refused what the
process of another user says, as it can say anything, and root would import that user's code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from toto_aio.server.pidfile import RunningProcess
from toto_aio.server.program import working_directory
from toto_aio.settings import SettingsError
from toto_aio.settings.sources import ENVIRONMENT_PREFIX, Sources

BACKGROUND_VARIABLE = "_TOTO_AIO_BACKGROUND"
"""The environment variable by which a process knows that it serves in the background: JSON with the file
descriptor to which the process writes its addresses once it serves, and with what the command line had."""
FINDS = "pidfile"
"""The option by which a command finds the service, whatever it was started with."""


class Start(NamedTuple):
    """What a service was started with. ``environ`` has the variables that are options."""

    folder: str
    application: str | None
    file: str | None
    arguments: Mapping[str, str]
    environ: Mapping[str, str]

    @property
    def names(self) -> str:
        """What it was, for people: the options by their names, as a value may be a secret."""
        named = [self.application, self.file, *(f"--{name}" for name in self.arguments), *self.environ]
        return ", ".join(filter(None, named)) or "nothing on the command line or in the environment"

    def merged(self, sources: Sources) -> Sources:
        """The sources of the next start: what is given now replaces what was given then, one by one."""
        for name, text in self.environ.items():
            os.environ.setdefault(name, text)
        return replace(
            sources,
            application=sources.application or self.application,
            file=sources.file or self.file,
            arguments={**self.arguments, **sources.arguments},
        )

    def differing(self, sources: Sources) -> list[str]:
        """The names of what is given now and was not given then."""
        now = {
            **{f"--{name}": (text, self.arguments.get(name)) for name, text in sources.arguments.items()},
            **{name: (text, self.environ.get(name)) for name, text in _options_in(os.environ).items()},
        }
        if sources.application is not None:
            now[sources.application] = sources.application, self.application
        if sources.typed_file is not None:
            then = None if self.file is None else os.path.realpath(os.path.join(self.folder, self.file))
            now[sources.typed_file] = os.path.realpath(sources.typed_file), then
        finds = (f"--{FINDS}", f"{ENVIRONMENT_PREFIX}{FINDS.upper()}")
        return [name for name, (given, before) in now.items() if given != before and name not in finds]


NOTHING = Start("", None, None, {}, {})
"""A start without a file and options."""


def to_environment(descriptor: int, sources: Sources) -> dict[str, str]:
    """The environment of a process that is to serve in the background."""
    start: dict[str, Any] = {
        "descriptor": descriptor,
        "folder": working_directory(),
        "application": sources.application,
        "file": sources.typed_file,
        "arguments": dict(sources.arguments),
    }
    return {**os.environ, BACKGROUND_VARIABLE: json.dumps(start)}


def inherited_descriptor() -> int | None:
    """The descriptor to write the addresses to if ``start`` started this process; only the first call
    returns it."""
    text = os.environ.pop(BACKGROUND_VARIABLE, None)
    return None if text is None else int(json.loads(text)["descriptor"])


def start_of(running: RunningProcess) -> Start:
    """How a running service was started.

    Raises ``SettingsError`` if that cannot be known, as for one that another version of toto_aio has started,
    or not be trusted, as for one of another user.
    """
    if _users_of(running.pid) - {os.geteuid()}:
        raise SettingsError(f"process {running.pid} belongs to another user: restart it as that user")
    with suppress(OSError, ValueError, KeyError, TypeError):
        entries = Path(f"/proc/{running.pid}/environ").read_bytes().split(b"\0")
        environ = dict(os.fsdecode(entry).split("=", 1) for entry in entries if b"=" in entry)
        start = json.loads(environ[BACKGROUND_VARIABLE])
        if not running.exits_within(0):  # otherwise another process may have its id
            return Start(
                start["folder"], start["application"], start["file"], start["arguments"], _options_in(environ)
            )
    raise SettingsError(f"how process {running.pid} was started cannot be read: write stop, and then start")


def _users_of(pid: int) -> set[int]:
    """The user ids of a process, real, effective and saved; none if it has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {int(uid) for line in lines if line.startswith("Uid:") for uid in line.split()[1:]}
    return set()


def _options_in(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environ.items() if name.startswith(ENVIRONMENT_PREFIX)}
