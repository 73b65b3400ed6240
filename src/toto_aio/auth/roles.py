"""Roles: which names they may have, and where an account keeps them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from toto_aio.names import shortened

STORED = "toto_aio.roles"
"""The value of an account that has its roles. No custom field can have this name, so no client sets it."""
MAX_ROLES = 64
"""The most roles of an account, or of a method."""
ROLE = re.compile("[A-Za-z0-9_.:-]{1,64}")


def role_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names of roles, sorted, each once. Raises ``ValueError`` for what cannot be one."""
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
        raise ValueError(f"roles: write a list such as ['admin'], not {shortened(names)!r}")
    found = set()
    for name in names:
        if not isinstance(name, str) or not ROLE.fullmatch(name):
            allowed = "1 to 64 letters, digits, '_', '.', ':' and '-'"
            raise ValueError(f"roles: write a name of {allowed}, not {shortened(name)!r}")
        found.add(name)
    if len(found) > MAX_ROLES:
        raise ValueError(f"roles: write at most {MAX_ROLES} of them, not {len(found)}")
    return tuple(sorted(found))


def take_roles(values: dict[str, Any]) -> tuple[str, ...]:
    """The roles among the values of an account, which then has its custom fields alone.

    Before version 0.2 a custom field could be called ``roles``. Clients may have set it, so it counts for
    nothing.
    """
    values.pop("roles", None)
    return tuple(values.pop(STORED, ()))
