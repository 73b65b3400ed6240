"""Calls of methods, as the commands ``rpc`` and ``send`` name them.

Clients can send nothing beside a name and data, so what other ways in have beside the parameters is a query
of the name: ``pay?idempotency_key=order-7&timeout=2.5``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from toto_aio.centrifuge.commands import Rpc
from toto_aio.dispatch.call import MEMBER as KEY
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.client_limit import MEMBER as TIMEOUT
from toto_aio.dispatch.client_limit import end_of_text
from toto_aio.exceptions import InvalidParameters

MEMBERS = (KEY, TIMEOUT)


def call_of_rpc(call: Call, request: Rpc) -> None:
    """Make a call of a command. Raises ``InvalidParameters`` for a query that cannot be."""
    call.name, asks, query = request.method.partition("?")
    call.parameters = {} if request.data is None else request.data
    if not asks:
        return
    try:
        found = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=len(MEMBERS))
    except ValueError:
        found = []
    members = dict(found)
    if len(members) != len(found) or not members or not members.keys() <= set(MEMBERS):
        raise InvalidParameters(f"{call.name}?...: write {KEY}=..., {TIMEOUT}=2.5, or both joined by &")
    if TIMEOUT in members:
        call.ends = end_of_text(members.pop(TIMEOUT))
    call.message = dict(members)


def call_of_send(data: Any) -> Call | None:
    """The call that gets no response; None for data of another kind."""
    if type(data) is not dict or type(data.get("method")) is not str:
        return None
    parameters = data.get("parameters")
    return Call(data["method"], {} if parameters is None else parameters, message=data)
