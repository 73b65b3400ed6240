"""This program, to be run again in other processes: its command, its working directory, and its platform."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from toto_aio.settings import SettingsError


def command() -> list[str]:
    """The command that runs this program again."""
    return [sys.executable, *sys.orig_argv[1:]]


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
