"""Log the errors of browsers."""

from __future__ import annotations

import logging
from typing import Any

from toto_aio.dispatch.handler import Handler
from toto_aio.invocation import rate, requires

logger = logging.getLogger("toto_aio.client")

MAX_LENGTH = 10_000
"""Characters of an error that are logged."""


@rate(100, per=900, by="address")  # anybody may call it, and fill the log
@requires("client_error", "client_type")
async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, bool]:
    """Log ``client_error`` if ``client_type`` is ``browser_js``; returns whether it was logged."""
    if parameters["client_type"] != "browser_js":
        return {"logged": False}
    logger.error("%s", ascii(str(parameters["client_error"])[:MAX_LENGTH]))  # one line, whatever was sent
    return {"logged": True}
