"""Requests: POST, GET and forms, batches and JSON-RPC. A new way is a row of ``over_http``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import aiohttp

from tests.matrix.cases import NAMES, TYPES, VERB, Case, Own
from tests.matrix.forms import BSON, FORMS, JSON, MSGPACK, Form, as_text
from tests.matrix.messages import (
    batch,
    one_request,
    outcome,
    outcome_of_request,
    outcomes_of_batch,
    outcomes_of_requests,
    requests,
)
from tests.matrix.transports import Message, Outcome, Parameters, Row, Transport
from tests.support.service import Service


def over_http(service: Service) -> list[Transport]:
    """The ways in to a service that requests are."""

    def by_method(method: str, parameters: Any) -> Message:
        return {"method": method, "parameters": parameters}

    def below(method: str) -> str:
        return "/" + method.replace(".", "/")

    def under_parameters(method: str, parameters: Any) -> Message:
        return {"parameters": parameters}

    rows: list[Transport] = []
    for form in FORMS:
        rows += [
            Post("POST", form, service, lambda method: "", by_method),
            Batch("batch", form, service, "", batch, outcomes_of_batch),
        ]
    for form in (JSON, BSON):
        rows.append(
            Post("JSON-RPC", form, service, lambda method: "/rpc", one_request, unpack=outcome_of_request)
        )
    for form in (JSON, MSGPACK):  # a document of BSON is no array
        rows.append(Batch("JSON-RPC batch", form, service, "/rpc", requests, outcomes_of_requests))
    return [
        *rows,
        Post("URL, bearer", JSON, service, below, under_parameters, header="authorization"),
        Post("URL, plainly", MSGPACK, service, lambda method: f"/{method}/", lambda method, given: given),
        Text(
            "GET", service, lambda fields: {"params": fields}, alone_or_listed, verb="GET", lacks=TYPES | VERB
        ),
        Text("form", service, lambda fields: {"data": aiohttp.FormData(fields)()}, dict),
        Text(
            "multipart",
            service,
            multipart,
            lambda lists: {"arguments": lists, "files": {}},
            lacks=NAMES | TYPES,
        ),
    ]


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
        lacks: frozenset[str] = TYPES,
    ) -> None:
        super().__init__(name, JSON)
        self._service = service
        self._request = request
        self._seen = seen
        self._verb = verb
        self.lacks = lacks

    def carries(self, case: Case) -> bool:
        return as_text(case.parameters) is not None and super().carries(case)

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
            if response.status != 200:
                return [await read(response, self.form)] * len(calls)
            outcomes += self._unpack(self.form.loads(await response.read()))
        return outcomes


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
    deprecated = "Deprecation" in response.headers
    assert deprecated == ("Sunset" in response.headers)
    return replace(found, status=status, wait=None if wait is None else int(wait), deprecated=deprecated)


def multipart(fields: list[tuple[str, str]]) -> Message:
    """The arguments of a request with a multipart form; one without fields has nothing but its end."""
    if not fields:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        return {"data": b"--x--\r\n", "headers": headers}
    return {"data": aiohttp.FormData(fields, default_to_multipart=True)()}


def alone_or_listed(lists: dict[str, list[str]]) -> Message:
    """The parameters of a query: text, or a list of text if there is more than one."""
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}
