"""MongoDB: SecantusDB from PyPI, a server that implements MongoDB's protocol."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.servers import Server


def server() -> Server:
    """A server that is not started yet."""
    return Server(_command)


def fresh_url(server: Server) -> str:
    """The URL of an empty database."""
    return f"mongodb://127.0.0.1:{server.port}/toto{next(_numbers)}"


def _command(directory: Path, port: int) -> Sequence[str]:
    program = Path(sys.executable).parent / "secantusd-py"
    return [
        str(program),
        *("--port", str(port)),
        *("--storage-path", str(directory / "data")),
        *("--cache-size", "64M"),
        "--sync-on-commit",
        "--enable-test-commands",
    ]


_numbers = itertools.count(1)
