"""``toto-aio accounts`` in this process, as an operator types it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from toto_aio.cli.main import main


class Done(NamedTuple):
    """What a command has printed, and its exit status."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


class Typed(io.StringIO):
    """A standard input, which may be a terminal."""

    is_terminal = False

    def isatty(self) -> bool:
        """Whether it is one."""
        return self.is_terminal


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``toto-aio accounts`` in an empty folder; ``typed`` is what a terminal gives, ``stdin`` a pipe."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TOTO_AIO_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, stdin: str = "", typed: list[str] | None = None) -> Done:
        given = Typed(stdin if typed is None else "".join(f"{line}\n" for line in typed))
        given.is_terminal = typed is not None
        monkeypatch.setattr("sys.stdin", given)
        monkeypatch.setattr("getpass.getpass", lambda prompt: _line(given))
        try:
            main(["accounts", *arguments])
        except SystemExit as exc:
            return Done(int(exc.code or 0), *capsys.readouterr())
        return Done(0, *capsys.readouterr())

    return run


def _line(given: io.StringIO) -> str:
    line = given.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
