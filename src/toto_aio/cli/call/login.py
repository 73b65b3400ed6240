"""``toto-aio login`` and ``toto-aio logout``: the session that ``toto-aio call`` then uses."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from toto_aio.cli.ask import ask_code, ask_password
from toto_aio.cli.call import kept
from toto_aio.cli.call.failures import failures_shown
from toto_aio.cli.call.line import Options, UsageError
from toto_aio.cli.call.outcome import printable
from toto_aio.cli.call.remote import fits, require_scheme, service_url
from toto_aio.client import Client, SessionCredentials
from toto_aio.exceptions import InvalidResponseHMAC, NotAuthorized, SecondFactorRequired


def log_in(given: Mapping[str, Any]) -> None:
    """Log in, or create the account, with a password from the terminal or the standard input."""
    with failures_shown():
        url, user = service_url(given["url"]), given["user"]
        require_scheme(given.get("signing"))
        timeout, create = _timeout(given), given.get("create", False)
        password = ask_password(f"{user} at {url}", twice=create)
        signing = given.get("signing") or asyncio.run(_scheme(Client(url, signing="off", timeout=timeout)))
        client = Client(url, signing=signing, timeout=timeout)
        session = asyncio.run(_log_in(client, user, password, create=create))
        if not fits(signing, session.key):
            raise UsageError(f"{url} signs with a key: write --signing=session, or --signing=toto1")
        kept.keep(url, session, signing)
        print(f"Logged in to {url} as {printable(session.user_id)}", file=sys.stderr)


def log_out(given: Mapping[str, Any]) -> None:
    """End the session of a service, and forget it."""
    with failures_shown():
        url = service_url(given["url"])
        found = kept.load(url)
        if found is None:
            print(f"Not logged in to {url}", file=sys.stderr)
            return
        client = Client(url, signing=found.signing, session=found.credentials, timeout=_timeout(given))
        is_certain = asyncio.run(_log_out(client))
        kept.forget(url)
        doubt = "" if is_certain else "; whether the session has ended is not certain: no signature says so"
        print(f"Logged out of {url}{doubt}", file=sys.stderr)


async def _log_in(client: Client, user: str, password: str, *, create: bool) -> SessionCredentials:
    async with client:
        if create:
            await client.create_account(user, password)
        else:
            try:
                await client.login(user, password)
            except SecondFactorRequired as exc:
                code = await asyncio.to_thread(ask_code, f"{user} at {client.url}")
                await client.finish_login(exc.ticket, code)
        session = client.session
        assert session is not None
        return session


async def _scheme(client: Client) -> str:
    """The scheme that the service's document asks for; off if it asks for none, which any service takes."""
    async with client:
        document = await client.openapi() or {}
    components = document.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else None
    names = schemes if isinstance(schemes, dict) else {}
    if "nonce" in names:
        return "session"
    return "toto1" if "signature" in names else "off"


async def _log_out(client: Client) -> bool:
    """End the session; whether the service has confirmed that, or has ended it before."""
    async with client:
        try:
            await client.logout()
        except NotAuthorized:
            pass  # it has ended before
        except InvalidResponseHMAC:
            return False
    return True


def _timeout(given: Mapping[str, Any]) -> float:
    text = given.get("timeout")
    return Options({} if text is None else {"timeout": text}).timeout
