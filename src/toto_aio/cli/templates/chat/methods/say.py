"""Say something in a room."""

from toto_aio.invocation import requires


@requires("room", "name", "text")
async def invoke(handler, parameters):
    """Send what someone says to everyone who listens in a room, in any process."""
    message = {"name": parameters["name"], "text": parameters["text"]}
    await handler.events.send(f"room {parameters['room']}", message)
