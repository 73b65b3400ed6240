"""Say something in a room."""

from toto_aio.invocation import requires


@requires("room", "name", "text")
async def invoke(handler, parameters):
    """Send what ``name`` says to all listeners in ``room``, in all processes."""
    message = {"name": parameters["name"], "text": parameters["text"]}
    await handler.events.send(f"room {parameters['room']}", message)
