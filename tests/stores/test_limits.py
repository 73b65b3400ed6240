"""The time limits of the stores and of the broker on Redis, which the tests replace with longer ones."""

from __future__ import annotations

from tests.support.limits import DEFAULTS


def test_the_limits_of_a_service(default_limits: dict[str, dict[str, float]]) -> None:
    """A service has the limits that the documentation promises."""
    assert default_limits == DEFAULTS
