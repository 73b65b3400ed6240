"""Calls that are written in Python: those of the client, and those in process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.matrix.cases import WIRE, Own
from tests.matrix.forms import FORMS, JSON, MSGPACK, Form
from tests.matrix.messages import batch
from tests.matrix.over_http import Batch
from tests.matrix.transports import Outcome, Parameters, Row, Transport
from tests.support.service import Service
from toto_aio import TotoException
from toto_aio.client import Client, SessionCredentials
from toto_aio.dispatch.answers import RawAnswer, Redirect
from toto_aio.in_process import OpenService


def by_the_client(service: Service) -> list[Transport]:
    """The ways in that the Python client has."""
    return [
        *(OfClient(form, service) for form in FORMS),
        OfClientBatch(JSON, service),
        *(OfClientSocket(form, service) for form in (JSON, MSGPACK)),
    ]


class OfClient(Row):
    """The Python client, which shows the whole response to a call."""

    def __init__(self, form: Form, service: Service) -> None:
        super().__init__(type(self).__name__, form)
        self._url = str(service.client.make_url(service.root))

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        async with Client(self._url, encoding=self.form.name, signing="off") as client:
            return [await self._fetched(client, session, *call) for call in calls]

    async def _fetched(
        self, client: Client, session: str | None, method: str, parameters: Parameters
    ) -> Outcome:
        client.session = credentials(session)  # whatever the call before has brought
        try:
            response = await client.fetch(method, self.form.write(parameters))
        except TotoException as exc:
            return raised(exc)
        if response.message is None:
            location = response.headers.get("Location", "")
            return Outcome(own=Own(response.body, response.content_type, response.status, location))
        return Outcome(response.message["result"], status=response.status)


class OfClientBatch(OfClient):
    """Its batches."""

    alone = False

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        async with Client(
            self._url, encoding=self.form.name, signing="off", session=credentials(session)
        ) as client:
            for start in range(0, len(calls), Batch.size):
                some = calls[start : start + Batch.size]
                entries = batch((name, self.form.write(given)) for name, given in some)["batch"]
                outcomes += map(returned, (await client.batch(entries)).values())
        return outcomes


class OfClientSocket(OfClient):
    """Its socket."""

    alone = False

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        async with (
            Client(self._url, encoding=self.form.name, signing="off", session=credentials(session)) as client,
            client.socket() as socket,
        ):
            waiting = [socket.call(name, self.form.write(given)) for name, given in calls]
            return [returned(each) for each in await asyncio.gather(*waiting, return_exceptions=True)]


class InProcess(Row):
    """``open_service``, which has neither codec nor status: an exception is what the method raised."""

    lacks = WIRE

    def __init__(self, service: OpenService) -> None:
        super().__init__("in process", IN_PYTHON)
        self._service = service

    async def call(self, method: str, parameters: Any, session: str | None) -> Outcome:
        try:
            result = await self._service.call(method, parameters, session_id=session)
        except TotoException as exc:
            return raised(exc)
        except ZeroDivisionError:
            return Outcome(error={"code": 1000, "value": f"Internal error {0:016}"})
        if isinstance(result, RawAnswer):
            return Outcome(own=Own(result.body, result.content_type))
        if isinstance(result, Redirect):
            return Outcome(own=Own(b"", "", result.status, result.url))
        return Outcome(result)


def raised(exc: TotoException) -> Outcome:
    """The outcome of a call that raised."""
    return Outcome(error=exc.as_dict())


def returned(result: Any) -> Outcome:
    """The outcome of a call whose error was returned, and not raised."""
    if isinstance(result, TotoException):
        return raised(result)
    if isinstance(result, BaseException):
        raise result
    return Outcome(result)


def credentials(session: str | None) -> SessionCredentials | None:
    """A session as the client has it."""
    return None if session is None else SessionCredentials(session)


IN_PYTHON = Form("Python", lambda value: b"", lambda body: None, {})
"""Values as they are, for which no codec is needed."""
