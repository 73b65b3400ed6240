"""Pidfiles that were left behind, or were never right.

Each is written by a function, which receives its path and the id of a stranger.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from torture.strangers import Forked

Write = Callable[[Path, int], None]


def text(template: str) -> Write:
    """A function that writes a file with this text, into which the id of the stranger is inserted."""

    def write(path: Path, pid: int) -> None:
        path.write_text(template.format(pid=pid))

    return write


def linked(path: Path, pid: int) -> None:
    """Write a link to a file with the id."""
    other = path.with_suffix(".other")
    other.write_text(f"{pid}\n")
    path.symlink_to(other)


def with_state(path: Path, pid: int) -> None:
    """Write the id, and next to it a state that says that all is well."""
    path.write_text(f"{pid}\n")
    state = {"addresses": ["http://127.0.0.1:1/"], "processes": 1, "restarts": 0, "failure": None}
    path.with_name(path.name + ".json").write_text(json.dumps(state))


def dead(path: Path, pid: int) -> None:
    """Write the id of a process that has ended."""
    with Forked(lambda writing: None) as process:
        pass
    path.write_text(f"{process.pid}\n")


def garbage(path: Path, pid: int) -> None:
    """Write bytes that are not text."""
    path.write_bytes(bytes(range(256)))


KINDS: dict[str, Write] = {
    "the id of a stranger": text("{pid}\n"),
    "the id of a stranger's group": text("-{pid}"),
    "the id of a stranger, among others": text("{pid} {pid}\n{pid}\n"),
    "a link to the id of a stranger": linked,
    "the id of a stranger, and a state": with_state,
    "the id of a dead process": dead,
    "nothing": text(""),
    "garbage": garbage,
    "a million digits": text("1" * 10**6),
}
"""The kinds of files."""
