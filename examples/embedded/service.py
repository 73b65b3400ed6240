"""A small site: pages with a login form, a background task and a service, over one pool of PostgreSQL.

Run createdb notes && python service.py, or name another database:
    DATABASE=postgresql://user@localhost/other python service.py 8080

Then open http://127.0.0.1:8080/ in a browser. On the page "Security" a user verifies an address, with a code
that is in the log, and turns a second factor on, with which a login has two steps.

Programs call the methods with the same accounts:
    curl http://127.0.0.1:8080/api/service/add -H "x-toto-session-id: ..." --json '{"text": "Hello"}'
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from html import escape
from pathlib import Path

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
routes = web.RouteTableDef()


def make_application(database: str) -> web.Application:
    """Create the site, with the service below ``/api``."""
    application = web.Application()
    service = create_app(
        method_module=methods,
        database=POOL,
        use_cookies=True,
        secure_cookies=False,  # leave this out where the site is served over TLS
        mail="console",  # smtps://user:password@host, where mails are sent
        mail_from="Notes <noreply@notes.example>",
        secret_key=os.environ.get("SECRET_KEY", "a key for trials and for nothing else"),
    )
    setup(application, service, login_url="/login")
    application.add_subapp("/api", service)
    application.add_routes(routes)

    async def open_pool(application: web.Application) -> AsyncIterator[None]:
        """Open the pool before the service starts, and close it after the service has ended."""
        async with asyncpg.create_pool(database, min_size=1) as application[POOL]:
            await application[POOL].execute(TABLE)
            yield

    application.cleanup_ctx.extend([open_pool, forget_old_notes])
    return application


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
    """The user's address and second factor. Its script calls the methods of the service."""
    session = await require(request)
    email = await request.app[CONNECTION].accounts.email(session.user_id)
    return page("Security", f"<h2>Address</h2><p>{escape(email or 'none')}</p>{SECURITY_FORMS}")


@routes.get("/login")
async def show_login(request: web.Request) -> web.Response:
    """The form to log in."""
    return page("Log in", LOGIN_FORM)


@routes.post("/login")
async def enter(request: web.Request) -> web.Response:
    """Log in, in one step or two, and go to the page that the user wanted to see."""
    form = await request.post()
    ticket = str(form.get("ticket", ""))
    again = code_form(ticket) if ticket else LOGIN_FORM
    try:
        if ticket:
            await finish_log_in(request, ticket, form.get("code"))
        else:
            await log_in_with_password(request, form.get("user_id"), form.get("password"))
    except SecondFactorRequired as exc:
        return page("Log in", code_form(exc.ticket))
    except InvalidCredentials as exc:
        return page("Log in", f"<p role=alert>{escape(str(exc.value))}{again}", 401)
    except TooManyAttempts as exc:
        alert = f"Too many attempts: try again in {exc.retry_after} seconds."
        return page("Log in", f"<p role=alert>{alert}{again}", 429)
    except web.HTTPUnauthorized:
        return page("Log in", f"<p role=alert>That took too long: log in again.{LOGIN_FORM}", 401)
    raise web.HTTPSeeOther(next_page(request))


@routes.post("/logout")
async def leave(request: web.Request) -> web.Response:
    """Log out."""
    await log_out(request)
    raise web.HTTPSeeOther("/login")


def code_form(ticket: str) -> str:
    """The form of the second step."""
    return f"""<form id=code method=post>
        <input type=hidden name=ticket value="{escape(ticket)}">
        <input name=code autocomplete=one-time-code required autofocus placeholder="Code of your app">
        <button>Log in</button>
    </form>"""


def page(title: str, body: str, status: int = 200) -> web.Response:
    """A page of the site."""
    html = f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>{body}"
    return web.Response(text=html, content_type="text/html", status=status)


NOTE_FORM = "<form id=note method=post><input name=text required><button>Write</button></form>"
LINKS = (
    "<p><a href=/security>Security</a></p>"
    "<form id=logout method=post action=/logout><button>Log out</button></form>"
)
SECURITY_FORMS = (Path(__file__).parent / "security.html").read_text()
# A new account is made by a method. The cookie that it sets counts for pages too.
LOGIN_FORM = """<form id=login method=post>
    <input name=user_id autocomplete=username required placeholder=Name>
    <input name=password type=password autocomplete=current-password required placeholder=Password>
    <button>Log in</button> <button type=button id=create>Create an account</button>
</form>
<script>
    document.getElementById("create").onclick = async event => {
        const parameters = Object.fromEntries(new FormData(event.target.form))
        const response = await fetch("/api/service/account.create", {
            method: "POST",
            headers: {"content-type": "application/json"},
            body: JSON.stringify(parameters),
        })
        const {error} = await response.json()
        if (error) alert(error.value)
        else location = "/"
    }
</script>"""


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    web.run_app(
        make_application(os.environ.get("DATABASE", "postgresql:///notes")),
        host="127.0.0.1",
        port=int(sys.argv[1]) if sys.argv[1:] else 8080,
    )
