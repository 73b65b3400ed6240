"""Calls by ``toto-aio call``, which prints what became of each as JSON."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress

from tests.matrix.cases import PAGES, Own
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
        self._url = str(service.client.make_url(service.root))

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
            call([self._url, method, "--json", "--unsigned", f"--parameters-json={parameters}"])
        found = json.loads(printed.getvalue())
        if isinstance(found, dict) and found.keys() == {"error"}:
            return Outcome(error=found["error"])
        if isinstance(found, dict) and found.keys() == {"url", "status"}:
            return Outcome(own=Own(b"", "", found["status"], found["url"]))
        if isinstance(found, dict) and found.keys() == {"content_type", "body"}:
            return Outcome(own=Own(JSON.read(found["body"], bytes), found["content_type"]))
        return Outcome(found)
