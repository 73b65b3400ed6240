"""Redis: Debian's ``redis-server``, configured to have every write on disk before it answers."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.servers import Server

DATABASES = 1000
"""How many databases the server has: each test gets one that has not been used."""


def server(**options: str) -> Server:
    """A server that is not started yet; ``options`` override those of the tests."""
    return Server(lambda directory, port: _command(directory, port, options), is_ready=_answers)


def fresh_url(server: Server) -> str:
    """The URL of an empty database."""
    return f"redis://127.0.0.1:{server.port}/{next(_numbers)}"


def _command(directory: Path, port: int, others: Mapping[str, str]) -> Sequence[str]:
    options = {
        "bind": "127.0.0.1",
        "port": port,
        "unixsocket": directory / "socket",
        "dir": directory,
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "databases": DATABASES,
        **others,
    }
    words = ((f"--{name.replace('_', '-')}", str(value)) for name, value in options.items())
    return ["redis-server", *itertools.chain.from_iterable(words)]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"  # it answers LOADING while it reads its data
    except OSError:
        return False


_numbers = itertools.count(1)
