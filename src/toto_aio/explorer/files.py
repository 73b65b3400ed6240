"""The files of the explorer's page, as they are sent: each with a tag, and with rules for the browser."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web

FOLDER = Path(__file__).with_name("static")
PAGE = "page.html"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What the page may do: nothing of another origin is loaded, and no text becomes HTML or a script."""
HEADERS = {
    hdrs.CACHE_CONTROL: "no-cache",  # with the tag: a cache asks whether it is still the same
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


class StaticFile(NamedTuple):
    """A file of the package, the tag that stands for its bytes, and what they are."""

    body: bytes
    tag: str
    content_type: str

    async def serve(self, request: web.Request) -> web.Response:
        """The file, or 304 if the browser has it."""
        headers = {**HEADERS, hdrs.ETAG: f'"{self.tag}"'}
        if has_tag(request, self.tag):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, headers=headers, content_type=self.content_type, charset="utf-8")


def read_files() -> dict[str, StaticFile]:
    """The files by their names."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            body = path.read_bytes()
            found[path.name] = StaticFile(body, tag_of(body), TYPES[path.suffix])
    return found


def tag_of(body: bytes) -> str:
    """The tag that stands for some bytes."""
    return hashlib.sha256(body).hexdigest()[:32]


def has_tag(request: web.Request, tag: str) -> bool:
    """Whether a client says that it has what this tag stands for."""
    return any(each.value in (tag, "*") for each in request.if_none_match or ())
