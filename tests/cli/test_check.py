"""Tests of ``toto-aio check``: each unsafe setting is reported, and safe ones are not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support import ROOT
from tests.support.servers import Server, free_port
from tests.support.servers import redis as redis_server
from toto_aio.cli.check import Finding, check
from toto_aio.cli.facts import Facts
from toto_aio.cli.main import main
from toto_aio.cli.rules import RULES
from toto_aio.settings import Settings, SettingsError, read_settings

PAGE = ROOT / "docs" / "check.md"
SAFE: dict[str, Any] = {"unix_socket": "/run/notes/socket", "trusted_proxies": ["unix"], "signing": "off"}
PORT = {**SAFE, "unix_socket": "", "trusted_proxies": ["127.0.0.1"]}
MAIL: dict[str, Any] = {
    "mail": "smtps://mail.example",
    "mail_from": "n@notes.example",
    "secret_key": ["k" * 32],
}
UNSAFE: list[tuple[str, str, dict[str, Any]]] = [
    ("debug", "unexpected errors", {"debug": True}),
    ("host", "unencrypted", {**PORT, "host": "0.0.0.0", "trusted_proxies": []}),  # noqa: S104
    ("host", "unencrypted", {**PORT, "host": "192.0.2.1", "trusted_proxies": []}),
    ("host", "unencrypted", {**PORT, "host": "notes.example", "trusted_proxies": []}),
    ("trusted_proxies", "the proxy's address", {"trusted_proxies": []}),
    ("trusted_proxies", "the proxy's address", {"trusted_proxies": ["127.0.0.1"]}),
    ("trusted_proxies", "the proxy's address", {**PORT, "trusted_proxies": []}),
    ("trusted_proxies", "the proxy's address", {**PORT, "host": "localhost", "trusted_proxies": ["unix"]}),
    ("trusted_proxies", "claim any address", {**PORT, "trusted_proxies": ["0.0.0.0/0"]}),
    ("trusted_proxies", "claim any address", {"trusted_proxies": ["unix", "::/0"]}),
    ("trusted_proxies", "claim any address", {**PORT, "trusted_proxies": ["127.0.0.1", "0.0.0.0/1"]}),
    ("trusted_proxies", "claim any address", {"trusted_proxies": ["unix", "2000::/3"]}),
    ("cookie_domain", "every site", {"use_cookies": True, "cookie_domain": "com"}),
    ("cookie_domain", "every site", {"use_cookies": True, "cookie_domain": ".example"}),
    ("allow_origin", "changed on its way", {"use_cookies": True, "allow_origin": ["http://app.example"]}),
    ("max_body_size", "memory", {"max_body_size": 10**11}),
    ("secure_cookies", "unencrypted", {"use_cookies": True, "secure_cookies": False}),
    ("database", "lost when the process ends", {"database": "memory://"}),
    ("database", "lost when the process ends", {"database": "memory"}),
    ("session_store", "logged out", {"session_store": "memory://"}),
    ("signing", "not a secret", {"signing": "user_id"}),
    ("signing", "send it again", {"signing": "toto1"}),
    ("events", "one of the processes", {"processes": 2}),
    ("events", "one of the processes", {"processes": 0, "events": "memory"}),
    ("host", "all addresses", {**PORT, "host": "0.0.0.0"}),  # noqa: S104
    ("host", "all addresses", {**PORT, "host": "::", "trusted_proxies": ["10.0.0.5"]}),
    ("host", "all addresses", {**PORT, "host": ""}),
    ("allow_origin", "any web page", {"allow_origin": ["https://app.example", "*"]}),
    ("get_methods", "a link or an image", {"get_methods": "all"}),
    ("explorer", "everyone can read", {"explorer": "on"}),
    ("rate", "full batch", {"rate": ["1000/1d", "49/60"]}),
    ("password_min_length", "short passwords", {"password_min_length": 7}),
    ("login_attempts", "more than 100 guesses", {"login_attempts": 101}),
    ("metrics_clients", "which methods", {"metrics": True, "metrics_clients": ["0.0.0.0/0"]}),
    ("autoreload", "half-written", {"autoreload": True}),
    ("mail", "no mail is sent", {**MAIL, "mail": "console"}),
    ("public_url", "can use it first", {**MAIL, "public_url": "http://notes.example"}),
    ("secret_key", "find the digits of a code", {**MAIL, "secret_key": []}),
]
STORED = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}
REDIS: list[tuple[str, dict[str, str]]] = [
    ("writes nothing to disk", {"appendonly": "no"}),
    ("drops accounts", {"maxmemory-policy": "allkeys-lru"}),
    ("only writes snapshots", {"appendonly": "no", "save": "3600 1"}),
    ("answers before", {"appendfsync": "everysec"}),
    ("copied signed requests", {"maxmemory-policy": "volatile-lru"}),
]
EVICTION: list[tuple[str, str]] = [
    ("database", "drops accounts"),
    ("session_store", "copied signed requests"),
    ("events", "drops events"),
]
UNKNOWN: list[tuple[str, str]] = [
    ("database", "could not ask"),
    ("session_store", "could not ask"),
    ("events", "could not ask"),
]


async def found(**options: Any) -> list[Finding]:
    """The findings for these settings."""
    return await check(read_settings({**SAFE, **options}))


@pytest.mark.parametrize(("setting", "danger", "options"), UNSAFE, ids=str)
async def test_an_unsafe_setting(setting: str, danger: str, options: dict[str, Any]) -> None:
    """Only it is reported, with why and what to write instead."""
    (finding,) = await found(**options)
    assert finding.rule.setting == setting
    assert danger in finding.rule.danger


@pytest.mark.parametrize(
    "options",
    [
        {},
        PORT,
        {**PORT, "host": "localhost", "trusted_proxies": ["::1"]},
        {**PORT, "host": "::1"},
        {**PORT, "host": "10.0.0.4", "trusted_proxies": ["10.0.0.0/8"]},
        {**PORT, "trusted_proxies": ["127.0.0.1", "104.16.0.0/13", "2400:cb00::/32"]},
        {"use_cookies": True, "cookie_domain": "notes.example", "max_body_size": 2**20},
        {"signing": "session"},
        {"secure_cookies": False},
        {"use_cookies": True, "allow_origin": ["https://app.example"]},
        {"processes": 4, "events": "off"},
        {"database": "postgresql://localhost/notes", "session_store": "mysql://localhost/notes"},
        {"metrics": True, "metrics_clients": ["10.0.0.0/8"]},
        {"explorer": "authenticated"},
        {"login_attempts": 100, "password_min_length": 12, "rate": ["49/60"], "batch_limit": 49},
    ],
    ids=str,
)
async def test_safe_settings(options: dict[str, Any]) -> None:
    """Nothing is reported, and no database is opened."""
    assert await found(**options) == []


async def test_what_the_start_would_refuse() -> None:
    """It is reported as at the start."""
    with pytest.raises(SettingsError, match="trusted_proxies: write addresses"):
        await found(trusted_proxies=["nginx"])


def test_every_rule_has_a_case() -> None:
    """Every rule has a test above or below."""
    tested = {(setting, danger) for setting, danger, _ in UNSAFE}
    tested |= {("database", danger) for danger, _ in REDIS} | {*EVICTION, *UNKNOWN}
    tested.add(("method_module", "await"))  # in test_forgotten_awaits
    tested.add(("method_module", "exponential"))  # in test_slow_patterns
    untested = {
        rule
        for rule in RULES
        if not any(rule.setting == setting and danger in rule.danger for setting, danger in tested)
    }
    assert not untested
    assert {rule.setting for rule in RULES} <= set(Settings.__struct_fields__)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A Redis whose configuration may be changed."""
    with redis_server.server() as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Redis]:
    """A client with all permissions."""
    async with Redis(port=server.port) as client:
        for name, value in STORED.items():
            await client.config_set(name, value)
        yield client


