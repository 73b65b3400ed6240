"""Files that change, for ``autoreload``."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from toto_aio.settings import SettingsError

DEBOUNCE = 400
"""Milliseconds at most within which changes that follow one another count as one, as git makes them."""


async def watch(method_module: Any, files: Sequence[Path]) -> AsyncIterator[set[str]]:
    """The paths that have changed, again and again: Python files of this folder and of the methods' package,
    and those of ``files``."""
    import watchfiles

    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of changes, as we do
    python = watchfiles.PythonFilter()
    named = {str(file.resolve()) for file in files}

    def is_ours(change: watchfiles.Change, path: str) -> bool:
        return path in named or python(change, path)

    folders = _folders(method_module, files)
    async for changes in watchfiles.awatch(*folders, watch_filter=is_ours, debounce=DEBOUNCE):
        yield {_shown(path) for _, path in changes}


def require_watchfiles() -> None:
    """Raise ``SettingsError`` if the library is not there that watches files."""
    if importlib.util.find_spec("watchfiles") is None:
        raise SettingsError("autoreload needs watchfiles: pip install 'toto-aio[autoreload]'")


def _shown(path: str) -> str:
    return os.path.relpath(path)


def _folders(method_module: Any, files: Sequence[Path]) -> set[Path]:
    folders = {Path.cwd(), *(file.resolve().parent for file in files)}
    if isinstance(method_module, str):
        # The package above all is found without being imported: the master imports no user's code.
        spec = importlib.util.find_spec(method_module.partition(".")[0])
        folders.update(map(Path, (spec and spec.submodule_search_locations) or ()))
    return {folder for folder in folders if not any(map(folder.is_relative_to, folders - {folder}))}
