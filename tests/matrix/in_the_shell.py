"""Calls by ``toto-aio call``, which prints what became of each as JSON."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress

from tests.matrix.cases import PAGES, WIRE, Case, Own
from tests.matrix.forms import JSON
from tests.matrix.in_python import credentials
from tests.matrix.transports import Outcome, Parameters, Row
from tests.support.service import Service
from toto_aio.cli.call import kept
from toto_aio.cli.call.command import call


class Shell(Row):
    """The command, with the session that it has kept."""

    lacks = PAGES

    def __init__(self, service: Service) -> None:
        super().__init__("shell", JSON)
        self._target = self._url = str(service.client.make_url(service.root))
        self._options = ["--unsigned"]

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        shown = credentials(session)
        if shown is None:
            kept.forget(self._url)
        else:
            kept.keep(self._url, shown, "off")
        return [
            await asyncio.to_thread(self._printed, method, json.dumps(self.form.write(parameters)))
            for method, parameters in calls
        ]

    def _printed(self, method: str, parameters: str) -> Outcome:
        printed = io.StringIO()
        with redirect_stdout(printed), suppress(SystemExit):
            call([self._target, method, "--json", *self._options, f"--parameters-json={parameters}"])
        found = json.loads(printed.getvalue())
        if isinstance(found, dict) and found.keys() == {"error"}:
            return Outcome(error=found["error"])
        if isinstance(found, dict) and found.keys() == {"url", "status"}:
            return Outcome(own=Own(b"", "", found["status"], found["url"]))
        if isinstance(found, dict) and found.keys() == {"content_type", "body"}:
            return Outcome(own=Own(JSON.read(found["body"], bytes), found["content_type"]))
        return Outcome(found)


class Here(Shell):
    """The command for the service of this folder, whose author calls as one of the ``users``."""

    lacks = PAGES | WIRE

    def __init__(self, users: Mapping[str, str]) -> None:
        Row.__init__(self, "shell, here", JSON)
        self._target, self._users = ".", users

    def carries(self, case: Case) -> bool:
        return case.session in ("", "user", "editor") and super().carries(case)

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        self._options = [] if session is None else [f"--user={self._users[session]}"]
        return [
            await asyncio.to_thread(self._printed, method, json.dumps(self.form.write(parameters)))
            for method, parameters in calls
        ]

    def _printed(self, method: str, parameters: str) -> Outcome:
        found = super()._printed(method, parameters)
        if found.error is None or found.error["code"] != 1000:
            return found
        return Outcome(error={"code": 1000, "value": f"Internal error {0:016}"})  # the author sees the text
