"""What a person is shown when code of theirs cannot be imported or run."""

from __future__ import annotations

import importlib
import os

OURS = (os.path.dirname(__file__), os.path.dirname(importlib.__file__), "<frozen importlib")
"""The beginnings of the names of files that only show how the code came to be imported."""


def describe_failure(exc: Exception, doing: str) -> str:
    """The traceback of an exception in an author's code, after a line that says what failed in ``doing`` it.

    A syntax error has none that helps: it is described by its file and line, first of all.
    """
    import traceback  # here, as what it imports is of use to failures alone

    report = traceback.TracebackException.from_exception(exc)
    if isinstance(exc, SyntaxError) and exc.filename and os.path.exists(exc.filename):
        shown = report.format_exception_only()
        code = [line for line in shown if line.startswith("    ")]
        notes = "".join(f"{note}\n" for note in getattr(exc, "__notes__", ()))
        head = f"{exc.filename}, line {exc.lineno}: {type(exc).__name__}: {exc.msg}\n"
        return f"{head}{''.join(code)}{notes}".rstrip("\n")
    theirs = [line for line in report.stack if not line.filename.startswith(OURS)]
    if theirs:  # otherwise it is a mistake of ours
        report.stack = traceback.StackSummary.from_list(theirs)
    return f"{doing}\n{''.join(report.format())}"
