"""The logins of a service in the aiohttp application around it: its pages, forms and middlewares.

    service = create_app(use_cookies=True, ...)
    toto_aio.middleware.setup(application, service, login_url="/login")
    application.add_subapp("/api", service)

A handler of the application then asks for the session that the service has of a request:

    async def page(request):
        session = await require(request)
        return web.Response(text=f"Hello {session.user_id}")

One login holds for pages, methods and sockets. The rules of the service hold for pages too: the session is
in the header or in the cookie, which counts only for its own pages and those of an allowed origin, and a
signature must be right.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from toto_aio.auth.roles import role_names
from toto_aio.auth.user_account import UserAccount
from toto_aio.auth.user_session import UserSession
from toto_aio.http import parent
from toto_aio.http.page_errors import http_errors
from toto_aio.http.parent import CLOSE, PARENT, transparent
from toto_aio.http.routes import ROUTES
from toto_aio.http.service import SERVICE
from toto_aio.http.signatures import HMAC_HEADER
from toto_aio.http.visit import Visit
from toto_aio.settings import SettingsError

__all__ = [
    "CONNECTION",
    "EVENTS",
    "finish_log_in",
    "get_account",
    "get_session",
    "is_page",
    "log_in",
    "log_in_with_password",
    "log_out",
    "next_page",
    "require",
    "setup",
]

CONNECTION = parent.CONNECTION
"""The ``AppKey`` of the application for its service's ``Connection``, once the service has started."""

