"""Options that stand for something of the application's: an ``AppKey``, or a function of the application.

    APP_POOL = web.AppKey("APP_POOL", asyncpg.Pool)
    create_app(database=APP_POOL)

    async def open_pool(application):
        async with asyncpg.create_pool("postgresql:///notes") as pool:
            yield pool

    create_app(database=open_pool)

They are resolved when the service starts. What they stand for is closed by whoever opened it: the function
itself if it is a generator or a context manager, the application if it only returned the object, and the
service if what it returned is a URL.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web

from toto_aio.exceptions import Unavailable, described
from toto_aio.http.parent import PARENT
from toto_aio.settings import SettingsError


def is_deferred(value: Any) -> bool:
    """Whether the value of an option is resolved when the service starts."""
    return isinstance(value, web.AppKey) or _is_function(value)


async def resolve(option: str, value: Any, app: web.Application, stack: AsyncExitStack) -> Any:
    """What the value of an option stands for in an application; any other value as it is.

    A generator or context manager ends with the ``stack``. Raises ``SettingsError``, or ``Unavailable`` for
    what could not be reached.
    """
    if isinstance(value, web.AppKey):
        return _under_key(option, value, app)
    if _is_function(value):
        return await _returned(option, value, app.get(PARENT, app), stack)
    return value


def _under_key(option: str, key: web.AppKey[Any], app: web.Application) -> Any:
    parent = app.get(PARENT)
    for application in (app, parent):
        if application is not None and application.get(key) is not None:
            return application[key]
    where = (
        "before the service starts, or if it is a key of the application around the service, call "
        "toto_aio.middleware.setup(application, service)"
        if parent is None
        else "before the service starts, such as in cleanup_ctx of the application"
    )
    raise SettingsError(f"{option}: nothing is set under {key!r}; set it {where}")


async def _returned(
    option: str, function: Callable[..., Any], application: web.Application, stack: AsyncExitStack
) -> Any:
    try:
        result = function(application)
        if inspect.isasyncgen(result):
            result = asynccontextmanager(lambda: result)()
        elif isinstance(result, Coroutine):  # clients that can be awaited need not be
            result = await result
        if _is_context(result):
            context, result = result, await result.__aenter__()
            # As aiohttp ends what is in cleanup_ctx: whatever follows its yield runs, also after an error.
            stack.push_async_callback(context.__aexit__, None, None, None)
    except (SettingsError, Unavailable):
        raise
    except OSError as exc:
        raise Unavailable(f"{option}: {_name(function)} raised {described(exc)}") from exc
    except Exception as exc:
        raise SettingsError(f"{option}: {_name(function)} raised {described(exc)}") from exc
    if result is None:
        raise SettingsError(
            f"{option}: {_name(function)} returned None; return or yield a URL, or what is ready for use"
        )
    return result


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, partial)


def _is_context(value: Any) -> bool:
    """Whether a value is only for ``async with``. Clients and pools can be used so, too, but need not be."""
    return type(value).__module__ == "contextlib" and isinstance(value, AbstractAsyncContextManager)


def _name(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
