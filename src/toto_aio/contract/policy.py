"""The policy of a method as its documents have it: who may call it, how often, how long after a login."""

from __future__ import annotations

from typing import Any

from toto_aio.method_rules import Rules


def described_policy(rules: Rules) -> dict[str, Any]:
    """The members of an operation that neither OpenAPI nor OpenRPC has a word for, if they apply."""
    found: dict[str, Any] = {}
    if rules.roles:
        found["x-roles"] = list(rules.roles)
    if rules.fresh is not None:
        found["x-fresh"] = rules.fresh
    if rules.rates:
        found["x-rates"] = [rate._asdict() for rate in rules.rates]
    return found
