"""Wait for a message in a room, by long polling."""

from toto_aio.invocation import asynchronous


@asynchronous
async def invoke(handler, room: str):
    """Respond with the next message in ``room``. Messages between two calls are missed."""
    handler.register_event_handler(f"room {room}", handler.respond)
