"""The rules of ``toto-aio check``: a table, which ``docs/check.md`` repeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from toto_aio.cli.facts import Facts, is_address
from toto_aio.dispatch.policy import rates_of_all
from toto_aio.http.proxies import TrustedProxies
from toto_aio.settings.urls import scheme_of

Gravity = Literal["grave", "warning"]
NARROWEST = {4: 8, 6: 16}
"""The bits of the largest network that one operator of proxies has, by the version of IP."""
LARGE_BODY = 100 * 2**20
"""Bytes of a body, which a request may keep in memory."""


class Rule(NamedTuple):
    """A setting, when it is unsafe, why, and what to write instead."""

    gravity: Gravity
    setting: str
    applies: Callable[[Facts], bool | str]
    """Whether the setting is unsafe; text adds a detail."""
    danger: str
    advice: str


def _lacks_tls(facts: Facts) -> bool:
    return not facts.is_behind_proxy and not facts.settings.trusted_proxies


def _has_untrusted_proxy(facts: Facts) -> bool:
    peers = [None] if facts.settings.unix_socket else ["127.0.0.1", "::1"]
    return facts.is_behind_proxy and not any(map(facts.proxies.trusts, peers))


def _trusts_everyone(proxies: TrustedProxies) -> bool:
    return any(
        not network.is_private and network.prefixlen < NARROWEST[network.version]
        for network in proxies.networks
    )


def _has_public_metrics(facts: Facts) -> bool:
    clients = TrustedProxies(facts.settings.metrics_clients, "metrics_clients")
    return facts.settings.metrics and _trusts_everyone(clients)


def _has_unencrypted_origin(facts: Facts) -> bool:
    return facts.settings.use_cookies and any(
        origin.startswith("http://") for origin in facts.settings.allow_origin
    )


def _has_shared_domain(facts: Facts) -> bool:
    domain = facts.settings.cookie_domain.strip(".")
    return facts.settings.use_cookies and bool(domain) and "." not in domain


def _can_be_bypassed(facts: Facts) -> bool:
    host = facts.settings.host
    listens_everywhere = not facts.settings.unix_socket and (not host or is_address(host, "is_unspecified"))
    return listens_everywhere and bool(facts.settings.trusted_proxies)


def _has_no_file(facts: Facts) -> bool:
    return facts.redis_option("database", "appendonly") == "no"


def _acknowledges_early(facts: Facts) -> bool:
    return (
        facts.redis_option("database", "appendonly") == "yes"
        and facts.redis_option("database", "appendfsync") != "always"
    )


def _refuses_full_batches(facts: Facts) -> bool:
    return any(rate.times < facts.settings.batch_limit for rate in rates_of_all(facts.settings))


_FORGETS = (
    "when its memory is full, which clients can bring about, this Redis drops sessions, counts of login "
    "attempts and nonces: locked logins are open, and copied signed requests are accepted again"
)

RULES: tuple[Rule, ...] = (
    Rule(
        "grave",
        "debug",
        lambda facts: facts.settings.debug,
        "clients see the text of unexpected errors, whatever it contains",
        "leave it out: the log has each error, under the id that the client receives",
    ),
    Rule(
        "grave",
        "host",
        _lacks_tls,
        "passwords and session ids travel unencrypted: there is no trusted proxy with TLS in front",
        "write host=127.0.0.1 or a unix_socket, behind a proxy with TLS that trusted_proxies names",
    ),
    Rule(
        "grave",
        "trusted_proxies",
        _has_untrusted_proxy,
        "all clients have the proxy's address, so one client that guesses passwords locks out all of them",
        "write trusted_proxies=127.0.0.1, or unix for a unix_socket; the proxy must set X-Forwarded-For",
    ),
    Rule(
        "grave",
        "trusted_proxies",
        lambda facts: _trusts_everyone(facts.proxies),
        "any client can claim any address, and guess passwords from a new one each time",
        "name only the proxies, such as 127.0.0.1 or 10.0.0.5",
    ),
    Rule(
        "grave",
        "secure_cookies",
        lambda facts: facts.settings.use_cookies and not facts.settings.secure_cookies,
        "browsers also send the session unencrypted, where others on the network can read it",
        "leave it out, and serve through TLS",
    ),
    Rule(
        "grave",
        "cookie_domain",
        _has_shared_domain,
        "every site below this domain gets the session, unless the browser refuses the cookie",
        "leave it out, or write a domain that is yours, such as notes.example",
    ),
    Rule(
        "grave",
        "database",
        lambda facts: scheme_of(facts.settings.database) == "memory",
        "accounts and sessions are lost when the process ends",
        "write database=sqlite:///toto.db, or the URL of a database server",
    ),
    Rule(
        "grave",
        "database",
        lambda facts: _has_no_file(facts) and not facts.redis_option("database", "save"),
        "this Redis writes nothing to disk: accounts are lost when it restarts",
        "write appendonly yes and appendfsync always in its configuration",
    ),
    Rule(
        "grave",
        "database",
        lambda facts: facts.redis_option("database", "maxmemory-policy").startswith("allkeys"),
        "this Redis drops accounts when its memory is full",
        "write maxmemory-policy noeviction in its configuration",
    ),
    Rule(
        "grave",
        "database",
        lambda facts: facts.redis_option("database", "maxmemory-policy").startswith("volatile"),
        _FORGETS,
        "write maxmemory-policy noeviction in its configuration",
    ),
    Rule(
        "grave",
        "session_store",
        lambda facts: facts.evicts("session_store"),
        _FORGETS,
        "write maxmemory-policy noeviction in its configuration",
    ),
    Rule(
        "grave",
        "method_module",
        lambda facts: facts.forgotten,
        "these lines do nothing, as await is missing, and their calls fail",
        "write await in front of them",
    ),
    Rule(
        "grave",
        "method_module",
        lambda facts: facts.slow,
        "forty characters keep the service busy for days, as these patterns can take exponential time",
        "write patterns in which each text can be read in one way only, such as '^a+$' for '^(a+)+$'",
    ),
    Rule(
        "warning",
        "database",
        lambda facts: _has_no_file(facts) and bool(facts.redis_option("database", "save")),
        "this Redis only writes snapshots: a crash loses the accounts made since the last one",
        "write appendonly yes and appendfsync always in its configuration",
    ),
    Rule(
        "warning",
        "database",
        _acknowledges_early,
        "this Redis answers before an account is on disk: a crash loses the last second, or more",
        "write appendfsync always in its configuration",
    ),
    Rule(
        "warning",
        "database",
        lambda facts: facts.refusal("database"),
        "could not ask this Redis whether it keeps accounts safely",
        "make sure its configuration has appendonly yes, appendfsync always and maxmemory-policy noeviction",
    ),
    Rule(
        "warning",
        "session_store",
        lambda facts: scheme_of(facts.settings.session_store) == "memory",
        "users are logged out, and login attempts are forgotten, when the process ends",
        "leave it out, so that sessions are in the database, or write session_store=redis://host/0",
    ),
    Rule(
        "warning",
        "session_store",
        lambda facts: (
            not facts.redis_option("session_store", "maxmemory-policy") and facts.refusal("session_store")
        ),
        "could not ask this Redis whether it drops sessions and counts of login attempts",
        "make sure its configuration has maxmemory-policy noeviction",
    ),
    Rule(
        "warning",
        "signing",
        lambda facts: facts.settings.signing == "user_id",
        "a user id is not a secret, so such a signature does not prove anyone's identity",
        "write signing=session; or signing=off if the session id over TLS is enough",
    ),
    Rule(
        "warning",
        "signing",
        lambda facts: facts.settings.signing == "toto1",
        "whoever reads a signed request can send it again, for as long as its session lives",
        "write signing=session once no client needs the signatures of Toto 1.0",
    ),
    Rule(
        "warning",
        "events",
        lambda facts: scheme_of(facts.settings.events) == "memory" and facts.settings.processes != 1,
        "events stay in one of the processes, including the event that ends a session",
        "write events=redis://host/0, or events=off",
    ),
    Rule(
        "warning",
        "events",
        lambda facts: facts.evicts("events"),
        "when its memory is full, this Redis drops events that are sent to one process (broadcast=False)",
        "write maxmemory-policy noeviction in its configuration",
    ),
    Rule(
        "warning",
        "events",
        lambda facts: not facts.redis_option("events", "maxmemory-policy") and facts.refusal("events"),
        "could not ask this Redis whether it drops events that are sent to one process",
        "make sure its configuration has maxmemory-policy noeviction",
    ),
    Rule(
        "warning",
        "host",
        _can_be_bypassed,
        "it listens on all addresses of the machine, so clients can bypass the proxy",
        "write the one address that the proxy connects to, or a unix_socket",
    ),
    Rule(
        "warning",
        "allow_origin",
        lambda facts: "*" in facts.settings.allow_origin,
        "any web page may call the service from the browsers of its visitors",
        "name the origins of your pages, such as allow_origin=https://app.example",
    ),
    Rule(
        "warning",
        "allow_origin",
        _has_unencrypted_origin,
        "a page that travels unencrypted can be changed on its way, and calls with the user's cookie",
        "name origins with https://",
    ),
    Rule(
        "warning",
        "max_body_size",
        lambda facts: facts.settings.max_body_size > LARGE_BODY,
        "each request may take more than 100 MiB of memory, so a few fill the machine",
        "leave it out: the default is 1 MiB",
    ),
    Rule(
        "warning",
        "get_methods",
        lambda facts: facts.settings.get_methods == "all",
        "a link or an image on any page can call methods that change something",
        "leave it out, and mark methods that only read with @safe",
    ),
    Rule(
        "warning",
        "explorer",
        lambda facts: facts.settings.explorer == "on",
        "everyone can read what the service can do, and has a page to try it",
        "leave it out, or write explorer=authenticated",
    ),
    Rule(
        "warning",
        "rate",
        _refuses_full_batches,
        "a client may make fewer calls than a batch may have, so the rest of a full batch is refused",
        "allow more calls, or write a smaller batch_limit",
    ),
    Rule(
        "warning",
        "password_min_length",
        lambda facts: facts.settings.password_min_length < 8,
        "short passwords are easy to guess",
        "leave it out: the default is 8",
    ),
    Rule(
        "warning",
        "login_attempts",
        lambda facts: facts.settings.login_attempts > 100,
        "more than 100 guesses in 15 minutes find common passwords",
        "leave it out: the default is 10",
    ),
    Rule(
        "warning",
        "mail",
        lambda facts: facts.settings.mail == "console",
        "no mail is sent, and the log has the codes that would be in it",
        "write mail=smtp://user:password@host",
    ),
    Rule(
        "warning",
        "public_url",
        lambda facts: facts.settings.public_url.startswith("http://"),
        "whoever sees a link of a mail on its way can use it first",
        "write a URL with https://",
    ),
    Rule(
        "warning",
        "secret_key",
        lambda facts: bool(facts.settings.mail) and not facts.settings.secret_key,
        "whoever reads the database can find the digits of a code that they have asked for",
        "write the text that python -c 'import secrets; print(secrets.token_urlsafe(32))' prints",
    ),
    Rule(
        "warning",
        "metrics_clients",
        _has_public_metrics,
        "anyone can see which methods are called, how often and with what success",
        "name the machines that read them, such as metrics_clients=10.0.0.5",
    ),
    Rule(
        "warning",
        "autoreload",
        lambda facts: facts.settings.autoreload,
        "a changed file is served immediately, even if it is only half-written",
        "leave it out, and restart with toto-aio restart --rolling",
    ),
)
"""The rules, the grave ones first."""
