"""The application that a process serves: the service of its settings, or one that the command line names."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from toto_aio.agreement import require_sharing
from toto_aio.app import create_app
from toto_aio.http.embedded import find_services
from toto_aio.importer import import_named
from toto_aio.lifespan import LIFESPAN
from toto_aio.server.processes import LOCAL_EVENTS, count_processes, has_local_events, require_shared_stores
from toto_aio.settings import Settings, SettingsError

Warn = Callable[[str], None]


def open_application(
    settings: Settings, name: str | None, warn: Warn
) -> web.Application | Awaitable[web.Application]:
    """The service of the settings; or the application ``name``, ``package.module:attribute``, with services.

    It may have to be awaited, as what is named may be a coroutine function. Raises ``SettingsError`` with
    one line, and what the import of the module raises. What deserves a warning is passed to ``warn``.
    """
    if name is None:
        return create_app(settings)
    module, _, path = name.partition(":")
    found = import_named(name, module, "package.module:application")
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            raise SettingsError(
                f"{name}: {_named(found)} has no {attribute!r}: write {module}:{_example(found)}"
            )
        found = getattr(found, attribute)
    if not isinstance(found, web.Application) and callable(found):
        found = _called(name, found)
    if inspect.isawaitable(found):
        return _awaited(settings, name, found, warn)
    return _checked(settings, name, found, warn)


def _called(name: str, factory: Callable[..., Any]) -> Any:
    try:
        inspect.signature(factory).bind()
    except TypeError as exc:
        raise SettingsError(
            f"{name}: write a function without arguments, which returns the application"
        ) from exc
    except ValueError:
        pass  # its signature isn't known
    return factory()


async def _awaited(settings: Settings, name: str, found: Awaitable[Any], warn: Warn) -> web.Application:
    return _checked(settings, name, await found, warn)


def _checked(settings: Settings, name: str, found: Any, warn: Warn) -> web.Application:
    """The application, once its services can run in as many processes, and have as long for their end."""
    if not isinstance(found, web.Application):
        raise SettingsError(
            f"{name}: write an aiohttp.web.Application, or a function that returns one, not {found!r:.100}"
        )
    if found.frozen:
        raise SettingsError(
            f"{name}: this application has been started or frozen already: leave that to toto-aio serve"
        )
    services = [service.app[LIFESPAN] for service in find_services(found)]
    if not services:
        raise SettingsError(
            f"{name}: there is no service in it: write application.add_subapp('/api', create_app(...))"
        )
    for service in services:
        service.shutdown_timeout = settings.shutdown_timeout
        if count_processes(settings) > 1:
            require_shared_stores(service.settings)
            require_sharing(service.settings, service.functions)
            if has_local_events(service.settings):
                warn(LOCAL_EVENTS)
    return found


def _named(thing: Any) -> str:
    name = getattr(thing, "__name__", None)
    return name if isinstance(name, str) else repr(thing)


def _example(module: Any) -> str:
    """The name of an application in a module, or what is mostly written."""
    names = (name for name, value in vars(module).items() if isinstance(value, web.Application))
    return next(names, "application")
