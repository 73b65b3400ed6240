"""The address of the client, when proxies are in front of the service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network

from toto_aio.addresses import parse_address, parse_network
from toto_aio.settings import SettingsError

UNIX = "unix"
"""The address of a peer that connects through a Unix socket."""
MAX_HOPS = 32
"""Entries of ``X-Forwarded-For`` that are read, from its end: a client may send thousands."""


class TrustedProxies:
    """The proxies whose ``X-Forwarded-For`` and ``-Proto`` count: addresses, networks, or ``unix``.

    Raises ``SettingsError`` that names the ``option`` for anything else.
    """

    def __init__(self, proxies: Iterable[str], option: str = "trusted_proxies") -> None:
        self._unix = False
        self.networks: list[IPv4Network | IPv6Network] = []
        for proxy in proxies:
            if proxy == UNIX:
                self._unix = True
                continue
            try:
                self.networks.append(parse_network(proxy))
            except ValueError as exc:
                raise SettingsError(
                    f"{option}: write addresses such as 10.0.0.0/8, or unix, not {proxy!r}"
                ) from exc

    def client(self, peer: str | None, forwarded: Sequence[str]) -> str:
        """The address of the client: the nearest one that isn't a trusted proxy's.

        ``peer`` is the address that has connected, None through a Unix socket; ``forwarded`` are the values
        of ``X-Forwarded-For``, to whose end each proxy appends the address that has connected to it.
        """
        address = peer or UNIX
        if address.startswith("::ffff:"):  # from a socket for both versions of IP
            address = _plain(address) or address
        if not forwarded or not (self.networks or self._unix):
            return address  # most requests, whose address is then not parsed
        chain = ",".join(forwarded).rsplit(",", MAX_HOPS)[-MAX_HOPS:]
        while chain and self.trusts(address):
            before = _plain(chain.pop().strip())
            if before is None:
                break
            address = before
        return address

    def trusts(self, peer: str | None) -> bool:
        """Whether ``peer`` is a trusted proxy; None connects through a Unix socket."""
        address = peer or UNIX
        if address == UNIX:
            return self._unix
        try:
            ip = parse_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self.networks)


def _plain(text: str) -> str | None:
    """The address in an entry, which may have a port; None if there isn't one."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(parse_address(text))
    except ValueError:
        return None
