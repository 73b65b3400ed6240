"""Say something in a room."""


async def invoke(handler, room: str, name: str, text: str):
    """Send what someone says to everyone who listens in a room, in any process."""
    await handler.events.send(f"room {room}", {"name": name, "text": text})
