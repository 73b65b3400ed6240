"""Whether the result of a method is what its return annotation says: in tests, and under ``debug``.

The result itself is sent as it is. What is checked is what a client would read, so that rows, generators that
were read and the application's own encoders count as what they are sent as.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import inspect as types

from toto_aio.codecs import Codec
from toto_aio.dispatch.annotations import node_of
from toto_aio.dispatch.model_types import is_pydantic, read_custom
from toto_aio.dispatch.problems import EnoughError, Search
from toto_aio.dispatch.resolving import UnreadableTypeError
from toto_aio.dispatch.signature import NOTHING

CheckResult = Callable[[Any, Codec], None]
"""Raises ``ResultError`` for a result that breaks the annotation; the codec is JSON's."""


class ResultError(TypeError):
    """A result that is not what the method's return annotation says."""


def result_check(name: str, returns: Any) -> CheckResult | None:
    """The check of a method's results; None if its annotation says nothing of them that can be checked.

    A type that calls cannot have, such as a row of a driver or a generator, says how Python has the result.
    """
    if returns is NOTHING:
        return None
    try:
        node = node_of(returns)
    except UnreadableTypeError:
        return None
    if isinstance(node, types.AnyType):
        return None

    def check(result: Any, json: Codec) -> None:
        try:
            plain = msgspec.json.decode(json.encode_again(result))
        except Exception:
            return  # a generator, which can be read once, or what cannot be sent: the transport says so
        search = Search(read=_read_result)
        with suppress(EnoughError):
            search.visit("result", plain, node)
        if search.problems:
            raise ResultError(f"{name}: {search.problems[0]}")
        try:
            msgspec.convert(plain, returns, str_keys=True, dec_hook=_read_result)
        except (ValueError, RecursionError) as exc:
            raise ResultError(f"{name}: result: {exc}") from exc

    return check


def _read_result(kind: Any, value: Any) -> Any:
    if not is_pydantic(kind):
        return read_custom(kind, value)
    # Results are sent under the names of the fields, whatever their aliases.
    return kind.model_validate(value, by_alias=True, by_name=True)
