"""The codes of RFC 4226 and RFC 6238, and what authenticator apps are told."""

from __future__ import annotations

import base64
import time
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from toto_aio.auth import totp

SECRET = b"12345678901234567890"


def test_the_vectors_of_rfc_4226() -> None:
    """Appendix D: ten counters."""
    expected = "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489"
    assert [totp.hotp(SECRET, counter) for counter in range(10)] == expected.split()


@pytest.mark.parametrize(
    ("algorithm", "size", "expected"),
    [
        ("sha1", 20, "94287082 07081804 14050471 89005924 69279037 65353130"),
        ("sha256", 32, "46119246 68084774 67062674 91819424 90698825 77737706"),
        ("sha512", 64, "90693936 25091201 99943326 93441116 38618901 47863826"),
    ],
)
def test_the_vectors_of_rfc_6238(algorithm: str, size: int, expected: str) -> None:
    """Appendix B: six times, with the secret as long as the hash."""
    secret = (SECRET * 4)[:size]
    times = (59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000)
    found = [totp.hotp(secret, totp.step_at(moment), 8, algorithm) for moment in times]
    assert found == expected.split()


def test_steps_around_now() -> None:
    """A clock may differ by one step; what counted before, or comes before that, never counts again."""
    now = 1234567890.0
    here = totp.step_at(now)
    codes = {offset: totp.hotp(SECRET, here + offset) for offset in range(-2, 3)}
    found = {offset: totp.matching_step(SECRET, code, now, 0) for offset, code in codes.items()}
    assert found == {-2: None, -1: here - 1, 0: here, 1: here + 1, 2: None}
    assert totp.matching_step(SECRET, codes[0], now, here) is None
    assert totp.matching_step(SECRET, codes[-1], now, here) is None
    assert totp.matching_step(SECRET, codes[1], now, here) == here + 1
    assert totp.matching_step(SECRET, "000000", now, 0) is None


def test_the_form_of_a_code() -> None:
    """Six digits of ASCII; anything else is tried as a recovery code."""
    for text, expected in {
        "123456": True,
        "12345": False,
        "1234567": False,
        "12345a": False,
        "": False,
    }.items():
        assert totp.is_code(text) is expected, text
    assert not totp.is_code("١٢٣٤٥٦")


def test_the_uri() -> None:
    """It has the secret in base32, the issuer twice, and the user id, whatever characters these have."""
    secret = totp.new_secret()
    uri = totp.otpauth_uri(secret, "My Notes & Co", "ada lovelace@example.org/é?x")
    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == "/My Notes & Co:ada lovelace@example.org/é?x"
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert query == {"secret": totp.text_of(secret), "issuer": "My Notes & Co", "digits": "6", "period": "30"}
    assert "+" not in parts.query
    assert base64.b32decode(query["secret"]) == secret
    assert len(secret) == 20
    assert totp.new_secret() != secret
    assert totp.step_at(time.time()) > 0
