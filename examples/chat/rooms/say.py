"""Say something in a room."""


async def invoke(handler, room: str, name: str, text: str, key: str):
    """Publish what ``name`` says to all who are in ``room``, in all processes; with one ``key`` only once."""
    said = {"name": name, "text": text}
    await handler.events.publish(f"room:{room}", said, idempotency_key=key)
