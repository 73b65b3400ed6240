"""Redis URLs: how each part of one affects the connections."""

from __future__ import annotations

from typing import Any

import pytest

from toto_aio.redis_url import connection_pool


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis", {}),
        ("redis://", {}),
        ("redis://cache", {"host": "cache"}),
        ("redis://cache:1/2", {"host": "cache", "port": 1, "db": 2}),
        ("redis://ada:a%40b%2F@cache/", {"username": "ada", "password": "a@b/", "host": "cache"}),
        ("redis://:secret@[::1]:7/0", {"password": "secret", "host": "::1", "port": 7, "db": 0}),
        ("rediss://cache?ssl_check_hostname=no", {"host": "cache", "ssl_check_hostname": False}),
    ],
)
def test_urls(url: str, expected: dict[str, Any]) -> None:
    """Each part of a URL is an argument of the connections."""
    given = connection_pool(url, "database").connection_kwargs
    names = "host port db username password ssl_check_hostname".split()
    assert {name: given[name] for name in names if name in given} == expected
