"""Add two numbers."""

from toto_aio.invocation import requires


@requires("a", "b")
async def invoke(handler, parameters):
    """Add two numbers."""
    return parameters["a"] + parameters["b"]
