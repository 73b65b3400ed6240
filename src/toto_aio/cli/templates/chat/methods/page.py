"""The page for browsers."""

from pathlib import Path

from toto_aio.invocation import raw_response, safe

PAGE = Path(__file__).with_name("page.html").read_bytes()


@safe
@raw_response
async def invoke(handler, parameters):
    """The page for browsers, whatever a link adds to its address."""
    handler.response_type = "text/html"
    return PAGE
