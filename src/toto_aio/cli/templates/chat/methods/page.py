"""The page for browsers."""

import base64
import hashlib
import re
from pathlib import Path

from toto_aio.invocation import raw_response, safe

PAGE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")


def hash_of(tag: str) -> str:
    """The hash of what stands between such tags in the page, by which the browser knows it."""
    inline = re.search(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    return base64.b64encode(hashlib.sha256(inline[1].encode()).digest()).decode()


POLICY = (
    f"default-src 'none'; script-src 'sha256-{hash_of('script')}'; style-src 'sha256-{hash_of('style')}'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the browser may do on the page: run its own script, and talk to its own service."""


@safe
@raw_response
async def invoke(handler, parameters):
    """The page for browsers, whatever a link adds to its address."""
    handler.response_type = "text/html"
    handler.set_header("Content-Security-Policy", POLICY)
    return PAGE
