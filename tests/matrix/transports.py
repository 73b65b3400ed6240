"""The ways in to a service: each makes the same calls. A new one is a row of ``served``.

What a transport can't carry, it says by ``carries``; what it adds to an outcome, its status, is None where
it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import aiohttp

from tests.matrix.cases import Case, Own
from tests.matrix.forms import FORMS, JSON, MSGPACK, Form, as_text
from tests.support.limits import WATCHDOG
from tests.support.service import Service
from toto_aio import TotoException
from toto_aio.client import Client, SessionCredentials
from toto_aio.client import Response as ClientResponse
from toto_aio.dispatch.answers import RawAnswer, Redirect
from toto_aio.in_process import OpenService

Message = dict[str, Any]
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a call: a ``result``, an ``error`` or ``own`` bytes.

    ``status`` and ``wait``, the seconds of ``Retry-After``, are None where a transport has none.
    """

    result: Any = None
    error: Message | None = None
    own: Own | None = None
    status: int | None = None
    wait: int | None = None


class Transport(Protocol):
    """A way in, of one codec.

    ``alone``: each call has a response of its own, for bytes of a method's own. ``seen`` is what a classic
    method is given for parameters.
    """

    name: str
    form: Form
    alone: bool

    def carries(self, case: Case) -> bool:
        """Whether the transport can say what the call is."""
        ...

    def seen(self, parameters: Parameters) -> Any:
        """What a classic method is given."""
        ...

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        """The outcomes of calls, all of them by someone who shows this session."""
        ...


class Row:
    """What most transports have in common: objects with names, and one call after the other."""

    alone = True

    def __init__(self, name: str, form: Form) -> None:
        self.name = f"{name}, {form.name}"
        self.form = form

    def carries(self, case: Case) -> bool:
        return True

    def seen(self, parameters: Parameters) -> Any:
        return dict(parameters)

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        return [await self.call(method, self.form.write(parameters), session) for method, parameters in calls]

    async def call(self, method: str, parameters: Any, session: str | None) -> Outcome:
        raise NotImplementedError


class Post(Row):
    """One call in one request. ``body`` makes the body, ``path`` the path below the root.

    ``unpack`` is how a response is read that says nothing by its status.
    """

    def __init__(
        self,
        name: str,
        form: Form,
        service: Service,
        path: Callable[[str], str],
        body: Callable[[str, Any], Any],
        *,
        header: str = "x-toto-session-id",
        unpack: Callable[[Message], Outcome] | None = None,
    ) -> None:
        super().__init__(name, form)
        self._service = service
        self._path = path
        self._body = body
        self._header = header
        self._unpack = unpack
        self.alone = unpack is None

    async def call(self, method: str, parameters: Any, session: str | None) -> Outcome:
        headers = {"content-type": self.form.content_type, **shown(session, self._header)}
        body = self.form.dumps(self._body(method, parameters))
        async with self._service.client.post(
            f"{self._service.root}{self._path(method)}", data=body, headers=headers, allow_redirects=False
        ) as response:
            if self._unpack is None:
                return await read(response, self.form)
            assert response.status == 200
            return self._unpack(self.form.loads(await response.read()))


class Text(Row):
    """Parameters as text: those of a query, or the fields of a form."""

    def __init__(
        self,
        name: str,
        service: Service,
        request: Callable[[list[tuple[str, str]]], Message],
        seen: Callable[[dict[str, list[str]]], Any],
        *,
        verb: str = "POST",
        by_name: bool = True,
    ) -> None:
        super().__init__(name, JSON)
        self._service = service
        self._request = request
        self._seen = seen
        self._verb = verb
        self._by_name = by_name

    def carries(self, case: Case) -> bool:
        return as_text(case.parameters) is not None and (self._by_name or not case.by_name)

    def seen(self, parameters: Parameters) -> Any:
        lists: dict[str, list[str]] = {}
        for name, value in as_text(parameters) or ():
            lists.setdefault(name, []).append(value)
        return self._seen(lists)

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        return [await self.call(method, as_text(parameters), session) for method, parameters in calls]

    async def call(self, method: str, parameters: Any, session: str | None) -> Outcome:
        url = f"{self._service.root}/{method}"
        request = self._request(parameters)
        headers = {**request.pop("headers", {}), **shown(session)}
        async with self._service.client.request(
            self._verb, url, headers=headers, allow_redirects=False, **request
        ) as response:
            return await read(response, JSON)


