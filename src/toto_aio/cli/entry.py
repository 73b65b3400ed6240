"""The entry point of ``toto-aio``, which leaves to ``main`` whatever needs more than the version."""

from __future__ import annotations

import os
import sys

import toto_aio


def main() -> None:
    """Run ``toto-aio``. Its version is printed without the declaration of the options, which takes longer."""
    if sys.argv[1:] != ["--version"]:
        from toto_aio.cli.main import main as run

        run()
        return
    try:
        print(toto_aio.__version__)
    except BrokenPipeError:
        pass
    finally:
        flush_output()


def flush_output() -> None:
    """Write what was printed, unless nobody reads on, as in ``toto-aio methods | head -1``."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left would be written at the end of the process, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
