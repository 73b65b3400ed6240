"""Count who is in a room."""


async def invoke(handler, room: str) -> int:
    """How many are in ``room``, in all processes."""
    return (await handler.events.presence_stats(f"room:{room}")).clients
