"""Write a note."""

from typing import Any

from toto_aio import Handler
from toto_aio.invocation import authenticated, requires


@authenticated
@requires("text")
async def invoke(handler: Handler, parameters: dict[str, Any]) -> int:
    """Write the note ``text``; returns how many notes the user has."""
    assert handler.session is not None
    user = handler.session.user_id
    await handler.connection.db.execute(
        "INSERT INTO notes (user_id, text) VALUES ($1, $2)", user, str(parameters["text"])
    )
    count = await handler.connection.db.fetchval("SELECT count(*) FROM notes WHERE user_id = $1", user)
    return int(count)
