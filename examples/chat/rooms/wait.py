"""Wait for a message in a room, by long polling."""

from toto_aio.invocation import asynchronous, requires


@asynchronous
@requires("room")
async def invoke(handler, parameters):
    """Respond with the next message in ``room``. Messages between two calls are missed."""
    handler.register_event_handler(f"room {parameters['room']}", handler.respond)
