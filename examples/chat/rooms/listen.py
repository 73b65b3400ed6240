"""Listen in a room, over a WebSocket."""

from toto_aio.invocation import requires


@requires("room")
async def invoke(handler, parameters):
    """Send every message in ``room`` to this socket, until the socket closes."""
    handler.register_event_handler(f"room {parameters['room']}", handler.send_message)
    return "listening"
