"""Listen in a room, over a WebSocket."""


async def invoke(handler, room: str):
    """Send every message in ``room`` to this socket, until the socket closes."""
    handler.register_event_handler(f"room {room}", handler.send_message)
    return "listening"