class Batch(Row):
    """All calls in one request. ``pack`` makes the message, ``unpack`` finds the outcomes in the response."""

    alone = False
    size = 50

    def __init__(
        self,
        name: str,
        form: Form,
        service: Service,
        path: str,
        pack: Callable[[Iterable[tuple[str, Any]]], Any],
        unpack: Callable[[Any], Iterable[Outcome]],
    ) -> None:
        super().__init__(name, form)
        self._service = service
        self._path = path
        self._pack = pack
        self._unpack = unpack

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        headers = {"content-type": self.form.content_type, **shown(session)}
        for start in range(0, len(calls), self.size):
            some = [(name, self.form.write(given)) for name, given in calls[start : start + self.size]]
            body = self.form.dumps(self._pack(some))
            response = await self._service.post(self._path, data=body, headers=headers)
            assert response.status == 200
            outcomes += self._unpack(self.form.loads(await response.read()))
        return outcomes


class Socket(Row):
    """Frames of a WebSocket, which is opened with the session, all sent before the first is received."""

    alone = False

    def __init__(
        self,
        name: str,
        form: Form,
        service: Service,
        pack: Callable[[int, str, Any], Message],
        unpack: Callable[[Message], Outcome],
    ) -> None:
        super().__init__(name, form)
        self._service = service
        self._pack = pack
        self._unpack = unpack

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        found: dict[int, Outcome] = {}
        url = f"{self._service.root}/websocket"
        async with self._service.client.ws_connect(url, headers=shown(session)) as socket:
            for number, (method, parameters) in enumerate(calls):
                body = self.form.dumps(self._pack(number, method, self.form.write(parameters)))
                await (socket.send_str(body.decode()) if self.form is JSON else socket.send_bytes(body))
            for _ in calls:
                data = (await socket.receive(timeout=WATCHDOG)).data
                frame = self.form.loads(data.encode() if self.form is JSON else data)
                found[frame["id"]] = self._unpack(frame)
        return [found[number] for number in range(len(calls))]


class OfClient(Row):
    """The Python client. ``use`` makes a call with it."""

    def __init__(
        self,
        name: str,
        form: Form,
        service: Service,
        use: Callable[[Client, str, Parameters], Any],
        *,
        alone: bool = False,
    ) -> None:
        super().__init__(name, form)
        self._url = str(service.client.make_url(service.root))
        self._use = use
        self.alone = alone

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        outcomes = []
        async with Client(self._url, encoding=self.form.name, signing="off") as client:
            for method, parameters in calls:
                another = client.another()
                another.session = None if session is None else SessionCredentials(session)
                outcomes.append(await self._outcome(another, method, self.form.write(parameters)))
        return outcomes

    async def _outcome(self, client: Client, method: str, parameters: Any) -> Outcome:
        try:
            result = await self._use(client, method, parameters)
        except TotoException as exc:
            return raised(exc)
        if not isinstance(result, ClientResponse):
            return Outcome(result)
        if result.message is None:
            location = result.headers.get("Location", "")
            return Outcome(own=Own(result.body, result.content_type, result.status, location))
        return Outcome(result.message["result"], status=result.status)


class InProcess(Row):
    """``open_service``, which has neither codec nor status: an exception is what the method raised."""

    def __init__(self, service: OpenService) -> None:
        super().__init__("in process", IN_PYTHON)
        self._service = service

    async def call(self, method: str, parameters: Any, session: str | None) -> Outcome:
        try:
            result = await self._service.call(method, parameters, session_id=session)
        except TotoException as exc:
            return raised(exc)
        if isinstance(result, RawAnswer):
            return Outcome(own=Own(result.body, result.content_type))
        if isinstance(result, Redirect):
            return Outcome(own=Own(b"", "", result.status, result.url))
        return Outcome(result)


