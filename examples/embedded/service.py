"""A small site: pages with a login form, a background task and a service, over one pool of PostgreSQL.

Run createdb notes && python service.py, or name another database:
    DATABASE=postgresql://user@localhost/other python service.py 8080

Then open http://127.0.0.1:8080/ in a browser. On the page "Security" a user verifies an address, with a code
that is in the log, and turns a second factor on, with which a login has two steps. README.md has the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from html import escape
from pathlib import Path
from string import Template

import asyncpg  # type: ignore[import-untyped]  # it has none
from aiohttp import web

import methods
from toto_aio import create_app
from toto_aio.exceptions import InvalidCredentials, SecondFactorRequired, TooManyAttempts
from toto_aio.middleware import (
    CONNECTION,
    finish_log_in,
    log_in_with_password,
    log_out,
    next_page,
    require,
    setup,
)

logger = logging.getLogger(__name__)

POOL = web.AppKey("POOL", asyncpg.Pool)
PAGES = Path(__file__).parent / "pages"
SECURE = False  # True where the site is served over TLS: then cookies are sent over nothing else
DEVICE = "device"
"""The cookie of a browser whose logins skip the second step."""
routes = web.RouteTableDef()


def make_application(database: str) -> web.Application:
    """Create the site, with the service below ``/api``."""
    application = web.Application()
    service = create_app(
        method_module=methods,
        database=POOL,
        use_cookies=True,
        secure_cookies=SECURE,
        mail=os.environ.get("MAIL", "console"),
        mail_from=os.environ.get("MAIL_FROM", "Notes <noreply@notes.example>"),
        secret_key=os.environ.get("SECRET_KEY") or development_key(Path(".secret_key")),
    )
    setup(application, service, login_url="/login")
    application.add_subapp("/api", service)
    application.add_routes([*routes, web.static("/pages", PAGES)])

    async def open_pool(application: web.Application) -> AsyncIterator[None]:
        """Open the pool before the service starts, and close it after the service has ended."""
        async with asyncpg.create_pool(database, min_size=1) as application[POOL]:
            await application[POOL].execute(TABLE)
            yield

    application.cleanup_ctx.extend([open_pool, forget_old_notes])
    return application


def development_key(file: Path) -> str:
    """The secret key for trials: it is made once and kept in a file that only its owner can read."""
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as created:
            created.write(secrets.token_urlsafe(32))
        logger.warning("SECRET_KEY is not set: %s has one for trials", file.resolve())
    return file.read_text()


TABLE = """CREATE TABLE IF NOT EXISTS notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    text text NOT NULL,
    written timestamptz NOT NULL DEFAULT now()
)"""


async def forget_old_notes(application: web.Application) -> AsyncIterator[None]:
    """Delete notes after a year, in the background."""

    async def forget() -> None:
        while True:
            try:
                await application[POOL].execute("DELETE FROM notes WHERE written < now() - interval '1 year'")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                logger.exception("old notes stay for another hour")  # the database may be back by then
            await asyncio.sleep(3600)

    task = asyncio.create_task(forget())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@routes.get("/")
async def show_notes(request: web.Request) -> web.Response:
    """The notes of the user, and a form for another one."""
    session = await require(request)
    notes = await request.app[POOL].fetch(
        "SELECT text FROM notes WHERE user_id = $1 ORDER BY id DESC LIMIT 20", session.user_id
    )
    listed = "".join(f"<li>{escape(note['text'])}" for note in notes)
    return page(f"{escape(session.user_id)}'s notes", f"<ul>{listed}</ul>{NOTE_FORM}{LINKS}")


@routes.post("/")
async def write_note(request: web.Request) -> web.Response:
    """Write a note. ``require`` refuses forms of foreign pages."""
    session = await require(request)
    text = str((await request.post()).get("text", ""))
    await request.app[POOL].execute(
        "INSERT INTO notes (user_id, text) VALUES ($1, $2)", session.user_id, text
    )
    raise web.HTTPSeeOther("/")


@routes.get("/security")
async def show_security(request: web.Request) -> web.Response:
    """The user's address, second factor and remembered devices. Its script calls the service's methods."""
    session = await require(request)
    email = await request.app[CONNECTION].accounts.email(session.user_id)
    address = escape(email) + " is verified." if email else "None is verified."
    method = "account.change_email" if email else "account.verify_email"
    body = SECURITY.substitute(address=address, method=method)
    return page("Security", body, script="security")


@routes.get("/login")
async def show_login(request: web.Request) -> web.Response:
    """The form to log in."""
    return login_page()


@routes.post("/login")
async def enter(request: web.Request) -> web.Response:
    """Log in, in one step or two, and go to the page that the user wanted to see."""
    form = await request.post()
    ticket = str(form.get("ticket", ""))
    try:
        if ticket:
            remember = "remember" in form
            session = await finish_log_in(request, ticket, form.get("code"), remember=remember)
        else:
            device = request.cookies.get(DEVICE)
            session = await log_in_with_password(
                request, form.get("user_id"), form.get("password"), device=device
            )
    except SecondFactorRequired as exc:
        return login_page(exc.ticket)
    except InvalidCredentials as exc:
        return login_page(ticket, str(exc.value), 401)
    except TooManyAttempts as exc:
        return login_page(ticket, f"Too many attempts: try again in {exc.retry_after} seconds.", 429)
    except web.HTTPUnauthorized:
        return login_page("", "That took too long: log in again.", 401)
    response = web.HTTPSeeOther(next_page(request))
    if session.device_token is not None:
        response.set_cookie(
            DEVICE,
            session.device_token,
            max_age=30 * 86400,
            path="/login",
            secure=SECURE,
            httponly=True,
            samesite="Lax",
        )
    raise response


@routes.post("/logout")
async def leave(request: web.Request) -> web.Response:
    """Log out."""
    await log_out(request)
    raise web.HTTPSeeOther("/login")


def login_page(ticket: str = "", alert: str = "", status: int = 200) -> web.Response:
    """The form to log in, or with a ticket that of the second step."""
    if ticket:
        return page("Log in", CODE_FORM.substitute(ticket=escape(ticket)), status, alert=alert)
    return page("Log in", LOGIN_FORM, status, alert=alert, script="login")


def page(
    title: str, body: str, status: int = 200, *, alert: str = "", script: str | None = None
) -> web.Response:
    """A page of the site, with what went wrong in ``alert``."""
    text = HTML.substitute(
        title=title,
        body=body,
        alert=escape(alert),
        script=f"<script type=module src=/pages/{script}.js></script>" if script else "",
    )
    return web.Response(text=text, content_type="text/html", headers=HEADERS, status=status)


HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # forms are refused without their origin
    "X-Content-Type-Options": "nosniff",
}
"""Pages run the site's own scripts only, and no other site shows them in a frame."""

