"""``toto-aio check``: which settings are unsafe in production, and what to write instead.

The rules are a table; ``docs/check.md`` shows the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple

from toto_aio.exceptions import Unavailable
from toto_aio.http.proxies import TrustedProxies
from toto_aio.settings import Settings
from toto_aio.stores import open_store

Gravity = Literal["grave", "warning"]


async def check(settings: Settings) -> list[Finding]:
    """What is unsafe in production, the grave first. Raises ``SettingsError`` for what cannot be read.

    A Redis that keeps accounts is asked how it is configured; nothing else is opened.
    """
    seen = await _look(settings)
    return [Finding(rule, found) for rule in RULES if (found := rule.applies(seen))]


def report(findings: Sequence[Finding]) -> str:
    """What was found, for people; if that is nothing, what was looked at."""
    if not findings:
        return f"Nothing unsafe. Looked at: {', '.join(dict.fromkeys(rule.setting for rule in RULES))}"
    grave = sum(finding.rule.gravity == "grave" for finding in findings)
    counted = f"{grave} grave, {len(findings) - grave} to think about"
    return "\n".join([*map(str, findings), counted])


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rules look at."""

    settings: Settings
    redis: Mapping[str, str] = field(default_factory=dict)
    """How the Redis that keeps the accounts is configured; empty if none does, or it did not tell."""
    refusal: str = ""
    """Why it did not tell."""

    @property
    def proxies(self) -> TrustedProxies:
        """The proxies that are trusted."""
        return TrustedProxies(self.settings.trusted_proxies)

    @property
    def is_behind_proxy(self) -> bool:
        """Whether only this machine reaches the service, so that all others come through a proxy."""
        host = self.settings.host
        return bool(self.settings.unix_socket) or host == "localhost" or _is(host, "is_loopback")


class Rule(NamedTuple):
    """A setting, when it is unsafe, why, and what to write instead."""

    gravity: Gravity
    setting: str
    applies: Callable[[Seen], bool | str]
    """Whether it is unsafe; text says more of this case."""
    danger: str
    advice: str


class Finding(NamedTuple):
    """A rule that applies, and what there is to say of the case."""

    rule: Rule
    detail: bool | str

    def __str__(self) -> str:
        rule = self.rule
        more = f": {self.detail}" if isinstance(self.detail, str) else ""
        return f"{rule.gravity}: {rule.setting}: {rule.danger}{more}\n    {rule.advice}"


def _lacks_tls(seen: Seen) -> bool:
    return not seen.is_behind_proxy and not seen.settings.trusted_proxies


def _has_a_strange_proxy(seen: Seen) -> bool:
    peers = [None] if seen.settings.unix_socket else ["127.0.0.1", "::1"]
    return seen.is_behind_proxy and not any(map(seen.proxies.trusts, peers))


def _trusts_everybody(proxies: TrustedProxies) -> bool:
    # Addresses that documentation is written with (RFC 5737, RFC 3849): nobody has them.
    return any(map(proxies.trusts, ["203.0.113.1", "2001:db8::1"]))


def _shows_metrics(seen: Seen) -> bool:
    clients = TrustedProxies(seen.settings.metrics_clients, "metrics_clients")
    return seen.settings.metrics and _trusts_everybody(clients)


def _can_be_passed(seen: Seen) -> bool:
    host = seen.settings.host
    is_everywhere = not seen.settings.unix_socket and (not host or _is(host, "is_unspecified"))
    return is_everywhere and bool(seen.settings.trusted_proxies)


