"""The custom fields of accounts: their names, and values that come back as they were saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toto_aio.auth.birth import STORED as BIRTH
from toto_aio.auth.roles import STORED as ROLES
from toto_aio.auth.session_state import MAX_SIZE, other_type
from toto_aio.codecs import encode_json
from toto_aio.codecs.json_codec import read_json
from toto_aio.codecs.plain import PLAIN_TYPES, validate
from toto_aio.exceptions import InvalidParameters
from toto_aio.names import shortened

JSON_TYPES: frozenset[type] = frozenset({str, bool, int, float, type(None)})
"""Types of values that JSON has, besides containers."""
PARAMETERS = frozenset({"user_id", "password", "new_password", "session_id"})
"""What else than custom fields the account methods take."""
READ_ONLY = frozenset({"user_id", "roles"})
RESERVED = frozenset({*PARAMETERS, *READ_ONLY, ROLES, BIRTH})
"""Names that a custom field can't have."""
MAX_NAMED = 10
"""Unknown fields that an error names."""


def account_values(parameters: Mapping[str, Any], allowed: frozenset[str]) -> dict[str, Any]:
    """The custom fields among parameters. Raises ``InvalidParameters`` that names those not ``allowed``."""
    values = {name: value for name, value in parameters.items() if name not in PARAMETERS}
    if unknown := values.keys() - allowed:
        names = [shortened(name) for name in sorted(unknown)[:MAX_NAMED]]
        more = ", ..." if len(unknown) > MAX_NAMED else ""
        raise InvalidParameters(f"Unknown account fields: {', '.join(names)}{more}")
    # What a client sends in BSON or MessagePack may be no JSON: it is kept as JSON has it.
    plain: dict[str, Any] = read_json(encode_json(values))
    return plain


def require_custom(name: str) -> None:
    """Raise ``KeyError`` for a name that no custom field can have."""
    if name in RESERVED:
        instead = ": write accounts.set_roles(user_id, roles)" if name == "roles" else ""
        raise KeyError(f"{name!r} cannot be set through an account's values{instead}")


def require_storable(values: Mapping[str, Any]) -> None:
    """Raise ``TypeError`` for what would not come back as it is, and ``ValueError`` for too much."""
    for name, value in values.items():
        if reason := _reason(value):
            raise TypeError(
                f"The account can't be saved: {shortened(name)!r}: {reason} Store text, finite numbers of 64 "
                "bits, true, false, None, or lists and dicts of these"
            )
    if (size := len(encode_json(values))) > MAX_SIZE:
        raise ValueError(
            f"The account can't be saved: its fields have {size} bytes, and {MAX_SIZE} at most are kept: "
            "store large data in a table of your own"
        )


def _reason(value: Any) -> str:
    """Why a value would not come back as it is; "" if it would."""
    try:
        validate(value, PLAIN_TYPES)
    except InvalidParameters as exc:
        return str(exc.value)
    if kind := other_type(value, JSON_TYPES):
        return f"Values of type {kind.__name__} are not accepted."
    try:
        same = read_json(encode_json(value)) == value
    except ValueError:
        same = False
    return "" if same else "Text must be valid Unicode."
