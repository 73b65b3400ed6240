"""The services in an aiohttp application: the application itself, or what it embeds with ``add_subapp``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from aiohttp import hdrs, web

from toto_aio.http.drain import DRAIN, Drain
from toto_aio.http.parent import is_transparent
from toto_aio.http.routes import ROUTES, Routes

BODIES = frozenset((hdrs.METH_POST, hdrs.METH_ANY))
"""The methods of routes that a call could match."""


class Embedded(NamedTuple):
    """A service, and the applications around it, from the outermost."""

    app: web.Application
    around: tuple[web.Application, ...]

    @property
    def routes(self) -> Routes:
        """Its routes."""
        return self.app[ROUTES]

    @property
    def path(self) -> str:
        """The path of its root below all prefixes; "" if that is the root of the site."""
        return root_of(self.app)


def root_of(app: web.Application) -> str:
    """The path of a service's root, below the prefixes of what embeds it; "" at the root of the site."""
    resource = app[ROUTES].root.resource
    assert resource is not None
    return resource.canonical


def find_services(app: web.Application, around: tuple[web.Application, ...] = ()) -> Iterator[Embedded]:
    """The services in an application, however deep."""
    if ROUTES in app:
        yield Embedded(app, around)
    for resource in app.router.resources():
        inner = resource.get_info().get("app")
        if inner is not None:
            yield from find_services(inner, (*around, app))


def is_only_a_service(app: web.Application) -> bool:
    """Whether nothing but a service reads the bodies of the requests to an application."""
    if ROUTES not in app or not all(map(is_transparent, app.middlewares)):
        return False
    resources = list(app.router.resources())
    bodies = {route for resource in resources for route in resource if route.method in BODIES}
    return bodies <= app[ROUTES].every and not any("app" in each.get_info() for each in resources)


def drain_of(app: web.Application) -> Drain:
    """The drain of an application, before it starts: with it begin those of the services in it.

    An application that is not a service gets one, for its own requests.
    """
    if DRAIN not in app:
        app[DRAIN] = drain = Drain(*(service.app[DRAIN] for service in find_services(app)))
        app.on_response_prepare.append(drain.send_away)
    return app[DRAIN]


def is_alone(service: Embedded) -> bool:
    """Whether every POST to the root of a service and below it is its own, as no other route can match it.

    Of the routes that match a path, aiohttp takes the one with the longest fixed beginning.
    """
    return not any(
        _can_match(resource, service.path)
        for app, inner in pairwise((*service.around, service.app))
        for resource in _before(app, inner)
    )


def _before(app: web.Application, inner: web.Application) -> Iterator[web.AbstractResource]:
    """The resources of an application that it may try before the one of an application in it."""
    resources = [(resource, resource.get_info()) for resource in app.router.resources()]
    prefix = next(resource.canonical for resource, info in resources if info.get("app") is inner)
    for resource, info in resources:
        is_below = f"{_fixed(resource)}/".startswith(f"{prefix}/")
        if "rule" in info or (
            is_below and info.get("app") is not inner
        ):  # a rule, such as a domain's, is first
            yield resource


def _can_match(resource: web.AbstractResource, path: str) -> bool:
    """Whether a POST to ``path``, or below it, may match a resource."""
    info = resource.get_info()
    if "rule" in info:
        return True
    if "app" not in info and BODIES.isdisjoint(route.method for route in resource):
        return False
    beginning = resource.canonical.partition("{")[0]
    if "path" in info:  # it matches nothing else
        return beginning == path or beginning.startswith(f"{path}/")
    if "app" in info:
        beginning += "/"
    return beginning.startswith(f"{path}/") or f"{path}/".startswith(beginning)


def _fixed(resource: web.AbstractResource) -> str:
    """The fixed segments that the path of a resource begins with, by which aiohttp looks it up."""
    beginning, brace, _ = resource.canonical.partition("{")
    return (beginning.rpartition("/")[0] if brace else beginning).rstrip("/")
