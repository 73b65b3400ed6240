"""Calls over HTTP, as a client sees them."""

from __future__ import annotations

from typing import Any

from conftest import Serve


async def echo(handler: Any, parameters: dict[str, Any]) -> Any:
    """Answer with the parameters."""
    return parameters


async def test_post_to_the_root(serve: Serve) -> None:
    """A call names its method in the body."""
    service = await serve({"echo": echo})
    response = await service.post(json={"method": "echo", "parameters": {"a": 1}})
    assert (response.status, response.content_type) == (200, "application/json")
    assert await response.json() == {"result": {"a": 1}}
