"""Watches files for ``autoreload``."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from toto_aio.importer import Extra, load

WATCHFILES = Extra("autoreload needs watchfiles", "'toto-aio[autoreload]'")
DEBOUNCE = 400
"""Milliseconds within which successive changes, such as those of a git checkout, count as one."""


def watch(method_module: Any, files: Sequence[Path]) -> AsyncIterator[set[str]]:
    """The paths that have changed, each time any have.

    Watched are ``files``, and the Python files in the current folder and the package of methods. Raises
    ``SettingsError`` if watchfiles is not installed.
    """
    load("watchfiles", WATCHFILES)
    return _changes(method_module, files)


async def _changes(method_module: Any, files: Sequence[Path]) -> AsyncIterator[set[str]]:
    import watchfiles

    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # we log the changes ourselves
    python = watchfiles.PythonFilter()
    named = {str(file.resolve()) for file in files}

    def is_watched(change: watchfiles.Change, path: str) -> bool:
        return path in named or python(change, path)

    folders = _folders(method_module, files)
    async for changes in watchfiles.awatch(*folders, watch_filter=is_watched, debounce=DEBOUNCE):
        yield {_relative(path) for _, path in changes}


def _relative(path: str) -> str:
    return os.path.relpath(path)


def _folders(method_module: Any, files: Sequence[Path]) -> set[Path]:
    folders = {Path.cwd(), *(file.resolve().parent for file in files)}
    if isinstance(method_module, str):
        # The top-level package is found without being imported: the master imports no user code.
        spec = importlib.util.find_spec(method_module.partition(".")[0])
        folders.update(map(Path, (spec and spec.submodule_search_locations) or ()))
    return {folder for folder in folders if not any(map(folder.is_relative_to, folders - {folder}))}
