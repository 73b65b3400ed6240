"""What the rules of ``toto-aio check`` inspect: the settings, and what was found out beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from toto_aio.http.proxies import TrustedProxies
from toto_aio.settings import Settings

if TYPE_CHECKING:
    from toto_aio.cli.redis_facts import RedisFacts


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules inspect."""

    settings: Settings
    redis: Mapping[str, RedisFacts] = field(default_factory=dict)
    """What each Redis says, by the setting that names it."""
    forgotten: str = ""
    """Lines that forget to await what they call."""
    slow: str = ""
    """Patterns that can take exponential time."""

    def redis_option(self, setting: str, option: str) -> str:
        """An option of the Redis of a setting; "" without one, or if it cannot be read."""
        return self.redis[setting].options.get(option, "") if setting in self.redis else ""

    def refusal(self, setting: str) -> str:
        """Why the options of the Redis of a setting cannot be read."""
        return self.redis[setting].refusal if setting in self.redis else ""

    def evicts(self, setting: str) -> bool:
        """Whether the Redis of a setting drops keys that have not expired."""
        return self.redis_option(setting, "maxmemory-policy") not in ("", "noeviction")

    @property
    def proxies(self) -> TrustedProxies:
        """The trusted proxies."""
        return TrustedProxies(self.settings.trusted_proxies)

    @property
    def is_behind_proxy(self) -> bool:
        """Whether only this machine can reach the service, so that other clients come through a proxy."""
        host = self.settings.host
        return bool(self.settings.unix_socket) or host == "localhost" or is_address(host, "is_loopback")


def is_address(host: str, kind: str) -> bool:
    """Whether a host is an address of a kind, named by a property of ``ipaddress``."""
    try:
        return bool(getattr(ip_address(host), kind))
    except ValueError:
        return False
