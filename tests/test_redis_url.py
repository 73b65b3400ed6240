"""Redis URLs: how each part of one affects the connections."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.credentials import UsernamePasswordCredentialProvider

from toto_aio.redis_url import connection_pool, pool_like


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
    names = ["host", "port", "db", "username", "password", "ssl_check_hostname"]
    assert {name: given[name] for name in names if name in given} == expected


def test_a_pool_like_that_of_a_client() -> None:
    """It has the address, the login and the TLS of the client, and none of its other options."""
    login = UsernamePasswordCredentialProvider("ada", "secret")
    client = Redis(
        host="cache",
        port=7,
        db=2,
        credential_provider=login,
        ssl=True,
        ssl_ca_certs="/ca.pem",
        ssl_check_hostname=False,
        decode_responses=True,
        protocol=3,
        socket_timeout=None,
        health_check_interval=9,
    )
    pool, by_url = pool_like(client, "events"), connection_pool("rediss://cache", "events")
    assert pool.connection_class is by_url.connection_class
    given = pool.connection_kwargs
    names = ["host", "port", "db", "credential_provider", "ssl_ca_certs", "ssl_check_hostname"]
    assert [given[name] for name in names] == ["cache", 7, 2, login, "/ca.pem", False]
    assert not {"decode_responses", "protocol", "health_check_interval"} & set(given)
    for name in ("socket_timeout", "socket_connect_timeout"):
        assert given[name] == by_url.connection_kwargs[name]
