"""``toto-aio check``: the settings that are unsafe in production, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from toto_aio.cli.facts import Facts
from toto_aio.cli.forgotten_awaits import forgotten_awaits
from toto_aio.cli.rules import RULES, Rule
from toto_aio.cli.slow_patterns import slow_patterns
from toto_aio.importer import load
from toto_aio.settings import Settings
from toto_aio.settings.urls import REDIS_SCHEMES, scheme_of
from toto_aio.stores import DRIVERS

if TYPE_CHECKING:
    from toto_aio.cli.redis_facts import RedisFacts


async def check(settings: Settings) -> list[Finding]:
    """The settings that are unsafe in production, the grave ones first. Raises ``SettingsError``.

    The configuration of each Redis that the settings name is read; no other server is contacted.
    """
    facts = await _inspect(settings)
    return [Finding(rule, found) for rule in RULES if (found := rule.applies(facts))]


def report(findings: Sequence[Finding]) -> str:
    """The findings as text; if there are none, the settings that were checked."""
    if not findings:
        return f"Nothing unsafe. Checked: {', '.join(dict.fromkeys(rule.setting for rule in RULES))}"
    grave = sum(finding.rule.gravity == "grave" for finding in findings)
    warnings = len(findings) - grave
    total = f"{grave} grave, {warnings} warning{'' if warnings == 1 else 's'}"
    return "\n".join([*map(str, findings), total])


class Finding(NamedTuple):
    """A rule that applies, and the detail that it found."""

    rule: Rule
    detail: bool | str

    def __str__(self) -> str:
        rule = self.rule
        detail = f": {self.detail}" if isinstance(self.detail, str) else ""
        return f"{rule.gravity}: {rule.setting}: {rule.danger}{detail}\n    {rule.advice}"


async def _inspect(settings: Settings) -> Facts:
    """The facts of these settings; only a Redis takes more than the settings."""
    found: dict[str, RedisFacts] = {}
    for setting in ("database", "session_store", "events"):
        url = getattr(settings, setting)
        if scheme_of(url) in REDIS_SCHEMES:
            ask = load("toto_aio.cli.redis_facts:ask", DRIVERS["toto_aio.stores.redis"])
            found[setting] = await ask(setting, url)
    if settings.mail:
        load("toto_aio.mail.post:Post")(settings)  # which raises for what no mail can be sent with
    return Facts(settings, found, forgotten_awaits(settings), slow_patterns(settings))
