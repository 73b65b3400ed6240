"""Opens the connections of one app to clients of Centrifuge."""

from __future__ import annotations

import logging
from functools import partial

from aiohttp import hdrs, web

from toto_aio.centrifuge.connection import CentrifugeSocket, Limits
from toto_aio.centrifuge.wire import JSONWire, Spoken
from toto_aio.importer import Extra, load
from toto_aio.settings import Settings, SettingsError
from toto_aio.websocket.endpoint import Sockets

logger = logging.getLogger(__name__)

JSON, PROTOBUF = "centrifuge-json", "centrifuge-protobuf"
"""The sub-protocols."""
EXTRA = Extra("Protobuf needs a library", "'toto-aio[centrifuge]'")


async def serve(request: web.Request, sockets: Sockets) -> web.StreamResponse:
    """Open a connection, and serve it until it is closed."""
    name = PROTOBUF if _asks_for_protobuf(request) else JSON
    try:
        spoken = _spoken(sockets, name)
    except SettingsError as exc:
        logger.warning("a client of Centrifuge was refused: %s", exc)
        raise web.HTTPNotImplemented(text="This service speaks JSON only.") from exc
    make = partial(CentrifugeSocket, spoken, _limits(sockets.settings))
    return await sockets.serve(request, make, protocols=(name,), heartbeat=None)


def _asks_for_protobuf(request: web.Request) -> bool:
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
    named = {each.strip() for each in offered.split(",")}
    return PROTOBUF in named or "protobuf" in (request.query.get("cf_protocol"), request.query.get("format"))


def _spoken(sockets: Sockets, name: str) -> Spoken:
    """What the connections of an app share. Raises ``SettingsError`` if a library is missing."""
    if name not in sockets.protocols:
        wire = JSONWire if name == JSON else load("toto_aio.centrifuge.protobuf_wire:ProtobufWire", EXTRA)
        sockets.protocols[name] = Spoken(wire(sockets.codecs["application/json"]))
    spoken: Spoken = sockets.protocols[name]
    return spoken


def _limits(settings: Settings) -> Limits:
    # A client that comes back subscribes to all of its channels in one frame.
    commands = settings.batch_limit + settings.socket_channels + 1
    return Limits(commands, settings.batch_concurrency, settings.socket_opened_method)
