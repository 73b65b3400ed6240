"""The messages of calls, alone, in batches and in frames, and the outcomes in what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.matrix.transports import Message, Outcome


def outcome(message: Message) -> Outcome:
    """The outcome in an envelope: one of ``result`` and ``error``."""
    assert ("result" in message) != ("error" in message), message
    assert message.keys() <= {"id", "result", "error", "session"}, message
    return Outcome(message.get("result"), message.get("error"))


def batch(calls: Iterable[tuple[str, Any]]) -> Message:
    """The message of a batch, in the order of its ids."""
    return {
        "batch": {
            f"{number:03}": {"method": method, "parameters": given}
            for number, (method, given) in enumerate(calls)
        }
    }


def outcomes_of_batch(message: Message) -> list[Outcome]:
    """The outcomes in the response to a batch."""
    return [outcome(each) for _, each in sorted(message["batch"].items())]


def frame(number: int, method: str, parameters: Any) -> Message:
    """A frame of a WebSocket."""
    return {"id": number, "method": method, "parameters": parameters}


def request(number: int, method: str, parameters: Any) -> Message:
    """A request of JSON-RPC."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}


def one_request(method: str, parameters: Any) -> Message:
    """One that is alone."""
    return request(1, method, parameters)


def requests(calls: Iterable[tuple[str, Any]]) -> list[Message]:
    """A batch of JSON-RPC."""
    return [request(number, *call) for number, call in enumerate(calls)]


def outcomes_of_requests(messages: list[Message] | Message) -> list[Outcome]:
    """The outcomes in the response to it, in the order of the ids; one if it is refused as a whole."""
    if isinstance(messages, dict):
        return [outcome_of_request(messages)]
    return [outcome_of_request(each) for each in sorted(messages, key=lambda each: each["id"])]


def outcome_of_request(message: Message) -> Outcome:
    """The outcome in a response of JSON-RPC, whose errors have Toto's as their data."""
    if message.keys() == {"error"}:  # of a socket that has not spoken JSON-RPC yet
        return outcome(message)
    assert message["jsonrpc"] == "2.0"
    if "error" not in message:
        return Outcome(message["result"])
    error = dict(message["error"]["data"])
    code = RPC_CODES.get(error["code"], error["code"]) if message["id"] is not None else INVALID_REQUEST
    assert message["error"]["code"] == code
    return Outcome(error=error)


def command(number: int, method: str, parameters: Any) -> Message:
    """A command of Centrifuge."""
    return {"id": number, "rpc": {"method": method, "data": parameters}}


def outcome_of_reply(reply: Message) -> Outcome:
    """The outcome in a reply, whose errors are text: the value, or JSON if there is more of it."""
    if "error" not in reply:
        assert reply.keys() == {"id", "rpc"}, reply
        return Outcome(reply["rpc"]["data"])
    error = dict(reply["error"])
    assert error.pop("temporary", False) == (error["code"] in TEMPORARY)
    message = error.pop("message")
    told = json.loads(message) if message.startswith("{") else {"value": message}
    return Outcome(error={**error, **told})


TEMPORARY = {1011, 1012, 1014}
"""The codes of errors after which the same call may succeed."""
INVALID_REQUEST = -32600
RPC_CODES = {1000: -32603, 1001: -32601, 1002: -32600, 1003: -32602}
"""The codes of JSON-RPC that mean the same as Toto's."""
