"""Log out."""

from __future__ import annotations

from typing import Any

from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.threads import waits_in_threads


@waits_in_threads
@redirects_form
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, bool]:
    """End the session of the caller, if there is one."""
    handler.act()
    await handler.caller.log_out()
    return {"authenticated": False}
