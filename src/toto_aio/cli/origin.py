"""Where toto_aio was installed from, as a project that needs it writes it."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def requirement(extras: str) -> str:
    """The requirement of toto-aio with these extras: a path or a repository, or else a version of an index.

    Installers write the first two into ``direct_url.json`` (PEP 610).
    """
    distribution = importlib.metadata.distribution("toto-aio")
    name = f"toto-aio[{extras}]" if extras else "toto-aio"
    url = _direct_url(json.loads(distribution.read_text("direct_url.json") or "{}"))
    return f"{name} @ {url}" if url else f"{name}>={distribution.version.partition('+')[0]}"


def _direct_url(origin: dict[str, Any]) -> str | None:
    """The URL of a direct reference (PEP 508); None for an index, and for a path that is no longer there."""
    url = str(origin.get("url", ""))
    parts = urlsplit(url)
    if not parts.scheme or (parts.scheme == "file" and not Path(unquote(parts.path)).exists()):
        return None
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    subdirectory = origin.get("subdirectory")
    return f"{url}#subdirectory={subdirectory}" if subdirectory else url
