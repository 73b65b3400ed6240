"""The rooms: their last hundred messages, and who is there."""

from toto_aio.invocation import channel


@channel("room:{room}", history=100, ttl=86400, presence=True, join_leave=True)
async def invoke(handler, room: str):
    """Admit everybody."""
