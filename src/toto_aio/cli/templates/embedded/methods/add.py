"""Add two numbers."""


async def invoke(a: int, b: int):
    """Add two numbers."""
    return a + b
