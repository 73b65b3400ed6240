"""Forms that a browser posts: plain values, and where the browser goes after one of an account method."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from yarl import URL

from toto_aio.dispatch.answers import Redirect
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.handler import Handler
from toto_aio.exceptions import InvalidParameters, SecondFactorRequired, TotoException
from toto_aio.names import shortened

P = ParamSpec("P")

SEE_OTHER = 303
MAX_PATH = 2048
"""The most characters of a path that a form names."""


def read_fields(call: Call) -> None:
    """Make plain values of the lists in a form, and take out where the browser is to go.

    Raises ``InvalidParameters``.
    """
    parameters = call.parameters
    if parameters.keys() == {"arguments", "files"} and isinstance(parameters["files"], dict):
        if parameters["files"]:
            raise InvalidParameters(f"'{call.method}' takes no files.")
        parameters = parameters["arguments"]
    fields = {name: _only(name, values) for name, values in parameters.items()}
    call.error_redirect_to = _path("error_redirect_to", fields)
    call.redirect_to = _path("redirect_to", fields)
    call.parameters = fields


def fields_by_name(parameters: Any) -> dict[str, Any]:
    """The fields of a form, each one value or a list: its text and its files are one set of names."""
    if parameters.keys() != {"arguments", "files"} or not isinstance(parameters["files"], dict):
        fields = parameters
    else:
        fields = dict(parameters["arguments"])
        for name, files in parameters["files"].items():
            fields[name] = [*fields.get(name, ()), *files]
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def take(name: str, parameters: dict[str, Any], call: Call) -> Any:
    """Take what the service itself needs out of the parameters, whose only value in a form is not a list."""
    if not call.by_form:
        return parameters.pop(name, None)
    fields = parameters
    if parameters.keys() == {"arguments", "files"} and isinstance(parameters["arguments"], dict):
        fields = parameters["arguments"]
    values = fields.pop(name, None)
    return values[0] if isinstance(values, list) and len(values) == 1 else values


def redirects_form(
    invoke: Callable[Concatenate[Handler, P], Coroutine[Any, Any, Any]],
) -> Callable[Concatenate[Handler, P], Coroutine[Any, Any, Any]]:
    """Send the browser to the ``redirect_to`` of its form after the method, instead of a result."""

    @wraps(invoke)
    async def then_redirect(handler: Handler, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        result = await invoke(handler, *args, **kwargs)
        if handler.call.redirect_to is not None:
            handler.redirect(handler.call.redirect_to, SEE_OTHER)
        return result

    return then_redirect


def redirect_after(exc: Exception, call: Call) -> Redirect | None:
    """Where a form goes after an error: ``error_redirect_to``, with the code as ``error`` in the query.

    The form of the second step of a login needs the ``ticket`` of the first, which is in the query as well.
    """
    if call.error_redirect_to is None:
        return None
    query = {"error": str(exc.code if isinstance(exc, TotoException) else 1000)}
    if isinstance(exc, SecondFactorRequired):
        query["ticket"] = exc.ticket  # without the code it is worth nothing
    return Redirect(str(URL(call.error_redirect_to).update_query(query)), SEE_OTHER)


def _only(name: str, values: Any) -> str:
    if len(values) != 1:
        raise InvalidParameters(f"{shortened(name)}: one value is expected, not {len(values)}")
    return str(values[0])


def _path(name: str, fields: dict[str, str]) -> str | None:
    """A path of this site, so that no form of another site can send a user to a third one."""
    path = fields.pop(name, None)
    if path is None:
        return None
    is_here = path.startswith("/") and not path.startswith("//") and "\\" not in path
    if not is_here or not path.isprintable() or len(path) > MAX_PATH:
        raise InvalidParameters(f"{name}: write a path of this site, such as /notes")
    return path
