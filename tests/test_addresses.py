"""Which addresses are one client's."""

from __future__ import annotations

import pytest

from toto_aio.addresses import networks_of, parse_address, parse_network


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.1",
        "::ffff:192.0.2.1",
        "::FFFF:c000:201",
        "0:0:0:0:0:ffff:192.0.2.1",
        "2002:c000:0201::1",
        "2002:c000:201:7:8:9:a:b",
        "64:ff9b::192.0.2.1",
        "64:ff9b::c000:201",
        "2001:0:4136:e378:8000:63bf:3fff:fdfe",
    ],
)
def test_ipv4_in_any_form(address: str) -> None:
    """Whatever form of IPv6 carries an address of IPv4, it is one client."""
    assert networks_of(address) == [("192.0.2.1", 1)]


def test_the_networks_of_ipv6() -> None:
    """A client may have a /64, a /56 or a /48, of which the larger ones count as more clients."""
    assert networks_of("2001:db8:1:203::5") == [
        ("2001:db8:1:203::/64", 1),
        ("2001:db8:1:200::/56", 2),
        ("2001:db8:1::/48", 4),
    ]


@pytest.mark.parametrize("address", ["unix", "", "not an address", ":/64:ada", "300.1.1.1"])
def test_what_is_no_address(address: str) -> None:
    """It counts as a client with this name."""
    assert networks_of(address) == [(address, 1)]


def test_networks_contain_the_addresses_of_either_form() -> None:
    """A network of IPv4 contains the addresses that a socket for both versions of IP reports."""
    assert parse_address("::ffff:10.1.2.3") in parse_network("10.0.0.0/8")
    assert parse_address("10.1.2.3") in parse_network("::ffff:10.0.0.0/104")
    assert parse_address("2002:a01:203::1") not in parse_network("10.0.0.0/8"), (
        "anyone can have such an address"
    )
    assert parse_address("fe80::1%eth0") in parse_network("fe80::/10")
