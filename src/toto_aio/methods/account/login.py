"""Log in."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.text import require_text
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import requires
from toto_aio.threads import waits_in_threads


@requires("user_id", "password")
@waits_in_threads
@redirects_form
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """Log ``user_id`` in with ``password``; returns a new session.

    An account with a second factor is error 1017, whose ``ticket`` is for ``account.totp.login``; not with
    the ``device`` that was given there.
    """
    user_id = require_text("user_id", parameters["user_id"])  # None would ask for an anonymous session
    device = None if parameters.get("device") is None else require_text("device", parameters["device"])
    session = await handler.create_session(user_id, parameters["password"], device=device)
    return session.describe()
