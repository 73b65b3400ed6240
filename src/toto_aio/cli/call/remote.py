"""A service that runs, which is called by its URL."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import hdrs
from yarl import URL

from toto_aio.cli.call import kept
from toto_aio.cli.call.document import Document
from toto_aio.cli.call.failures import refused
from toto_aio.cli.call.idempotency import key_of
from toto_aio.cli.call.line import ADDRESS, Options, UsageError, option_of
from toto_aio.cli.call.outcome import Bytes, Outcome, Redirected, Result
from toto_aio.cli.call.parameters import Parameters
from toto_aio.client import Client, UnreadableResponseError
from toto_aio.client.form import can_be_text
from toto_aio.client.protocol import Response, as_shown
from toto_aio.exceptions import InvalidHMAC, NotAuthorized
from toto_aio.signing import SCHEMES

LOGOUT = "account.logout"


class Remote:
    """A service at a URL, with the session that is kept for it."""

    def __init__(self, target: str, options: Options) -> None:
        self.url = service_url(target)
        if options.has("user"):
            name = options.values["user"]
            raise UsageError(
                f"--user: only in process; to call as {name}, write toto-aio login {self.url} {name}"
            )
        self._kept = kept.load(self.url)
        self._signing = options.values.get("signing") or (self._kept.signing if self._kept else None)
        self._options = options
        require_scheme(self._signing)

    async def document(self) -> Document | None:
        """What the service says of its methods; None if it says nothing."""
        async with self._client() as client:
            found = await client.openapi()
        return None if found is None else Document(found)

    async def call(self, method: str, parameters: Parameters, document: Document | None) -> Outcome:
        """What a call gives. Raises the exceptions of ``Client``, and ``FailedError``."""
        del document
        async with self._client() as client:
            values, files = _sendable(parameters)
            unsigned, key = self._options.has("unsigned"), key_of(self._options)
            try:
                response = await client.fetch(
                    method, values, files=files, idempotency_key=key, unsigned=unsigned
                )
            except (NotAuthorized, InvalidHMAC) as exc:
                name = self._kept.user_id if self._kept else "USER"
                again = "log in again: " if self._kept else "log in: "
                raise refused(exc, f"{again}toto-aio login {self.url} {name}") from exc
            finally:
                self._keep(client)
        if method == LOGOUT:
            kept.forget(self.url)
        return _outcome(response)

    def _client(self) -> Client:
        session = None if self._kept is None else self._kept.credentials
        signing = self._signing or "off"
        return Client(self.url, signing=signing, session=session, timeout=self._options.timeout)

    def _keep(self, client: Client) -> None:
        """Keep the session that a call has made or renewed: that of a user, as after a change of password."""
        session, before, signing = client.session, self._kept, self._signing or "off"
        if session is None or not session.user_id or not fits(signing, session.key):
            return
        is_same = before is not None and before.session_id == session.session_id
        if before is not None and is_same and before.expires == session.expires:
            return
        try:
            now = kept.load(self.url)
            # Another command may have logged in again.
            if not is_same or (now is not None and now.session_id == session.session_id):
                kept.keep(self.url, session, signing)
        except UsageError as exc:
            print(f"toto-aio: {exc}", file=sys.stderr)  # what the call gave is worth more


def service_url(target: str) -> str:
    """The URL of a service. Raises ``UsageError``."""
    try:
        url = URL(target)
    except ValueError as exc:
        raise UsageError(f"{target}: not a URL: {exc}") from exc
    if url.scheme not in ("http", "https") or not url.host:
        meant = f"http://{target}" if ADDRESS.match(target) else "http://HOST/service"
        raise UsageError(f"{target}: not the URL of a service; write {meant}")
    if url.user is not None or url.password is not None:
        raise UsageError(
            f"write the URL without a user and a password: toto-aio login {url.with_user(None)} USER"
        )
    if url.query_string or url.fragment:
        raise UsageError(f"{target}: write the URL of the service, without what follows ? or #")
    return str(url).rstrip("/")


def require_scheme(signing: str | None) -> None:
    """Raise ``UsageError`` for an unknown scheme."""
    if signing is not None and signing not in SCHEMES:
        raise UsageError(f"--signing: write one of {', '.join(SCHEMES)}, not {signing!r}")


def fits(signing: str, key: str) -> bool:
    """Whether a session of a service that may have given it a key can be used under a scheme."""
    scheme = SCHEMES[signing]
    return not key or (scheme is not None and scheme.keyed)


def _sendable(parameters: Parameters) -> tuple[dict[str, Any], Mapping[str, Any]]:
    values, files = parameters
    for name, value in values.items() if files else ():
        if not can_be_text(value):
            raise UsageError(f"{option_of(name)}: files are sent with text, numbers and lists of them only")
    return values, files


def _outcome(response: Response) -> Outcome:
    message = response.message
    if message is not None and "result" in message:
        return Result(_plain(message["result"]))
    if response.status in (301, 302, 303, 307, 308):
        return Redirected(response.headers.get(hdrs.LOCATION, ""), response.status)
    if response.status >= 400:
        raise UnreadableResponseError(f"the response is not one of a service: {as_shown(response)}")
    return Bytes(response.body, response.content_type)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)
