"""This program, to be run again in other processes: its command, its working directory, and its platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from toto_aio.settings import SettingsError


def command(arguments: Sequence[str] | None = None) -> list[str]:
    """The command that runs this program again, with the same ``arguments`` or with others.

    Raises ``SettingsError`` if others cannot be given.
    """
    if arguments is None:
        return [sys.executable, *sys.orig_argv[1:]]
    own = len(sys.orig_argv) - len(sys.argv) + 1
    if sys.orig_argv[own:] != sys.argv[1:]:
        raise SettingsError("this program changes its arguments: write stop, and then start with all of them")
    return [sys.executable, *sys.orig_argv[1:own], *arguments]


def working_directory() -> str:
    """The working directory, by the name under which it was entered.

    If that is a symbolic link, a restart enters whatever the link names by then.
    """
    entered = os.environ.get("PWD", "")
    with suppress(OSError):
        if os.path.samefile(entered, os.curdir):
            return entered
    return os.getcwd()


def require_pidfd() -> None:
    """Raise ``SettingsError`` where a process cannot be held by a descriptor, which only Linux offers."""
    if not hasattr(os, "pidfd_open"):
        raise SettingsError(
            "processes, autoreload and a service in the background need Linux: write processes=1"
        )
