"""``rpc.discover``: the method by which clients of JSON-RPC ask for the OpenRPC document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from toto_aio.contract.visibility import Documents
from toto_aio.dispatch.handler import Handler
from toto_aio.dispatch.method import Method, compile_method
from toto_aio.dispatch.policy import limited
from toto_aio.http.embedded import root_of
from toto_aio.invocation import authenticated, safe
from toto_aio.jsonrpc.server import PATH
from toto_aio.settings import Settings

NAME = "rpc.discover"
"""Its name in OpenRPC. JSON-RPC keeps names that begin with ``rpc.`` for such methods."""


def with_discovery(
    methods: Mapping[str, Method], settings: Settings, app: web.Application
) -> Mapping[str, Method]:
    """The methods and ``rpc.discover``, unless an option turns it off or the author has one.

    It shows what the option ``openapi`` shows, to the same callers.
    """
    if NAME in methods or "off" in (settings.openapi, settings.json_rpc):
        return methods

    def make(shown: Mapping[str, Method]) -> dict[str, Any]:
        from toto_aio.contract.openrpc import openrpc  # here, as no start needs it

        return openrpc(shown, settings, f"{root_of(app)}/{PATH}")

    documents = Documents(methods, settings, make)

    async def invoke(handler: Handler, parameters: dict[str, Any]) -> dict[str, Any]:
        """The methods of the service, as OpenRPC describes them."""
        return await documents.shown_to(None if documents.are_public else handler.session)

    function = safe(invoke if documents.are_public else authenticated(invoke))
    own = {NAME: compile_method(NAME, function, settings.method_timeout)}
    return {**methods, **limited(own, settings)}
