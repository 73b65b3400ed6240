"""Say something in a room."""


async def invoke(handler, room: str, name: str, text: str):
    """Send what ``name`` says to all listeners in ``room``, in all processes."""
    await handler.events.send(f"room {room}", {"name": name, "text": text})
