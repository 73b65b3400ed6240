"""Say hello."""

from toto_aio.invocation import requires, safe


@safe
@requires("name")
async def invoke(handler, parameters):
    """Greet someone by name."""
    return {"hello": parameters["name"]}
