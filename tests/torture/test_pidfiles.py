"""Tests of the pidfile drill: its strangers, its verdict, and a short run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from torture.pidfiles import REUSED, Figures, Row, read_options, verdict
from torture.stale import KINDS
from torture.strangers import Stranger

from tests.support import ROOT


def test_options() -> None:
    """There is at least one file of each kind."""
    assert read_options(["--files=12"]).files == len(KINDS) + len(REUSED)
    with pytest.raises(SystemExit):
        read_options(["--files=11"])


def test_a_stranger() -> None:
    """It records every signal that it receives, including the one that kills it."""
    with Stranger() as stranger:
        assert stranger.hits() == 0
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            os.kill(stranger.pid, number)
        assert stranger.hits() == 3
        assert stranger.hits() == 0
        os.kill(stranger.pid, signal.SIGKILL)
        assert stranger.hits() == 1
        assert stranger.hits() == 0


def test_verdict() -> None:
    """Each broken promise fails the drill, and so does a control that hits nobody."""
    assert verdict(figures())[0]
    for broken in (
        figures(Row("a", signalled=1)),
        figures(Row("a", wrong=1)),
        figures(Row("a", blocked=1)),
        figures(hits=1),
        figures(services=[1, 2]),
        figures(services=[0]),
        figures(failures=["stop ended with [1]"]),
    ):
        assert not verdict(broken)[0]
    passed, said = verdict(figures(naive=0))
    assert (passed, "proves nothing" in said) == (False, True)


def test_a_short_run() -> None:
    """Two files of each kind and a round of real commands."""
    command = [sys.executable, "-m", "torture.pidfiles", "--files=24", "--rounds=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert len(rows) in (len(KINDS) + len(REUSED) + 1, len(KINDS) + 1)  # with a pid namespace, and without
    assert done.stdout.rstrip().splitlines()[-1].startswith("Passed")


def figures(
    row: Row | None = None,
    *,
    hits: int = 0,
    services: list[int] | None = None,
    failures: list[str] | None = None,
    naive: int = 1,
) -> Figures:
    """Figures that keep every promise except for these."""
    control = Row("control", signalled=naive)
    return Figures([row or Row("a")], control, services or [1, 1], failures or [], hits)