RULES: tuple[Rule, ...] = (
    Rule(
        "grave",
        "debug",
        lambda seen: seen.settings.debug,
        "clients are told the text of unexpected errors, whatever stands in it",
        "leave it out: the log has each error, under the id that the client is told",
    ),
    Rule(
        "grave",
        "host",
        _lacks_tls,
        "passwords and session ids travel unencrypted: no proxy with TLS is in front that is trusted",
        "write host=127.0.0.1 or a unix_socket, behind a proxy with TLS that trusted_proxies names",
    ),
    Rule(
        "grave",
        "trusted_proxies",
        _has_a_strange_proxy,
        "all clients have the proxy's address, so that one who guesses passwords locks out all",
        "write trusted_proxies=127.0.0.1, or unix for a unix_socket; the proxy must set X-Forwarded-For",
    ),
    Rule(
        "grave",
        "trusted_proxies",
        lambda seen: _trusts_everybody(seen.proxies),
        "whoever connects can claim any address, and guess passwords from a new one each time",
        "name the proxies alone, such as 127.0.0.1 or 10.0.0.5",
    ),
    Rule(
        "grave",
        "secure_cookies",
        lambda seen: seen.settings.use_cookies and not seen.settings.secure_cookies,
        "browsers send the session unencrypted too, where others on the way can read it",
        "leave it out, and serve through TLS",
    ),
    Rule(
        "grave",
        "database",
        lambda seen: _scheme(seen.settings.database) == "memory",
        "accounts and sessions are gone when the process ends",
        "write database=sqlite:///toto.db, or the URL of a database server",
    ),
    Rule(
        "grave",
        "database",
        lambda seen: seen.redis.get("appendonly") == "no" and not seen.redis.get("save"),
        "this Redis writes nothing to the disk: accounts are gone when it restarts",
        "write appendonly yes and appendfsync always into its configuration",
    ),
    Rule(
        "grave",
        "database",
        lambda seen: seen.redis.get("maxmemory-policy", "").startswith("allkeys"),
        "this Redis drops accounts when its memory is full",
        "write maxmemory-policy noeviction into its configuration",
    ),
    Rule(
        "warning",
        "database",
        lambda seen: seen.redis.get("appendonly") == "no" and bool(seen.redis.get("save")),
        "this Redis writes snapshots alone: a crash loses the accounts since the last one",
        "write appendonly yes and appendfsync always into its configuration",
    ),
    Rule(
        "warning",
        "database",
        lambda seen: seen.redis.get("appendonly") == "yes" and seen.redis.get("appendfsync") != "always",
        "this Redis answers before an account is on the disk: a crash loses the last second, or more",
        "write appendfsync always into its configuration",
    ),
    Rule(
        "warning",
        "database",
        lambda seen: seen.redis.get("maxmemory-policy", "").startswith("volatile"),
        "this Redis drops sessions and counted login attempts when its memory is full",
        "write maxmemory-policy noeviction into its configuration",
    ),
    Rule(
        "warning",
        "database",
        lambda seen: seen.refusal,
        "could not ask this Redis whether it keeps accounts safely",
        "see to appendonly yes, appendfsync always and maxmemory-policy noeviction in its configuration",
    ),
    Rule(
        "warning",
        "session_store",
        lambda seen: _scheme(seen.settings.session_store) == "memory",
        "users are logged out, and login attempts forgotten, when the process ends",
        "leave it out, so that sessions are in the database, or write session_store=redis://host/0",
    ),
    Rule(
        "warning",
        "signing",
        lambda seen: seen.settings.signing == "user_id",
        "a user id is no secret, so that such a signature proves nobody's identity",
        "write signing=session; or signing=off, if the session's id over TLS is enough",
    ),
    Rule(
        "warning",
        "events",
        lambda seen: _scheme(seen.settings.events) == "memory" and seen.settings.processes != 1,
        "events stay in one of the processes, that of the end of a session too",
        "write events=redis://host/0, or events=off",
    ),
    Rule(
        "warning",
        "host",
        _can_be_passed,
        "it listens on all addresses of the machine, so that clients can go past the proxy",
        "write the one address that the proxy connects to, or a unix_socket",
    ),
    Rule(
        "warning",
        "allow_origin",
        lambda seen: "*" in seen.settings.allow_origin,
        "every page of the web may call the service from the browsers of its visitors",
        "name the origins of your pages, as in allow_origin=https://app.example",
    ),
    Rule(
        "warning",
        "get_methods",
        lambda seen: seen.settings.get_methods == "all",
        "a link or a picture on any page can call what changes something",
        "leave it out, and mark methods that only read with @safe",
    ),
    Rule(
        "warning",
        "password_min_length",
        lambda seen: seen.settings.password_min_length < 8,
        "short passwords are guessed",
        "leave it out: it is 8 then",
    ),
    Rule(
        "warning",
        "login_attempts",
        lambda seen: seen.settings.login_attempts > 100,
        "so many guesses in 15 minutes find common passwords",
        "leave it out: it is 10 then",
    ),
    Rule(
        "warning",
        "metrics_clients",
        _shows_metrics,
        "everybody sees which methods are called, how often and how well",
        "name who asks, as in metrics_clients=10.0.0.5",
    ),
    Rule(
        "warning",
        "autoreload",
        lambda seen: seen.settings.autoreload,
        "a file that changes, half-written or not, is served at once",
        "leave it out, and restart with toto-aio restart --rolling",
    ),
)
"""What is looked at, the grave first."""


def _scheme(url: Any) -> str:
    return url.partition("://")[0] if isinstance(url, str) else ""


def _is(host: str, kind: str) -> bool:
    """Whether a host is an address of such a kind, as the module ``ipaddress`` names it."""
    try:
        return bool(getattr(ip_address(host), kind))
    except ValueError:
        return False


async def _look(settings: Settings) -> Seen:
    """What there is to be seen: only accounts in Redis take more than the settings."""
    if _scheme(settings.database) not in ("redis", "rediss"):
        return Seen(settings)
    try:
        store = await open_store(settings.database)
    except Unavailable as exc:
        return Seen(settings, refusal=str(exc.value))
    from redis.exceptions import RedisError  # the store is open, so it is there

    try:
        told = dict(_decoded(await store.db.config_get(*ASKED)))
    except RedisError as exc:
        return Seen(settings, refusal=str(exc))
    finally:
        await store.close()
    hidden = [name for name in ASKED if name not in told]
    return Seen(settings, told, f"it does not tell {', '.join(hidden)}" if hidden else "")


ASKED = ("appendonly", "appendfsync", "save", "maxmemory-policy")
"""What Redis is asked for."""


def _decoded(options: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for pair in options.items():
        name, value = (text.decode() if isinstance(text, bytes) else str(text) for text in pair)
        yield name, value
