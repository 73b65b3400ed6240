"""Make, list and revoke API keys: a session is needed, so that no key makes others."""

from __future__ import annotations

from typing import Any

from toto_aio.auth.confirmation import confirm
from toto_aio.auth.text import require_text
from toto_aio.dispatch.form import redirects_form
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import InvalidParameters, NotAuthorized
from toto_aio.invocation import authenticated, method, rate, requires
from toto_aio.threads import waits_in_threads

TAKEN = frozenset({"name", "scopes", "expires", "password"})


@method
@authenticated
@rate(100, per=900)
@requires("name", "scopes")
@waits_in_threads
async def create(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """Make an API key called ``name`` for the methods in ``scopes``; returns the ``key``, this once.

    ``scopes`` is a list of names such as ``notes.add`` and ``notes.*``, or ``*``. ``expires`` is in Unix
    seconds; without it the key is valid until it is revoked. Needs the ``password``, or a login of the last
    ten minutes: a key outlives the session that made it.
    """
    if unknown := parameters.keys() - TAKEN:
        raise InvalidParameters(f"Write name, scopes and expires; {len(unknown)} others are not known.")
    session = handler.session
    assert session is not None
    await confirm(handler.sessions, session, parameters.get("password"), handler.client)
    keys, user_id, scopes = handler.connection.api_keys, session.user_id, parameters["scopes"]
    made = await keys.create(user_id, parameters["name"], scopes, expires=parameters.get("expires"))
    if await session.expiry() is None:  # it has ended meanwhile, perhaps with the account that it was of
        await keys.revoke(user_id, made["handle"])
        raise NotAuthorized
    return made


@method
@authenticated
@waits_in_threads
async def list_(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
    """List the user's API keys, the oldest first, each with a ``handle`` to revoke it, and never the key."""
    session = handler.session
    assert session is not None
    return {"api_keys": await handler.connection.api_keys.list(session.user_id)}


@method
@authenticated
@requires("handle")
@waits_in_threads
@redirects_form
async def revoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, bool]:
    """End the user's API key with this ``handle``; false if it doesn't exist, or no longer does."""
    session = handler.session
    assert session is not None
    handle = require_text("handle", parameters["handle"])
    return {"revoked": await handler.connection.api_keys.revoke(session.user_id, handle)}
