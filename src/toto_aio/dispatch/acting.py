"""Who acts in a call, for the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from toto_aio.auth.audit import Origin
from toto_aio.dispatch.trace import trace_fields

if TYPE_CHECKING:
    from toto_aio.dispatch.handler import Handler


class CallActing:
    """Tells who acts while a call is in progress.

    It doesn't hold the call, as the task of its connection goes on with the next one.
    """

    __slots__ = ("_handler",)

    def __init__(self, handler: Handler) -> None:
        self._handler = ref(handler)

    def __call__(self) -> Origin | None:
        """The user of the call's session, as far as it has one already."""
        handler = self._handler()
        if handler is None or handler.finished:
            return None
        session, reply = handler.session, handler.reply
        return Origin.of(
            session,
            address=reply.address,
            agent=reply.agent,
            method=handler.call.method,
            transaction_id=handler.transaction_id,
            trace=trace_fields(reply.traceparent),
        )
