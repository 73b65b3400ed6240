"""The examples of the specification (https://www.jsonrpc.org/specification, 7), word for word."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.limits import WATCHDOG
from tests.support.service import Serve

EXAMPLES = """
rpc call with positional parameters:

--> {"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}
<-- {"jsonrpc": "2.0", "result": 19, "id": 1}

--> {"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}
<-- {"jsonrpc": "2.0", "result": -19, "id": 2}

rpc call with named parameters:

--> {"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}
<-- {"jsonrpc": "2.0", "result": 19, "id": 3}

--> {"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}
<-- {"jsonrpc": "2.0", "result": 19, "id": 4}

a Notification:

--> {"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}
--> {"jsonrpc": "2.0", "method": "foobar"}

rpc call of non-existent method:

--> {"jsonrpc": "2.0", "method": "foobar", "id": "1"}
<-- {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}

rpc call with invalid JSON:

--> {"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]
<-- {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}

rpc call with invalid Request object:

--> {"jsonrpc": "2.0", "method": 1, "params": "bar"}
<-- {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}

rpc call Batch, invalid JSON:

--> [
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]
<-- {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}

rpc call with an empty Array:

--> []
<-- {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}

rpc call with an invalid Batch (but not empty):

--> [1]
<-- [
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
]

rpc call with invalid Batch:

--> [1,2,3]
<-- [
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
  {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
]

rpc call Batch:

--> [
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]
<-- [
        {"jsonrpc": "2.0", "result": 7, "id": "1"},
        {"jsonrpc": "2.0", "result": 19, "id": "2"},
        {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
        {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
    ]

rpc call Batch (all notifications):

--> [
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]
<-- //Nothing is returned for all notification batches
"""
NOTIFIED: list[Any] = []


async def subtract(minuend: int, subtrahend: int) -> int:
    """Subtract."""
    return minuend - subtrahend


async def add(a: int, b: int, c: int) -> int:
    """Add."""
    return a + b + c


async def update(a: int, b: int, c: int, d: int, e: int) -> None:
    """Take five numbers."""
    NOTIFIED.append((a, b, c, d, e))


async def notify_hello(number: int) -> None:
    """Take a number."""
    NOTIFIED.append(number)


async def get_data() -> list[Any]:
    """Return data."""
    return ["hello", 5]


METHODS = {
    "subtract": subtract,
    "sum": add,
    "update": update,
    "notify_hello": notify_hello,
    "notify_sum": add,
    "get_data": get_data,
}


def examples() -> list[tuple[str, Any]]:
    """Each message with the response to it; None for nothing."""
    found = []
    for example in re.split(r"^--> ", EXAMPLES, flags=re.MULTILINE)[1:]:
        message, _, response = re.sub(r"\n\n.*", "", example, flags=re.DOTALL).partition("\n<-- ")
        found.append((message, json.loads(response) if "{" in response else None))
    return found


def without_data(response: Any) -> Any:
    """A response without what the specification leaves to servers."""
    for each in response if isinstance(response, list) else [response]:
        if "error" in each:
            assert each["error"].pop("data")["code"] in range(1000, 1014)
    return response


async def test_over_http(serve: Serve) -> None:
    """All responses are those of the specification, with status 200, or 204 for notifications alone."""
    service = await serve(METHODS)
    NOTIFIED.clear()
    assert len(examples()) == 15
    for message, expected in examples():
        response = await service.post("/rpc", data=message, headers={"Content-Type": "application/json"})
        if expected is None:
            assert (response.status, await response.read()) == (204, b""), message
        else:
            assert response.status == 200
            assert without_data(await response.json()) == expected, message
    assert NOTIFIED == [(1, 2, 3, 4, 5), 7, 7]


async def test_over_a_websocket(serve: Serve) -> None:
    """The same in frames, of which nothing but responses is sent."""
    service = await serve(METHODS)
    NOTIFIED.clear()
    async with service.client.ws_connect("/service/websocket") as socket:
        for message, expected in examples():
            await socket.send_str(message)
            if expected is not None:
                found = json.loads(await socket.receive_str(timeout=WATCHDOG))
                assert without_data(found) == expected, message
        await socket.send_json({"id": 1, "method": "get_data"})
        assert await socket.receive_json(timeout=WATCHDOG) == {"id": 1, "result": ["hello", 5]}
    assert NOTIFIED == [(1, 2, 3, 4, 5), 7, 7]