HTML = Template("""<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>$title</title>
<link rel=stylesheet href=/pages/site.css>
<link rel=icon href=data:,>
$script
<h1>$title</h1>
<p id=alert role=alert>$alert</p>
$body
</html>
""")
NOTE_FORM = """<form id=note method=post>
    <label>Note <input name=text required autofocus></label> <button>Write</button>
</form>"""
LINKS = """<p><a href=/security>Security</a></p>
<form id=logout method=post action=/logout><button>Log out</button></form>"""
LOGIN_FORM = """<form id=login method=post>
    <label>Name <input name=user_id autocomplete=username required autofocus></label>
    <label>Password <input name=password type=password autocomplete=current-password required></label>
    <button>Log in</button> <button type=button id=create>Create an account</button>
</form>"""
CODE_FORM = Template("""<form id=second method=post>
    <input type=hidden name=ticket value="$ticket">
    <label>Code of your app, or a recovery code
        <input name=code autocomplete=one-time-code required autofocus></label>
    <label><input name=remember type=checkbox> Remember this browser for 30 days</label>
    <button>Log in</button>
</form>""")
SECURITY = Template((PAGES / "security.html").read_text())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    web.run_app(
        make_application(os.environ.get("DATABASE", "postgresql:///notes")),
        host="127.0.0.1",
        port=int(sys.argv[1]) if sys.argv[1:] else 8080,
    )
