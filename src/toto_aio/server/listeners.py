"""The sockets that a service listens on: a port on each address of a host, or a path."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from toto_aio.settings import Settings, SettingsError

BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""
HANDSHAKE = 0.02
"""Seconds for the rest of a handshake that has begun: some round trips between a proxy and the service."""
BIND_TO_INTERFACE = 62
"""Linux's SO_BINDTOIFINDEX (<asm-generic/socket.h>), which Python has no name for."""
NO_INTERFACE = 2**31 - 1
"""The number of a network interface that no machine has."""
FREE_PORTS = 20
"""How many free ports are tried where a host has several addresses, of which each must have it free."""
CONNECT_LIMIT = 1.0
"""Seconds to wait for a connection to an existing path; after that the path counts as in use."""


class BindAddress(NamedTuple):
    """A path, or a host and a port. ``number`` distinguishes addresses that each take a free port."""

    path: str
    host: str
    port: int
    number: int = 0

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def bind_addresses(settings: Settings, processes: int) -> list[BindAddress]:
    """The address of each process: the same for all, or with ``ports=sequential`` a port for each.

    Raises ``SettingsError``.
    """
    if settings.unix_socket:
        if settings.ports == "sequential":
            raise SettingsError("ports: write ports=shared: all processes share the path of unix_socket")
        return [BindAddress(settings.unix_socket, "", 0)] * processes
    address = BindAddress("", settings.host, settings.port)
    if settings.ports == "shared":
        return [address] * processes
    if not settings.port:
        return [address._replace(number=number) for number in range(processes)]
    if settings.port + processes > 65536:
        raise SettingsError(
            f"port: {processes} processes need the ports from {settings.port} on: write a lower port"
        )
    return [address._replace(port=settings.port + number) for number in range(processes)]


@dataclass(frozen=True, slots=True)
class Listener:
    """The listening sockets of an address. ``file`` identifies the file of a path: its device and inode."""

    address: BindAddress
    sockets: Sequence[socket.socket]
    file: tuple[int, int] | None = None

    def url(self, root: str) -> str:
        """Where the path ``root`` is, as people read it."""
        if self.address.path:
            return f"{self.address.path} (path {root})"
        host, port = self.sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/{root.strip('/')}"

    def close(self) -> None:
        """Stop listening. A path is removed, unless another process has taken it over."""
        for listening in self.sockets:
            listening.close()
        with suppress(OSError):
            if self.file is not None and self.file == _file_id(self.address.path):
                os.unlink(self.address.path)


def listen(address: BindAddress) -> Listener:
    """Listen on an address. Raises ``SettingsError`` if that fails."""
    with ExitStack() as stack:
        try:
            if address.path:
                sockets = _listen_on_path(stack, address.path)
                listener = Listener(address, sockets, _file_id(address.path))
            else:
                sockets = _listen_on_port(stack, address)
                listener = Listener(address, sockets)
        except (OSError, UnicodeError) as exc:
            reason = getattr(exc, "strerror", "") or str(exc)
            if getattr(exc, "errno", None) == errno.EADDRINUSE:
                reason += "; stop the program that uses it, or choose another address"
            raise SettingsError(f"Cannot listen on {address}: {reason}") from exc
        stack.pop_all()
    return listener


async def refuse(sockets: Collection[socket.socket]) -> None:
    """Refuse further connections, whichever process would accept them. Those that were made can be accepted.

    A socket that is only closed resets what has connected since the last ``accept``, and the request that a
    proxy has sent on it: it must not repeat a POST. If the connection is refused, another machine gets it.
    """
    if sys.platform != "linux":
        return
    for listening in sockets:
        with suppress(OSError):  # a Linux before 5.7 does not let everybody: then few connections are reset
            if listening.family == socket.AF_UNIX:
                listening.shutdown(socket.SHUT_RD)
            else:  # ``shutdown`` would reset those that wait; what listens on an interface hears no other
                listening.setsockopt(socket.SOL_SOCKET, BIND_TO_INTERFACE, NO_INTERFACE)
    if any(listening.family != socket.AF_UNIX for listening in sockets):
        await asyncio.sleep(HANDSHAKE)


def _listen_on_port(stack: ExitStack, bind: BindAddress) -> list[socket.socket]:
    found = socket.getaddrinfo(
        bind.host or None, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    left = 1 if bind.port else FREE_PORTS
    while True:
        left -= 1
        with ExitStack() as opened:
            try:
                sockets = _listen_on_each(opened, found, bind.port)
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE or not left:
                    raise
            else:
                stack.push(opened.pop_all())
                return sockets


def _listen_on_each(stack: ExitStack, found: Sequence[Any], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for family, _, _, _, address in dict.fromkeys(found):
        listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # The addresses of one host share the port that the first one got.
        listening.bind((address[0], port, *address[2:]))
        port = listening.getsockname()[1]
        listening.listen(BACKLOG)
        listening.setblocking(False)
        sockets.append(listening)
    return sockets


def _listen_on_path(stack: ExitStack, path: str) -> list[socket.socket]:
    _remove_stale_socket(path)
    listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listening.bind(path)
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return [listening]


def _remove_stale_socket(path: str) -> None:
    """Remove a socket that a process left behind. Raises ``OSError`` if the path is in use."""
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


def _file_id(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