@pytest.mark.parametrize(("danger", "options"), REDIS, ids=str)
async def test_accounts_in_redis(server: Server, client: Redis, danger: str, options: dict[str, str]) -> None:
    """The server's configuration is read, and what loses accounts is reported."""
    for name, value in options.items():
        await client.config_set(name, value)
    (finding,) = await found(database=redis_server.fresh_url(server))
    assert danger in finding.rule.danger


@pytest.mark.parametrize("setting", ["database", "session_store", "events"])
async def test_a_redis_that_keeps_everything(server: Server, client: Redis, setting: str) -> None:
    """Nothing is reported."""
    assert await found(**{setting: redis_server.fresh_url(server)}) == []


@pytest.mark.parametrize("commands", [["+@all"], ["+@all", "-config"], ["+@all", "-info"]], ids=str)
@pytest.mark.parametrize(("setting", "danger"), EVICTION, ids=str)
async def test_a_redis_that_drops_keys(
    server: Server, client: Redis, setting: str, danger: str, commands: list[str]
) -> None:
    """It is reported for each setting that names one, even if CONFIG or INFO is not permitted."""
    await client.config_set("maxmemory-policy", "allkeys-lru")
    await permit(client, commands)
    url = f"redis://guest:secret@127.0.0.1:{server.port}/0"
    (finding,) = [finding for finding in await found(**{setting: url}) if "could not" not in str(finding)]
    assert (finding.rule.setting, danger in finding.rule.danger) == (setting, True)
    assert "maxmemory-policy noeviction" in finding.rule.advice


