"""Wait for a word in a room, by long polling."""

from toto_aio.invocation import asynchronous, requires


@asynchronous
@requires("room")
async def invoke(handler, parameters):
    """Answer with the next that is said in a room. What is said between two calls is missed."""
    handler.register_event_handler(f"room {parameters['room']}", handler.respond)
