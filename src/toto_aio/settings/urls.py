"""Options that are URLs or paths."""

from __future__ import annotations

import re
from typing import Any

from toto_aio.settings.declaration import Settings, SettingsError


def scheme_of(url: Any) -> str:
    """The scheme of a URL, or the bare name that stands for one, such as ``mysql``; "" for an object."""
    return url.partition("://")[0] if isinstance(url, str) else ""


def require_shared(option: str, url: Any) -> None:
    """Raise ``SettingsError`` for a database that several processes would not share."""
    if scheme_of(url) == "memory":
        raise SettingsError(
            f"{option}: each process would have a memory:// of its own: write sqlite:///toto.db"
        )


def without_password(url: str) -> str:
    """The part of a URL that can be shown without revealing a password."""
    if not set(url) & set("@?"):
        return url
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://***" if separator and scheme.replace("+", "").isalnum() else "***"


PORTS = {
    "postgresql": 5432,
    "postgres": 5432,
    "mysql": 3306,
    "mysql+aiomysql": 3306,
    "redis": 6379,
    "rediss": 6379,
    "redis+sentinel": 26379,
    "rediss+sentinel": 26379,
    "redis+cluster": 6379,
    "rediss+cluster": 6379,
    "mongodb": 27017,
}
"""The port of each kind of server if its URL names none."""
REDIS_SCHEMES = (
    *("redis", "rediss", "unix", "redis+unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)
"""The schemes of URLs that name a Redis."""
REDIS_CLIENTS = (
    "a redis.asyncio.Redis, such as redis.asyncio.from_url('redis://host/0') or sentinel.master_for('name'), "
    "or a redis.asyncio.RedisCluster"
)
"""What to write instead of other objects of redis-py."""
_HOST = r"(?:\[[\da-fA-F:.]+\]|[\w.-]+)(?::\d+)?"
_SERVER = re.compile(
    rf"(?P<scheme>[\w+]+)://(?:[^@/?#]*@)?(?P<hosts>{_HOST}(?:,{_HOST})*)(?P<name>(?:/[\w.-]*){{0,2}})(?:\?[^@]*)?",
    re.ASCII,
)
_SOCKET = re.compile(r"(?P<shown>(?:redis\+)?unix://(?P<path>/[\w./-]+))(?:\?[^@]*)?", re.ASCII)


def address_of(url: str) -> str:
    """Which server and database a URL names, with the port, and without user, password and parameters.

    Only a URL that cannot be read in another way is shown, as a password may contain any character.
    """
    if url in PORTS:  # a bare name stands for the server on this machine
        url = f"{url}://localhost"
    if socket := _SOCKET.fullmatch(url):
        return socket["shown"]
    found = _SERVER.fullmatch(url)
    if found is None:
        return without_password(url)
    port = PORTS.get(found["scheme"])
    hosts = [
        host if port is None or re.search(r":\d+$", host) else f"{host}:{port}"
        for host in found["hosts"].split(",")
    ]
    return f"{found['scheme']}://{','.join(hosts)}{found['name']}"


def root_path(settings: Settings) -> str:
    """The path of the service, with one slash in front and none behind; "" if it is the root of the site."""
    return normal_path("root", settings.root, "/service")


def normal_path(option: str, path: str, example: str) -> str:
    """A path with one leading slash and no trailing one; "" for the root.

    Raises ``SettingsError``, which names the ``option`` and an ``example``, for characters that a path of a
    service cannot have.
    """
    path = path.strip("/")
    if set(path) & set("{}?#"):
        raise SettingsError(f"{option}: write a path such as {example}, not {path!r}")
    return f"/{path}" if path else ""
