"""Say hello."""

from toto_aio.invocation import safe


@safe
async def invoke(name: str):
    """Greet somebody by name."""
    return {"hello": name}
