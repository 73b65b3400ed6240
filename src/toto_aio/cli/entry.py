"""The entry point of ``toto-aio``, which leaves to ``main`` whatever needs more than the version."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import toto_aio

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))
"""Why what was printed, or a file that was asked for, can't be written."""


def main() -> None:
    """Run ``toto-aio``. Its version is printed without the declaration of the options, which takes longer."""
    open_standard_files()
    if sys.argv[1:] != ["--version"]:
        from toto_aio.cli.main import main as run

        run()
        return
    with output_written():
        print(toto_aio.__version__)


def open_standard_files() -> None:
    """Open the null device for each of stdin, stdout and stderr that is closed, as in ``toto-aio call <&-``.

    A database or a socket would get its number otherwise, and what a library prints to stderr.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


@contextmanager
def output_written() -> Iterator[None]:
    """End the program with a line if what the block prints can't be written.

    If nobody reads on, as in ``toto-aio methods | head -1``, it needs none.
    """
    try:
        yield
    except BrokenPipeError:
        pass
    except OSError as exc:
        _refuse_if_full(exc)
        raise
    finally:
        _flush()


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as exc:
        # What is left would be written at the end of the process, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(exc, BrokenPipeError):
            _refuse_if_full(exc)
            raise


def _refuse_if_full(exc: OSError) -> None:
    if exc.errno in FULL:
        sys.exit(f"toto-aio: cannot write the output: {exc.strerror}")
