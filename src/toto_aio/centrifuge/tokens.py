"""The sessions behind tokens: a token is a session id or an API key."""

from __future__ import annotations

import logging
import re
from typing import Any

from toto_aio.auth.api_key import hash_of, is_api_key
from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.centrifuge.codes import (
    INTERNAL,
    INVALID_TOKEN,
    TOO_MANY_REQUESTS,
    CommandError,
    DisconnectError,
)
from toto_aio.exceptions import InvalidHMAC, InvalidParameters, NotAuthorized, TooManyAttempts, Unavailable
from toto_aio.http.authentication import Authenticator
from toto_aio.websocket.open_socket import OpenSocket

logger = logging.getLogger(__name__)

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{16,256}")
SIGNED = ("signature", "timestamp", "nonce")
"""What the data of ``connect`` have of a signature."""


async def session_of_token(
    authenticator: Authenticator, socket: OpenSocket, token: str, data: Any
) -> UserSession | None:
    """The session of a token; None if it has ended or expired, which nobody can tell apart from never.

    Raises ``DisconnectError`` for what is no token, or isn't signed as it must be, and ``CommandError``.
    """
    try:
        if is_api_key(token):
            caller: Caller = authenticator.caller_of_key(hash_of(token), socket.address)
        elif SESSION_ID.fullmatch(token) is None:
            raise DisconnectError(INVALID_TOKEN)
        else:
            signed = {name: data.get(name) for name in SIGNED} if type(data) is dict else {}
            shown = authenticator.caller_of_frame(socket.request, {"session_id": token, **signed})
            assert shown is not None
            caller = shown
        return await caller.retrieve()
    except (InvalidHMAC, NotAuthorized, InvalidParameters) as exc:
        logger.info("a token was refused: %d, %s", exc.code, exc.reason or exc.value)
        raise DisconnectError(INVALID_TOKEN, str(exc.value)) from exc
    except TooManyAttempts as exc:
        raise CommandError(TOO_MANY_REQUESTS) from exc
    except Unavailable as exc:
        raise CommandError(INTERNAL, str(exc.value)) from exc
