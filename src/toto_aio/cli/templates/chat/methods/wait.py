"""Wait until something is said in a room, by long polling."""

from toto_aio.invocation import asynchronous, requires


@asynchronous
@requires("room")
async def invoke(handler, parameters):
    """Return the next message in a room. Messages between two calls are missed."""
    handler.register_event_handler(f"room {parameters['room']}", handler.respond)
