"""The audit log: who did what to which account.

Each entry is one line of the logger ``toto_aio.audit`` and, if the service wants that, an event. Whoever
changes an account records it once it has happened:

    audit.record(Action.ROLES_SET, account.user_id, roles=["admin"])

Who did it, and where the request came from, is known to the call or page in progress (``acting``). An entry
has no secret: neither a password nor a code, a session id or a key, nor what somebody gave as a user id that
no account has, which may be a password that was typed into the wrong field.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from toto_aio.auth.audit_actions import Action
from toto_aio.exceptions import InvalidCredentials, TooManyAttempts, TotoException, Unavailable
from toto_aio.models import ClientInfo
from toto_aio.names import shown_text

if TYPE_CHECKING:
    from toto_aio.auth.user_session import UserSession

__all__ = ["Action", "Audit", "Origin", "acting"]

logger = logging.getLogger("toto_aio.audit")

Tell = Callable[[dict[str, Any]], None]
"""Takes each entry, as plain data. It must not raise."""


class Origin(Struct, frozen=True, kw_only=True):
    """Who acts, and from where.

    ``kind`` is ``user`` (logged in, with this user id), ``api_key`` (a key of this user), ``nobody`` (another
    client), ``server`` (code of the service outside of calls) or ``cli`` (``toto-aio accounts``, with
    the name of the system's user). ``trace`` has the ids of the trace that the request belongs to.
    """

    @classmethod
    def of(cls, session: UserSession | None, **where: Any) -> Origin:
        """The origin of what is done with a session."""
        if session is None or not session.user_id:
            return cls(kind="nobody", **where)
        return cls(kind="api_key" if session.is_api_key else "user", actor=session.user_id, **where)

    kind: str = "server"
    actor: str = ""
    address: str = ""
    agent: str = ""
    method: str = ""
    transaction_id: str = ""
    trace: Mapping[str, str] = {}


Acting = Callable[[], Origin | None]
"""Tells who acts; None once that has ended, such as a call whose task goes on with the next request."""


class Audit:
    """Records what is done to the accounts of a service. ``tell`` takes each entry, beside the logger."""

    def __init__(self, tell: Tell | None = None) -> None:
        self._tell = tell

    def record(
        self, action: Action, user_id: str, /, client: ClientInfo | None = None, **details: Any
    ) -> None:
        """Record what has been done to the account ``user_id``; "" if there is none.

        ``details`` are plain data without secrets. ``client`` counts outside of calls, where it is known.
        """
        if self._tell is None and not logger.isEnabledFor(logging.INFO):
            return
        found = acting.get()
        origin = (None if found is None else found()) or SERVER
        if client is not None and origin is SERVER:
            origin = structs.replace(origin, address=client.address, agent=client.agent)
        entry = _entry(action, user_id, origin, details)
        logger.info("%s", _Line(entry), extra=entry)
        if self._tell is not None:
            self._tell({"id": token_hex(8), "time": time.time(), **entry})

    @contextmanager
    def recording(self, action: Action, user_id: str, /, **details: Any) -> Iterator[Happening]:
        """Record what the block does, unless it sets ``happened`` to False; it may add ``details``.

        A ``TotoException`` says that nothing has been done, except ``Unavailable``: after that, and if the
        block is cut off, it may have been done, and the entry says ``outcome=unknown``.
        """
        happening = Happening(details)
        try:
            yield happening
        except BaseException as exc:
            if not isinstance(exc, TotoException) or isinstance(exc, Unavailable):
                self.record(action, user_id, outcome="unknown", **details)
            raise
        if happening.happened:
            self.record(action, user_id, **details)

    @contextmanager
    def refusals(
        self, action: Action, user_id: str | None = None, /, client: ClientInfo | None = None
    ) -> Iterator[None]:
        """Record that the block is refused, for a wrong password or too many attempts, with the ``reason``.

        Without ``user_id`` it is for the account that ``RefusedAccount`` names, if it names one.
        """
        try:
            yield
        except (InvalidCredentials, TooManyAttempts) as exc:
            if user_id is None:
                user_id = exc.user_id if isinstance(exc, RefusedAccount) else ""
            reason = "too_many_attempts" if isinstance(exc, TooManyAttempts) else "wrong_credentials"
            self.record(action, user_id, client=client, reason=reason)
            raise


def acting_now() -> Acting:
    """Who acts at this moment, for work that goes on after the call: ``acting`` takes it there."""
    found = acting.get()
    origin = None if found is None else found()
    return lambda: origin


class Happening:
    """What a block that is recorded says about itself."""

    def __init__(self, details: dict[str, Any]) -> None:
        self.details = details
        self.happened = True


class RefusedAccount(InvalidCredentials):
    """Credentials of an account are wrong; ``user_id`` is for the audit log, and no client receives it."""

    def __init__(self, user_id: str) -> None:
        super().__init__()
        self.user_id = user_id


SERVER = Origin()

acting: ContextVar[Acting | None] = ContextVar("toto_aio_acting", default=None)
"""Who is asked who acts, in this task and those that it starts."""


def _entry(action: Action, user_id: str, origin: Origin, details: dict[str, Any]) -> dict[str, Any]:
    """The fields of an entry; ``details`` are apart, as a record of a logger has names of its own."""
    return {
        "action": action.value,
        "account": user_id,
        "actor_kind": origin.kind,
        "actor": origin.actor,
        "address": origin.address,
        "agent": shown_text(origin.agent),
        "method": origin.method,
        "transaction_id": origin.transaction_id,
        **origin.trace,
        "details": details,
    }


class _Line:
    """The text of an entry, which is made if a handler of the logger writes text."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self._entry = entry

    def __str__(self) -> str:
        entry = self._entry
        parts = [
            f"of {entry['account']!r}" if entry["account"] else "of no account",
            _BY[entry["actor_kind"]].format(entry["actor"]),
            f"from {shown_text(entry['address'])}" if entry["address"] else "",
            f"in {entry['method']}" if entry["method"] else "",
            f"[{entry['transaction_id']}]" if entry["transaction_id"] else "",
        ]
        text = f"{entry['action']} {' '.join(filter(None, parts))}"
        if "trace_id" in entry:
            text += f", trace {entry['trace_id']}"
        shown = ", ".join(f"{name}={value!r}" for name, value in entry["details"].items())
        return f"{text}: {shown}" if shown else text


_BY = {
    "user": "by {!r}",
    "api_key": "by an API key of {!r}",
    "nobody": "",
    "server": "by the service",
    "cli": "by toto-aio accounts of {!r}",
}
"""How a line names each kind of actor. A login has none: who acts is the account itself."""
