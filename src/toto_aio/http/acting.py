"""Who acts in a request to a page of the application around a service, for the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from aiohttp import web

from toto_aio.auth.audit import Origin
from toto_aio.dispatch.trace import trace_fields
from toto_aio.http.reply import HTTPReply, ReplyContext

if TYPE_CHECKING:
    from toto_aio.auth.caller import Caller


class PageActing:
    """Tells who acts while a page is made. It doesn't hold the request."""

    is_over = False
    """Whether the handler of the page has returned; the task of its connection goes on with another one."""

    def __init__(self, request: web.Request, context: ReplyContext, caller: Caller) -> None:
        self._request = ref(request)
        self._context = context
        self._caller = caller

    def __call__(self) -> Origin | None:
        """The user of the session, as far as the page has asked for it."""
        request = self._request()
        if request is None or self.is_over:
            return None
        session = self._caller.session
        reply = HTTPReply(request, self._context)
        resource = request.match_info.route.resource
        path = "" if resource is None else f" {resource.canonical}"
        return Origin.of(
            session,
            address=reply.address,
            agent=reply.agent,
            method=f"{request.method}{path}",
            trace=trace_fields(reply.traceparent),
        )
