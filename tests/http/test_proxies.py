"""The client address of a request."""

from __future__ import annotations

import pytest

from toto_aio.http.proxies import MAX_HOPS, TrustedProxies
from toto_aio.settings import SettingsError

PROXIES = ["10.0.0.0/8", "2001:db8::1", "unix"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9,10.0.0.3", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8:0::7"], "2001:db8::7"),
        ("10.0.0.1", ["fe80::7%eth0"], "fe80::7"),
        ("10.0.0.1", ["[fe80::7%na\udcefve]:4711"], "fe80::7"),
        ("10.0.0.1", ["198.51.100.7, 2001:db8::1%x"], "198.51.100.7"),
        ("2001:db8::1", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8::2", ["198.51.100.7"], "2001:db8::2"),
        (None, ["198.51.100.7"], "198.51.100.7"),
        (None, [], "unix"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
    ],
)
def test_clients(peer: str | None, forwarded: list[str], client: str) -> None:
    """It is the nearest address that is not a trusted proxy's, and never one that a client only claims."""
    assert TrustedProxies(PROXIES).client(peer, forwarded) == client


def test_a_long_chain() -> None:
    """Only the last entries are read, however many a client has sent."""
    trusted = TrustedProxies(["::/0"])
    chain = [f"::{number:x}" for number in range(5000)]
    assert trusted.client("::1", [",".join(chain)]) == chain[-MAX_HOPS]
    assert trusted.client("::1", [",".join(chain)] * 3) == chain[-MAX_HOPS]


def test_without_proxies() -> None:
    """Nobody is trusted, not even the peer of a Unix socket."""
    nobody = TrustedProxies([])
    assert nobody.client("10.0.0.1", ["198.51.100.7"]) == "10.0.0.1"
    assert nobody.client(None, ["198.51.100.7"]) == "unix"


def test_what_is_no_proxy() -> None:
    """A wrong entry is reported in one line."""
    with pytest.raises(SettingsError, match=r"^trusted_proxies: .*'proxy\.example'$"):
        TrustedProxies(["10.0.0.1", "proxy.example"])
