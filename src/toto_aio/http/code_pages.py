"""The pages behind the links in mails. To open one does nothing, as mail scanners open every link.

The page of a method has the method's own path, and its button posts a form there, which is a call like any
other. The call redirects back to the page, for what to show then.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode, urlsplit

from aiohttp import hdrs, web

from toto_aio.dispatch.method import BUILT_IN_ACCOUNTS, Method
from toto_aio.exceptions import InvalidCredentials
from toto_aio.mail.letters import Letters
from toto_aio.mail.templates import is_language
from toto_aio.settings import Settings
from toto_aio.settings.urls import root_path

LINKED = ("verify_email", "change_email", "reset_password")
"""The built-in methods whose mails have links; those of their modules that are called ``confirm``."""
MAX_TOKEN = 200
HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Referrer-Policy": "same-origin",  # the token is in the URL; the form's own origin has to be known
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
"""No script runs on the pages, and no other site shows them in a frame."""


def add_routes(
    app: web.Application, settings: Settings, *, methods: Mapping[str, Method], letters: Letters
) -> None:
    """Serve the pages of those methods that the service has, if mails have links."""
    if not letters.public_url or settings.method_select == "parameter":
        return
    for name, method in methods.items():
        purpose = method.source.removeprefix(BUILT_IN_ACCOUNTS)
        if purpose in LINKED and name.rpartition(".")[2] == "confirm":
            path = f"{root_path(settings)}/{name.replace('.', '/')}"
            app.router.add_get(path, CodePage(purpose, path, letters).serve)


class CodePage:
    """The page of one method."""

    def __init__(self, purpose: str, path: str, letters: Letters) -> None:
        self._purpose = purpose
        self._path = f"{urlsplit(letters.public_url).path}{path}"
        self._letters = letters

    async def serve(self, request: web.Request) -> web.Response:
        """The form, or what has become of it."""
        query = request.query
        token, error = query.get("token", ""), query.get("error", "")
        language = query.get("language", "")
        wanted = {"language": language} if is_language(language) else {}
        values = {"service": escape(self._letters.service), "hidden": "", "error": ""}
        name = self._purpose
        if "done" in query:
            name = "done"
        elif not token or len(token) > MAX_TOKEN or error == str(InvalidCredentials.CODE):
            name = "failed"
        else:
            values["hidden"] = "\n".join(
                f'<input type="hidden" name="{field}" value="{escape(value)}">'
                for field, value in {
                    "token": token,
                    "redirect_to": f"{self._path}?{urlencode({'done': '', **wanted})}",
                    "error_redirect_to": f"{self._path}?{urlencode({'token': token, **wanted})}",
                }.items()
            )
            values["error"] = error if error.isdecimal() and error.isascii() and len(error) <= 4 else ""
        page = self._letters.templates.page(name, wanted.values(), values)
        return web.Response(text=page, content_type="text/html", headers=HEADERS)
