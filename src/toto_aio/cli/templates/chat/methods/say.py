"""Say something in a room."""

from toto_aio.invocation import requires


@requires("room", "name", "text")
async def invoke(handler, parameters):
    """Tell all who listen in a room, in whichever process, what somebody says."""
    message = {"name": parameters["name"], "text": parameters["text"]}
    await handler.events.send(f"room {parameters['room']}", message)
