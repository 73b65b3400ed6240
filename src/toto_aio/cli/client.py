"""``toto-aio client``: a client in TypeScript or Python with the methods of a service, and their types."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from toto_aio.cli.call.command import NO_DOCUMENT, target_of
from toto_aio.cli.call.failures import failures_shown
from toto_aio.cli.call.line import Options, UsageError
from toto_aio.contract.interface import Interface, read_interface
from toto_aio.contract.python import python
from toto_aio.contract.typescript import typescript

LANGUAGES: Mapping[str, Callable[[Interface], str]] = {"typescript": typescript, "python": python}


def make_client(given: Mapping[str, Any]) -> str:
    """The text of a client; a failure ends the program with its status, as one of ``toto-aio call`` does."""
    with failures_shown():
        language = given["language"]
        if language not in LANGUAGES:
            raise UsageError(f"write one of {', '.join(LANGUAGES)}, not {language!r}")
        options = {"timeout": given["timeout"]} if "timeout" in given else {}
        return LANGUAGES[language](asyncio.run(_interface(given.get("service", "."), Options(options))))
    raise AssertionError


async def _interface(name: str, options: Options) -> Interface:
    """What a service offers: that at a URL, or that of this folder."""
    document = await target_of(name, options).document()
    if document is None:
        raise UsageError(NO_DOCUMENT)
    return read_interface(document.source)
