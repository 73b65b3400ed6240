"""Redis URLs: how each part of one affects the connections."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.credentials import UsernamePasswordCredentialProvider

from toto_aio.brokers import BROKERS
from toto_aio.redis_target import redis_target
from toto_aio.redis_url import FORMS, connection_pool, parse_redis_url, uses_tls
from toto_aio.settings import SettingsError
from toto_aio.settings.urls import REDIS_SCHEMES
from toto_aio.stores import STORES


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
        ("redis://cache?db=3&family=0&socket_timeout=1&protocol=3", {"host": "cache", "db": 3}),
    ],
)
def test_urls(url: str, expected: dict[str, Any]) -> None:
    """Each part of a URL is an argument of the connections."""
    given = connection_pool(url, "database").connection_kwargs
    names = ["host", "port", "db", "username", "password", "ssl_check_hostname"]
    assert {name: given[name] for name in names if name in given} == expected


def test_forms() -> None:
    """Each form has its hosts, the name that Sentinel knows, its logins and a prefix."""
    by_sentinel = parse_redis_url(
        "rediss+sentinel://ada:a%40b@one,[::1]:7/my%20primary/3"
        "?sentinel_username=eve&sentinel_password=x%26y&prefix=blog&ssl_cert_reqs=none",
        "database",
    )
    assert by_sentinel.hosts == (("one", 26379), ("::1", 7))
    assert (by_sentinel.service, by_sentinel.prefix) == ("my primary", "blog:")
    assert by_sentinel.sentinel_options == {"username": "eve", "password": "x&y"}
    given = {name: by_sentinel.options[name] for name in ("username", "password", "db", "ssl_cert_reqs")}
    assert given == {"username": "ada", "password": "a@b", "db": 3, "ssl_cert_reqs": "none"}
    assert uses_tls(by_sentinel.options)
    assert not {"host", "port"} & set(by_sentinel.options)
    cluster = parse_redis_url("redis+cluster://:x@one:7000,two/0?client_name=toto", "events")
    assert (cluster.hosts, cluster.options["password"]) == ((("one", 7000), ("two", 6379)), "x")
    assert not uses_tls(cluster.options)
    for scheme in ("unix", "redis+unix"):
        socket = parse_redis_url(
            f"{scheme}://ada:x@/run/my%20redis.sock?db=2&prefix=a.b_c-1", "session_store"
        )
        expected = {"path": "/run/my redis.sock", "db": 2, "username": "ada", "password": "x"}
        assert {name: socket.options[name] for name in expected} == expected
        assert socket.prefix == "a.b_c-1:"


REFUSED = {
    "redis+sentinel": "write redis+sentinel://user:password@host1:26379,host2:26379/name/0",
    "redis+sentinel://": "write redis+sentinel://",
    "redis+sentinel://secret@host": "write redis+sentinel://",
    "redis+sentinel://host/name/zero": "write redis+sentinel://",
    "redis+sentinel://host/name/0/1": "write redis+sentinel://",
    "redis+sentinel://host:port/name": "write redis+sentinel://",
    "redis+sentinel://host/name?password=secret": "write redis+sentinel://",
    "redis+cluster": "write redis+cluster://user:password@host1:6379,host2:6379/0",
    "redis+cluster://host/1": "write redis+cluster://",
    "redis+cluster://one,,two": "write redis+cluster://",
    "redis://one,two": "write redis://user",
    "redis://host?sentinel_password=secret": "write redis://user",
    "redis://host?prefix=a&prefix=b": "write redis://user",
    "unix:///run/x?db=secret": "write unix:///path",
    "redis+unix://": "write unix:///path",
    "unix://run/redis.sock": "write unix:///path",
    "redis://host?prefix=": "a prefix has up to 64 letters",
    "redis://host?prefix=%7Bblog%7D": "a prefix has up to 64 letters",
    "unix:///run/x?prefix=a:b": "a prefix has up to 64 letters",
    "redis+cluster://host?prefix=a*": "a prefix has up to 64 letters",
    f"redis://host?prefix={'a' * 65}": "a prefix has up to 64 letters",
}
"""URLs that are not understood, and what the error says."""


def test_urls_that_are_not_understood() -> None:
    """The error names the option and says what to write, and shows no password."""
    for url, advice in REFUSED.items():
        with pytest.raises(SettingsError) as refused:
            parse_redis_url(url, "events")
        assert str(refused.value).startswith("events: "), url
        assert advice in str(refused.value), url
        assert "secret" not in str(refused.value), url


def test_tls_by_an_option() -> None:
    """What other clients write for TLS means it here too; a value that is not understood is refused."""
    for url, expected in (
        ("redis://host?ssl=true", True),
        ("redis://host?tls=1", True),
        ("redis://host?ssl=false", False),
        ("redis+cluster://one,two?tls=true", True),
    ):
        assert uses_tls(parse_redis_url(url, "events").options) is expected, url
    with pytest.raises(SettingsError, match="events: cannot use this ssl of the URL: write rediss://"):
        parse_redis_url("redis://host?ssl=maybe", "events")


def test_every_scheme_is_known_everywhere() -> None:
    """The store and the broker take the same URLs."""
    assert set(FORMS) == set(REDIS_SCHEMES)
    assert set(REDIS_SCHEMES) == {name for name, path in STORES.items() if "redis" in path}
    assert set(REDIS_SCHEMES) == {name for name, path in BROKERS.items() if "redis" in path}


async def test_a_connection_like_those_of_a_client() -> None:
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
    given, by_url = [await redis_target(server, "events").locate("") for server in (client, "rediss://cache")]
    names = ["host", "port", "db", "credential_provider"]
    assert [getattr(given, name) for name in names] == ["cache", 7, 2, login]
    context = given.ssl_context  # type: ignore[attr-defined]
    assert (context.ca_certs, context.check_hostname) == ("/ca.pem", False)
    for name in ("protocol", "health_check_interval", "socket_timeout", "socket_connect_timeout"):
        assert getattr(given, name) == getattr(by_url, name), name
    assert given.encoder.decode_responses is False