@pytest.mark.parametrize(("setting", "danger"), UNKNOWN, ids=str)
async def test_a_redis_without_permission(server: Server, client: Redis, setting: str, danger: str) -> None:
    """Without permission to read its configuration, the finding says so, and what to check."""
    await permit(client, ["+@all", "-config", "-info"])
    (finding,) = await found(**{setting: f"redis://guest:secret@127.0.0.1:{server.port}/0"})
    assert (finding.rule.setting, danger in str(finding)) == (setting, True)
    assert "permission" in str(finding)
    assert "maxmemory-policy noeviction" in finding.rule.advice
    assert finding.rule.gravity == "warning"


async def test_info_is_enough(server: Server, client: Redis) -> None:
    """Where CONFIG is refused, as by managed services, a safe policy is found all the same."""
    await permit(client, ["+@all", "-config"])
    url = f"redis://guest:secret@127.0.0.1:{server.port}/0"
    assert await found(session_store=url, events=url) == []


async def permit(client: Redis, commands: list[str]) -> None:
    """Let the user ``guest`` use these commands."""
    await client.acl_setuser(
        "guest", enabled=True, reset=True, passwords=["+secret"], keys=["*"], commands=commands
    )


@pytest.mark.parametrize(("setting", "danger"), UNKNOWN, ids=str)
async def test_a_redis_out_of_reach(setting: str, danger: str) -> None:
    """It is reported, without the password."""
    (finding,) = await found(**{setting: f"redis://guest:secret@127.0.0.1:{free_port()}/0"})
    assert danger in str(finding)
    assert "Cannot open redis://127.0.0.1:" in str(finding)
    assert "secret" not in str(finding)


def test_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The grave findings come first, and make the status 1."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "toto.toml"
    file.write_text('trusted_proxies = ["unix"]\nunix_socket = "socket"\nlogin_attempts = 1000')
    monkeypatch.setenv("TOTO_AIO_DEBUG", "true")
    status, said = run(capsys, str(file), "--signing=off")
    assert status == 1
    lines = said.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "grave",
        "    leave it out",
        "warning",
        "    leave it out",
        "1 grave, 1 warning",
    ]
    monkeypatch.delenv("TOTO_AIO_DEBUG")
    assert run(capsys, str(file), "--signing=off")[0] == 0
    status, said = run(capsys, str(file), "--signing=off", "--login-attempts=10")
    assert status == 0
    assert said.startswith("Nothing unsafe. Checked: debug, host, ")
    assert [path.name for path in tmp_path.iterdir()] == ["toto.toml"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    """The status of the command, and its output."""
    with pytest.raises(SystemExit) as caught:
        main(["check", *arguments])
    return caught.value.code, capsys.readouterr().out


def test_the_order() -> None:
    """The grave rules come before the others, so that they are reported first."""
    assert [rule.gravity for rule in RULES] == sorted(rule.gravity for rule in RULES)


def test_the_page() -> None:
    """The page has the same table."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(rule.setting, rule.gravity, rule.danger, rule.advice) for rule in RULES]


def test_objects_in_place_of_text() -> None:
    """A program that passes its database as an object gets the other checks."""
    seen = Facts(read_settings({**SAFE, "database": object(), "signing": object(), "events": object()}))
    assert not any(rule.applies(seen) for rule in RULES)
