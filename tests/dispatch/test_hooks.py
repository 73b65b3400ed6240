"""Hooks around calls: those of a service's options, and those of the process, as in Toto."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.service import Serve
from toto_aio import Handler, TotoException
from toto_aio.dispatch.hooks import fitted

Parameters = dict[str, Any]


@pytest.fixture(autouse=True)
def no_hooks() -> Iterator[None]:
    """The process has no hooks of its own after a test."""
    yield
    Handler.set_before_handler(None)
    Handler.set_after_handler(None)


async def echo(handler: Handler, parameters: Parameters) -> Any:
    """Return the parameters."""
    return parameters


async def test_hooks_of_the_process(serve: Serve) -> None:
    """They are called around every call of every service, those that run already included."""
    seen: list[Any] = []

    def before(handler: Handler, transaction_id: str, method: str) -> None:
        seen.append(("before", handler.transaction_id == transaction_id, method))

    async def after(handler: Handler, transaction_id: str) -> None:
        seen.append(("after", handler.transaction_id == transaction_id))

    first = await serve({"echo": echo})
    Handler.set_before_handler(before)
    Handler.set_after_handler(after)
    second = await serve({"echo": echo}, use_web_sockets=True)
    for service in (first, second):
        await service.result("echo")
        assert seen == [("before", True, "echo"), ("after", True)]
        seen.clear()
    await second.post(json={"batch": {"a": {"method": "echo"}, "b": {"method": "echo"}}})
    assert len(seen) == 4
    async with second.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "method": "echo"})
        await socket.receive_json()
    assert len(seen) == 6
    Handler.set_before_handler(None)
    Handler.set_after_handler(None)
    await first.result("echo")
    assert len(seen) == 6


async def test_an_option_is_stronger(serve: Serve) -> None:
    """A service that has an option for a hook keeps it."""
    seen: list[str] = []
    service = await serve({"echo": echo}, before_handler=lambda handler, tid, method: seen.append("own"))
    Handler.set_before_handler(lambda handler, tid, method: seen.append("before of the process"))
    Handler.set_after_handler(lambda handler, tid: seen.append("after of the process"))
    await service.result("echo")
    assert seen == ["own", "after of the process"]


async def test_a_hook_of_the_process_that_raises(serve: Serve) -> None:
    """It refuses the call, as one of an option does."""

    def closed(handler: Handler, transaction_id: str, method: str) -> None:
        raise TotoException(2002, "closed")

    service = await serve({"echo": echo})
    Handler.set_before_handler(closed)
    assert await service.call("echo") == {"error": {"code": 2002, "value": "closed"}}


async def test_an_after_handler_of_two_arguments(serve: Serve) -> None:
    """As Toto called it; with three it gets the method's name."""
    seen: list[Any] = []
    for after in (
        lambda handler, transaction_id: seen.append(len(transaction_id)),
        lambda handler, transaction_id, method: seen.append(method),
        lambda *args: seen.append(len(args)),
    ):
        service = await serve({"echo": echo}, after_handler=after)
        await service.result("echo")
    assert seen == [16, "echo", 3]


def test_hooks_without_a_signature() -> None:
    """A function of C is called with three arguments."""
    assert fitted(print) is print
    assert fitted(max) is max
    assert fitted(None) is None