def served(service: Service) -> list[Transport]:
    """The ways in to a service that is served."""

    def by_method(method: str, parameters: Any) -> Message:
        return {"method": method, "parameters": parameters}

    def below(method: str) -> str:
        return "/" + method.replace(".", "/")

    def rpc(method: str) -> str:
        return "/rpc"

    rows: list[Transport] = []
    for form in FORMS:
        rows += [
            Post("POST", form, service, lambda method: "", by_method),
            Post("URL", form, service, below, lambda method, given: {"parameters": given}),
            Batch("batch", form, service, "", batch, outcomes_of_batch),
            Post("JSON-RPC", form, service, rpc, one_request, unpack=outcome_of_request),
            OfClient("client", form, service, Client.fetch, alone=True),
        ]
    rows += [
        Post("URL with the parameters as the body", JSON, service, below, lambda method, given: given),
        Post("bearer", JSON, service, lambda method: f"/{method}/", by_method, header="authorization"),
        Text("GET", service, lambda fields: {"params": fields}, alone_or_listed, verb="GET"),
        Text("form", service, lambda fields: {"data": aiohttp.FormData(fields)()}, dict),
        Text("multipart", service, multipart, lambda lists: {"arguments": lists, "files": {}}, by_name=False),
        Batch("JSON-RPC batch", JSON, service, "/rpc", requests, outcomes_of_requests),
        Batch("JSON-RPC batch", MSGPACK, service, "/rpc", requests, outcomes_of_requests),
        OfClient("client's batch", JSON, service, in_a_batch),
    ]
    for form in (JSON, MSGPACK):
        rows += [
            Socket("WebSocket", form, service, lambda number, *call: {"id": number, **by_method(*call)}, outcome),
            Socket("JSON-RPC over a WebSocket", form, service, request, outcome_of_request),
            OfClient("client's socket", form, service, over_a_socket),
        ]
    return rows


def shown(session: str | None, header: str = "x-toto-session-id") -> dict[str, str]:
    """The headers that show a session."""
    if session is None:
        return {}
    return {header: f"Bearer {session}" if header == "authorization" else session}


async def read(response: aiohttp.ClientResponse, form: Form) -> Outcome:
    """The outcome in a response of HTTP, errors with their status."""
    body, status, content_type = await response.read(), response.status, response.content_type
    if content_type != form.content_type:
        return Outcome(own=Own(body, content_type, status, response.headers.get("Location", "")))
    wait = response.headers.get("Retry-After")
    found = outcome(form.loads(body))
    assert found.error is None or (status != 401) == ("WWW-Authenticate" not in response.headers)
    return replace(found, status=status, wait=None if wait is None else int(wait))


def outcome(message: Message) -> Outcome:
    """The outcome in an envelope: one of ``result`` and ``error``."""
    assert ("result" in message) != ("error" in message), message
    assert message.keys() <= {"id", "result", "error", "session"}, message
    return Outcome(message.get("result"), message.get("error"))


def raised(exc: TotoException) -> Outcome:
    """The outcome of a call that raised."""
    return Outcome(error=exc.as_dict())


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


def request(number: int, method: str, parameters: Any) -> Message:
    """A request of JSON-RPC."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}


def one_request(method: str, parameters: Any) -> Message:
    """One that is alone."""
    return request(1, method, parameters)


def requests(calls: Iterable[tuple[str, Any]]) -> list[Message]:
    """A batch of JSON-RPC."""
    return [request(number, *call) for number, call in enumerate(calls)]


def outcomes_of_requests(messages: list[Message]) -> list[Outcome]:
    """The outcomes in the response to it, in the order of the ids."""
    return [outcome_of_request(each) for each in sorted(messages, key=lambda each: each["id"])]


def outcome_of_request(message: Message) -> Outcome:
    """The outcome in a response of JSON-RPC, whose errors have Toto's as their data."""
    assert message["jsonrpc"] == "2.0"
    if "error" not in message:
        return Outcome(message["result"])
    error = dict(message["error"]["data"])
    assert message["error"]["code"] == RPC_CODES.get(error["code"], error["code"])
    return Outcome(error=error, wait=error.pop("retry_after", None))


def multipart(fields: list[tuple[str, str]]) -> Message:
    """The arguments of a request with a multipart form; one without fields has nothing but its end."""
    if not fields:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        return {"data": b"--x--\r\n", "headers": headers}
    return {"data": aiohttp.FormData(fields, default_to_multipart=True)()}


def alone_or_listed(lists: dict[str, list[str]]) -> Message:
    """The parameters of a query: text, or a list of text if there is more than one."""
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}


async def in_a_batch(client: Client, method: str, parameters: Parameters) -> Any:
    """A call in a batch of its own."""
    found = (await client.batch({"one": {"method": method, "parameters": parameters}}))["one"]
    if isinstance(found, TotoException):
        raise found
    return found


async def over_a_socket(client: Client, method: str, parameters: Parameters) -> Any:
    """A call in a socket of its own."""
    async with client.socket() as socket:
        return await socket.call(method, parameters)


RPC_CODES = {1000: -32603, 1001: -32601, 1002: -32600, 1003: -32602}
"""The codes of JSON-RPC that mean the same as Toto's."""
IN_PYTHON = Form("Python", lambda value: b"", lambda body: None, {})
"""Values as they are, for which no codec is needed."""
