"""Addresses that clients send."""

from __future__ import annotations

import pytest

from toto_aio.exceptions import InvalidParameters
from toto_aio.mail.addresses import masked, read_address


def test_addresses() -> None:
    """They are what mail is sent to, in ASCII; upper and lower case are one address."""
    for text, sent_to in {
        "Ada@Example.ORG": "Ada@example.org",
        "ada+notes@example.org": "ada+notes@example.org",
        "ada@bücher.example": "ada@xn--bcher-kva.example",
        "ada@XN--bcher-kva.example": "ada@xn--bcher-kva.example",
        "ada@\uff45xample.org": "ada@example.org",
    }.items():
        assert read_address(text).text == sent_to, text
    keys = {read_address(text).key for text in ("ada@bücher.example", "ADA@xn--Bcher-kva.EXAMPLE")}
    assert len(keys) == 1
    assert read_address("ada@example.org").key != read_address("ada@example.com").key


NO_ADDRESSES = (
    *("", "ada", "ada@", "@example.org", "ada@localhost", "ada@x.test", "a@b@example.org"),
    *("ada@example.org\r\nBcc: eve@example.org", "ada@example.org\n", " ada@example.org", "a\0a@example.org"),
    *("Ada <ada@example.org>", '"a b"@example.org', "ada@[127.0.0.1]", "ädä@example.org", "a..b@example.org"),
    *("a" * 65 + "@example.org", "a@" + "b" * 250 + ".org", "é" * 10**6, "\ud800@example.org"),
    *("a@" + ".".join(["é" * 40] * 5) + ".org", None, 1, ["ada@example.org"]),
)
ERRORS = (
    "email: write an address such as ada@example.org.",
    "email: write an address of at most 254 characters.",
)


def test_what_is_no_address() -> None:
    """It is refused, without being repeated."""
    for text in NO_ADDRESSES:
        with pytest.raises(InvalidParameters) as caught:
            read_address(text)
        assert caught.value.value in ERRORS, text


def test_the_log_has_no_address() -> None:
    """Only its first letter and its domain."""
    assert masked("ada@example.org") == "a***@example.org"
