"""Where a service listens: a port on each address of a host, or a path."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import NamedTuple

from toto_aio.settings import Settings, SettingsError

BACKLOG = 1024
"""Connections that the kernel keeps for us until they are accepted."""
CONNECT_LIMIT = 1.0
"""Seconds after which a path on which nobody answers counts as one on which somebody listens."""


class Place(NamedTuple):
    """What there is to listen on. ``number`` tells those apart that take a free port each."""

    path: str
    host: str
    port: int
    number: int = 0

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def places(settings: Settings, processes: int) -> list[Place]:
    """The place of each process: the same for all, or with ``ports=sequential`` a port each.

    Raises ``SettingsError``.
    """
    if settings.unix_socket:
        if settings.ports == "sequential":
            raise SettingsError("ports: write ports=shared, all processes share the path of unix_socket")
        return [Place(settings.unix_socket, "", 0)] * processes
    place = Place("", settings.host, settings.port)
    if settings.ports == "shared":
        return [place] * processes
    if not settings.port:
        return [place._replace(number=number) for number in range(processes)]
    if settings.port + processes > 65536:
        raise SettingsError(f"port: {processes} processes need the ports from {settings.port} on: write less")
    return [place._replace(port=settings.port + number) for number in range(processes)]


@dataclass(frozen=True, slots=True)
class Listener:
    """The listening sockets of a place."""

    place: Place
    sockets: Sequence[socket.socket]
    file: tuple[int, int] | None = None

    def url(self, root: str) -> str:
        """Where the path ``root`` is, as people are told."""
        if self.place.path:
            return f"{self.place.path} (path {root})"
        host, port = self.sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/{root.strip('/')}"

    def close(self) -> None:
        """Listen no more. A path is removed, unless somebody else has taken it over."""
        for listening in self.sockets:
            listening.close()
        with suppress(OSError):
            if self.file is not None and self.file == _identity(self.place.path):
                os.unlink(self.place.path)


def listen(place: Place) -> Listener:
    """Listen there. Raises ``SettingsError`` if that cannot be."""
    with ExitStack() as stack:
        try:
            if place.path:
                sockets = _listen_on_path(stack, place.path)
                listener = Listener(place, sockets, _identity(place.path))
            else:
                sockets = _listen_on_port(stack, place)
                listener = Listener(place, sockets)
        except (OSError, UnicodeError) as exc:
            raise SettingsError(f"Cannot listen on {place}: {getattr(exc, 'strerror', '') or exc}") from exc
        stack.pop_all()
    return listener


def _listen_on_port(stack: ExitStack, place: Place) -> list[socket.socket]:
    port = place.port
    sockets: list[socket.socket] = []
    found = socket.getaddrinfo(
        place.host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    for family, _, _, _, address in dict.fromkeys(found):
        listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # The addresses of one host share the port that the first has got.
        listening.bind((address[0], port, *address[2:]))
        port = listening.getsockname()[1]
        listening.listen(BACKLOG)
        listening.setblocking(False)
        sockets.append(listening)
    return sockets


def _listen_on_path(stack: ExitStack, path: str) -> list[socket.socket]:
    _clear(path)
    listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listening.bind(path)
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return [listening]


def _clear(path: str) -> None:
    """Remove a socket that was left behind. Raises ``OSError`` if somebody listens there."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(CONNECT_LIMIT)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except TimeoutError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
