"""Listen in a room, over a WebSocket."""


async def invoke(handler, room: str):
    """Send everything that is said in a room to this socket, until it closes."""
    handler.register_event_handler(f"room {room}", handler.send_message)
    return "listening"
