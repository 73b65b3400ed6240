"""IP addresses: which ones are one client's, for whoever counts or trusts them."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

WIDTHS = {64: 1, 56: 2, 48: 4}
"""The networks that one client of IPv6 may have, by their bits, and how many clients each counts as.

A provider gives a home a /64 or a /56, and a site a /48 (RFC 6177).
"""
NAT64 = IPv6Network("64:ff9b::/96")
"""The prefix of IPv4 addresses that a translator writes as IPv6 (RFC 6052)."""


class Network(NamedTuple):
    """A network that one client may have, and how many clients it counts as."""

    name: str
    clients: int


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """The address that ``text`` stands for: ``::ffff:192.0.2.1`` is 192.0.2.1. Raises ``ValueError``.

    A socket that listens for both versions of IP sees all clients of IPv4 in this form (RFC 4291). The zone
    of an address (``%eth0``, RFC 4007) means nothing here, and could be any text.
    """
    address = ip_address(text)
    return address if address.version == 4 else address.ipv4_mapped or IPv6Address(int(address))


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """The network that ``text`` stands for, which contains addresses of ``parse_address``."""
    network = ip_network(text, strict=False)
    mapped = network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped else network


def networks_of(address: str) -> list[Network]:
    """The networks that the client with this address may have, the narrowest first.

    For IPv4, whatever form of IPv6 carries it, and for text that is not an IP address, there is only one.
    """
    try:
        ip = parse_address(address)
    except ValueError:
        return [Network(address, 1)]
    if ip.version == 6:
        ip = _carried(ip) or ip
    if ip.version == 4:
        return [Network(str(ip), 1)]
    return [Network(str(IPv6Network((int(ip), bits), strict=False)), n) for bits, n in WIDTHS.items()]


def _carried(ip: IPv6Address) -> IPv4Address | None:
    """The address of IPv4 that is carried in one of IPv6 by 6to4, Teredo or NAT64."""
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    return IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None
