"""Examples of hypothesis, which take their time on a busy machine like everything else."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For tests with ``@given``, none of which fails because it takes long."""
