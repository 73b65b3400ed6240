"""The contracts of a few methods, compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from toto_aio import Handler
from toto_aio.contract.compare import changes
from toto_aio.contract.file import read_contract, write_contract
from toto_aio.contract.interface import Interface, read_interface
from toto_aio.contract.openapi import openapi
from toto_aio.registry import find_functions
from toto_aio.settings import read_settings


def contract_of(**methods: Any) -> Interface:
    """The contract of these methods, as it is read from its file."""
    settings = read_settings({"method_module": methods})
    document = msgspec.json.decode(
        msgspec.json.encode(openapi(find_functions(methods, 60), settings, "/service"))
    )
    return read_contract(write_contract(read_interface(document)))


def compared(before: Any, after: Any) -> list[str]:
    """The changes of the method ``m``."""
    return [str(each) for each in changes(contract_of(m=before), contract_of(m=after))]


async def plain(handler: Handler) -> None:
    """A method."""


def with_rules(*decorators: Callable[[Any], Any]) -> Any:
    """A method with these decorators."""

    async def method(handler: Handler) -> None: ...

    for each in decorators:
        method = each(method)
    return method
