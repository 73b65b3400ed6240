"""Text that clients send: what is accepted as text at all."""

from __future__ import annotations

from toto_aio.exceptions import InvalidParameters


def require_text(name: str, value: object) -> str:
    """A string that can be encoded as UTF-8. Raises ``InvalidParameters`` for anything else."""
    if not isinstance(value, str):
        raise InvalidParameters(f"{name} must be a string.")
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        raise InvalidParameters(f"{name} must be valid Unicode.") from None
    return value
