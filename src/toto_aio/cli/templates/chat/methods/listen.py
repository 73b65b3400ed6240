"""Listen in a room, over a WebSocket."""

from toto_aio.invocation import requires


@requires("room")
async def invoke(handler, parameters):
    """Send everything that is said in a room to this socket, until it closes."""
    handler.register_event_handler(f"room {parameters['room']}", handler.send_message)
    return "listening"