EVENTS = parent.EVENTS
"""The ``AppKey`` of the application for its service's ``EventManager``; missing if events are off."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def setup(application: web.Application, service: web.Application, *, login_url: str | None = None) -> None:
    """Let the handlers of an application use the logins of a service that is, or will be, added to it.

    Its middleware comes before all others, so that they may use the session too. ``login_url`` is the page
    to which ``require`` sends browsers without a login. Responses whose handler has asked for the session
    get its signature, its cookie, and ``Vary`` and ``Cache-Control`` as the service's own. Requests to a
    service pass untouched, and those for the pages of an application in it that was set up for another
    service have the sessions of that one. When the application is cleaned up, the service is closed first.
    Raises ``SettingsError`` if it is called twice, or with something else.
    """
    _refuse_wrong_use(application, service)
    service[PARENT] = application

    @transparent
    async def give_session(request: web.Request, handler: Handler) -> web.StreamResponse:
        pages = None if VISIT in request else _pages(request)
        if pages is None:
            return await handler(request)
        request[VISIT] = visit = Visit(pages.service[SERVICE], pages.login_url)
        try:
            with http_errors():
                if HMAC_HEADER in request.headers:
                    await visit.verify(request)
                response = await handler(request)
        except web.HTTPException as exc:
            exc[VISIT_OF_RESPONSE] = visit
            raise
        finally:
            visit.end()
        if isinstance(response, web.StreamResponse):  # else aiohttp says what is wrong
            response[VISIT_OF_RESPONSE] = visit
        return response

    @transparent
    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        # Streams and sockets are prepared by their handlers, so this can't wait until one has returned. The
        # request isn't the one of the visit if an application around this one has replaced it with a clone.
        visit = request.get(VISIT) or response.get(VISIT_OF_RESPONSE)
        if visit is not None:
            visit.finish(request, response)

    async def require_service(application: web.Application) -> None:
        if not _contains(application, service):
            raise SettingsError(
                "toto_aio.middleware: the service is not part of the application; write "
                'application.add_subapp("/api", service)'
            )

    application[_PAGES] = Pages(service, login_url)
    application.middlewares.insert(0, web.middleware(give_session))
    application.on_response_prepare.append(finish)
    application.on_startup.append(require_service)
    application.on_cleanup.insert(0, service[CLOSE])


async def get_session(request: web.Request) -> UserSession | None:
    """The session of a request: anonymous, or a user's; None if there is none. It is loaded once.

    Raises aiohttp's errors: ``HTTPUnauthorized`` for a wrong signature, ``HTTPServiceUnavailable`` if the
    database is out of reach, ``HTTPBadRequest`` for a repeated header.
    """
    return await _visit(request).session(request)


async def get_account(request: web.Request) -> UserAccount | None:
    """The account of the user who is logged in, or None. It is loaded once. Raises as ``get_session``."""
    return await _visit(request).account(request)


async def require(request: web.Request, *, role: str | Iterable[str] | None = None) -> UserSession:
    """The session of the user who is logged in, and has the ``role``, or one of several.

    Without a login it redirects browsers to ``login_url``, with the page to come back to as ``next``, and
    otherwise raises ``HTTPUnauthorized``; a user without the role, and a page of a foreign origin, get
    ``HTTPForbidden``. Raises as ``get_session``, and ``ValueError`` if ``role`` is not the name of one.
    """
    roles = () if role is None else role_names((role,) if isinstance(role, str) else role)
    if role is not None and not roles:
        raise ValueError("require: write role='admin', or several roles, of which a user needs one")
    return await _visit(request).require(request, roles)


async def log_in(
    request: web.Request, user_id: str, *, device: str | None = None, second_factor: bool = True
) -> UserSession:
    """Log a user in whom the application itself has checked; the session that the request showed ends.

    The response sets the cookie, if the service has ``use_cookies``; otherwise give the client what
    ``session.describe()`` returns. Raises ``InvalidCredentials`` if the service has no such account, and
    ``HTTPForbidden`` for a page of a foreign origin, which could log a user in as somebody else; and
    ``SecondFactorRequired``, as ``log_in_with_password``, unless ``second_factor=False``.
    """
    return await _visit(request).log_in(
        request, user_id, None, verify_password=False, device=device, second_factor=second_factor
    )


async def log_in_with_password(
    request: web.Request, user_id: Any, password: Any, *, device: str | None = None
) -> UserSession:
    """Log a user in by the account's password: ``log_in`` for a form, whose fields may be missing or files.

    Attempts count together with those of ``account.login``. Raises ``InvalidCredentials``,
    ``TooManyAttempts``, and ``InvalidParameters`` for what is not text. If the account has a second factor,
    and ``device`` is not the token of a remembered device, it raises ``SecondFactorRequired``: show a form
    for the code that has ``exc.ticket`` in a hidden field, and give both to ``finish_log_in``.
    """
    return await _visit(request).log_in(request, user_id, password, verify_password=True, device=device)


async def finish_log_in(
    request: web.Request, ticket: Any, code: Any, *, remember: bool = False
) -> UserSession:
    """Log a user in by the second step: the ``ticket`` of the first, and a code of the second factor.

    With ``remember`` the session has a ``device_token``, by which later logins skip this step for 30 days:
    keep it in a cookie that no script reads. Raises ``InvalidCredentials`` for a wrong code,
    ``TooManyAttempts``, ``InvalidParameters``, and ``HTTPUnauthorized`` if the ticket has expired.
    """
    return await _visit(request).finish_log_in(request, ticket, code, remember=remember)


def is_page(request: web.Request) -> bool:
    """Whether a request is for the application itself; one for the service has its session in the methods.

    A middleware of the application sees both, and asks for the session of its own only.
    """
    return VISIT in request


async def log_out(request: web.Request) -> None:
    """End the session of a request, if it has one, close its sockets, and remove its cookie."""
    await _visit(request).log_out(request)


def next_page(request: web.Request, default: str = "/") -> str:
    """The page of this application that ``require`` wants to come back to after the login.

    It is ``default`` for anything else: a link to the login must not lead to a page of a stranger.
    """
    page = request.query.get("next", "")
    is_own = page[:1] == "/" and page[1:2] not in ("/", "\\") and page.isprintable() and " " not in page
    return page if is_own else default


VISIT = web.RequestKey("toto_aio_visit", Visit)
"""The key of a request for what it shows of its session."""

VISIT_OF_RESPONSE = web.ResponseKey("toto_aio_visit", Visit)
"""The key of the response to such a request."""


@dataclass(frozen=True, slots=True)
class Pages:
    """What an application was set up with: the service whose sessions its pages have, and their login."""

    service: web.Application
    login_url: str | None


_PAGES = web.AppKey("toto_aio_pages", Pages)


def _pages(request: web.Request) -> Pages | None:
    """What the innermost application of a request was set up with; None for a request to a service."""
    apps = request.match_info.apps
    if any(ROUTES in app for app in apps):
        return None
    return next(app[_PAGES] for app in reversed(apps) if _PAGES in app)


def _visit(request: web.Request) -> Visit:
    if VISIT in request:
        return request[VISIT]
    if any(ROUTES in app for app in request.match_info.apps):
        raise RuntimeError(
            "This request is the service's: write handler.session in a method, and let a middleware pass it "
            "on unless toto_aio.middleware.is_page(request)"
        )
    raise RuntimeError(
        "The application does not know the service's sessions: write toto_aio.middleware.setup(application, "
        "service) where the application is made"
    )


def _refuse_wrong_use(application: web.Application, service: web.Application) -> None:
    """Raise ``SettingsError`` for what ``setup`` cannot use."""
    if not isinstance(service, web.Application) or ROUTES not in service:
        raise SettingsError(
            "toto_aio.middleware: write setup(application, service) with service = create_app(...)"
        )
    if not isinstance(application, web.Application) or ROUTES in application:
        raise SettingsError(
            "toto_aio.middleware: write setup(application, service), application is the one around"
        )
    if PARENT in service or _PAGES in application:
        raise SettingsError(
            "toto_aio.middleware: write setup once for an application and its service; put the pages of "
            "another service into a sub-application of their own, and set that up"
        )
    if application.pre_frozen:
        raise SettingsError(
            "toto_aio.middleware: write setup before the application is started or added to another one"
        )


def _contains(application: web.Application, service: web.Application) -> bool:
    """Whether a service is a sub-application of an application, or of one of its own."""
    infos = (resource.get_info() for resource in application.router.resources())
    parts = [info["app"] for info in infos if "app" in info]
    return any(part is service or _contains(part, service) for part in parts)
