"""The envelope of a response: a result or an error, with the caller's session."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.caller import Caller


def envelope(key: str, value: Any, caller: Caller | None) -> dict[str, Any]:
    """A ``result``, ``error`` or ``batch``, with the session if there is one."""
    if caller is None or caller.session is None:
        return {key: value}
    return {key: value, "session": caller.session.describe()}
