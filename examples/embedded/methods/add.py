"""Write a note."""

from toto_aio import Handler
from toto_aio.invocation import authenticated


@authenticated
async def invoke(handler: Handler, text: str) -> int:
    """Write the note ``text``; returns how many notes the user has."""
    assert handler.session is not None
    user = handler.session.user_id
    await handler.connection.db.execute("INSERT INTO notes (user_id, text) VALUES ($1, $2)", user, text)
    count = await handler.connection.db.fetchval("SELECT count(*) FROM notes WHERE user_id = $1", user)
    return int(count)
