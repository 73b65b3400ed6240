"""``create_app``: wires the parts of a service together, and opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from toto_aio.agreement import require_agreement
from toto_aio.contract import page
from toto_aio.contract.discovery import with_discovery
from toto_aio.dispatch.channel_access import ChannelFunctions
from toto_aio.http.bearer import challenge
from toto_aio.http.clients import DisconnectWatcher, StalledConnections
from toto_aio.http.cookies import SessionCookie
from toto_aio.http.cors import Cors
from toto_aio.http.drain import DRAIN, Drain
from toto_aio.http.embedded import root_of
from toto_aio.http.origins import Origins
from toto_aio.http.parent import CLOSE
from toto_aio.http.proxies import TrustedProxies
from toto_aio.http.reply import ReplyContext
from toto_aio.http.routes import add_routes
from toto_aio.importer import Extra, load
from toto_aio.jsonrpc.server import open_rpc
from toto_aio.lifespan import LIFESPAN, Lifespan
from toto_aio.monitoring import health
from toto_aio.monitoring.paths import own_path
from toto_aio.registry import callable_methods, functions_of
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.sources import override
from toto_aio.signing import SCHEMES, Scheme
from toto_aio.transports import Transports
from toto_aio.websocket import endpoint

if TYPE_CHECKING:
    from toto_aio.mail.post import Post
    from toto_aio.monitoring.metrics import Metrics


def create_app(settings: Settings | None = None, **options: Any) -> web.Application:
    """The service as an aiohttp application, to be run, or embedded with ``add_subapp``.

    ``options`` are those of ``Settings``, and override ``settings``. Nothing is read from the environment or
    the command line. The methods are imported here: a module that can't be imported raises what its import
    raised. Databases are opened when the application starts. Raises ``SettingsError``.
    """
    settings = override(settings, options)
    functions = functions_of(settings)
    channels = ChannelFunctions(functions)
    require_agreement(settings, functions)
    found = callable_methods(functions)
    app = web.Application()
    methods = with_discovery(found, settings, app)
    app[DRAIN] = drain = Drain()
    proxies = TrustedProxies(settings.trusted_proxies)
    origins = Origins(settings.allow_origin, proxies)
    cors = Cors(origins, credentials=settings.use_cookies) if settings.allow_origin else None
    signals = [drain.send_away, *([] if cors is None else [cors.add_headers])]
    context = ReplyContext(
        disconnects=DisconnectWatcher(),
        stalled=StalledConnections(),
        proxies=proxies,
        scheme=_scheme(settings.signing),
        cookie=SessionCookie(settings, origins) if settings.use_cookies else None,
        cors=cors,
        drain=drain,
        signals=frozenset(signals),
        challenge=lambda: challenge(root_of(app)),
    )
    metrics = _metrics(settings, proxies) if settings.metrics else None

    if settings.health not in ("", "off"):
        health.add_routes(app, own_path(settings, methods, "health", settings.health, "/live", "/ready"))
    if metrics is not None:
        metrics.add_route(app, own_path(settings, methods, "metrics", "/metrics", ""))
    others = [lambda app, settings: page.add_route(app, settings, functions)]
    post = _post(settings)
    if post is not None:
        others.append(
            partial(load("toto_aio.http.code_pages:add_routes"), methods=found, letters=post.letters)
        )
    if settings.explorer != "off":
        others.append(partial(load("toto_aio.explorer.routes:add_routes"), functions=functions))
    if settings.use_web_sockets:
        others.append(endpoint.add_route)
        if settings.centrifuge:
            others.append(endpoint.add_centrifuge_route)
    read_only: Sequence[str] = ()
    if channels.by_name:
        from toto_aio.http import event_streams  # few services need it

        read_only = event_streams.free_paths(settings, found)
        others.append(partial(event_streams.add_routes, paths=read_only))
    unread = frozenset(
        name for name, each in methods.items() if not each.reachable_by_get(settings.get_methods)
    )
    add_routes(app, settings, others, unread=unread, read_only=read_only)  # last, as the root may be /
    app.on_response_prepare.extend(signals)

    rpc = open_rpc(settings, methods)
    transports = Transports(settings, origins, context, metrics, rpc, read_only)
    app[LIFESPAN] = lifespan = Lifespan(settings, methods, context, metrics, channels, post, transports)
    app[CLOSE] = lifespan.close
    app.cleanup_ctx.append(lifespan.run)
    app.on_shutdown.append(lifespan.stop)
    return app


def _post(settings: Settings) -> Post | None:
    """The mail of the service, if it has any: few import what it takes."""
    return load("toto_aio.mail.post:Post")(settings) if settings.mail else None


def _metrics(settings: Settings, proxies: TrustedProxies) -> Metrics:
    kind = load("toto_aio.monitoring.metrics:Metrics", Extra("metrics need a library", "'toto-aio[metrics]'"))
    metrics: Metrics = kind(settings, proxies)
    return metrics


def _scheme(signing: Any) -> Scheme | None:
    if isinstance(signing, str):
        if signing not in SCHEMES:
            raise SettingsError(f"signing: write one of {', '.join(SCHEMES)}, not {signing!r}")
        return SCHEMES[signing]
    if not all(hasattr(signing, name) for name in ("verify", "sign", "keyed", "nonce_ttl")):
        raise SettingsError(f"signing: expected a scheme with verify and sign, not {signing!r}")
    return signing  # type: ignore[no-any-return]
