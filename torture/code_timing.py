"""Requests for codes take the same time for an address that an account has and for one that nobody has.

    python -m torture.code_timing [--rounds N]

A real service with SQLite, which sends its mails to a real mail server in this process, is asked for codes
for a new password, for known and unknown addresses, over one kept-alive connection. Each code is then tried
with wrong digits. Each round has a call of every kind, in shuffled order, so that what a mail costs in the
background falls on all kinds alike. Known and unknown addresses are compared by the Mann-Whitney U test, as
in ``login_timing``, with a stricter bound: the AUC must differ from 0.5 by less than ``MATTERS``.

Services with a known leak are timed in the same rounds: one that looks the address up within the call and
does a little more if it finds it, and one that stores the code within the call for known addresses. Unless
both are detected, the drill proves nothing and fails.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import ipaddress
import itertools
import json
import queue
import random
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from torture.drill import Failure, progress, read_sizes, run_drill
from torture.login_timing import Times, mann_whitney, median_ms
from torture.services import START_LIMIT, serving
from toto_aio.auth.verified_addresses import VerifiedAddresses
from toto_aio.models import Account
from toto_aio.stores import open_store

SIGNIFICANT = 0.01
"""How often a drill may find something significant in a service without a leak."""
MATTERS = 0.02
"""The distance of a pair's AUC from 0.5 above which it matters."""
USERS = 100
"""Addresses of each kind."""
WARM_UP = 3
"""Rounds before those that count."""
KNOWN, UNKNOWN = "known", "unknown"
PASSWORD = "battery staple"  # noqa: S105  # it is never set

METHODS = "from toto_aio.methods.account import reset_password\n"
CONTROL = """
import time
from toto_aio.auth import codes, mail_limits
from toto_aio.dispatch.coded_mail import CodedMail

mail_limits.FROM_ONE_CLIENT = mail_limits.TO_ONE_ADDRESS = mail_limits.OF_ONE_CLIENT = 10**12
codes.WRONG_A_DAY = 10**12

def start():
    request = CodedMail.request
    async def leak(self, purpose, subject, asked, *rest):
        if await self.addresses.holder(asked.key) is not None:
            {leak}
        return await request(self, purpose, subject, asked, *rest)
    if {leaks}:
        CodedMail.request = leak
"""

OURS = "toto_aio"
SERVICES: Mapping[str, str] = {
    OURS: "",
    "control, 1 ms more for a known address": "time.sleep(0.001)",
    "control, stores a code of known addresses in the call": (
        "await self._codes.store(self._codes.draft('leak', subject), 'leak', {})"
    ),
}
"""The services, and the leak of a control."""


class Pair:
    """How the times of known and unknown addresses differ, in one kind of call to a service."""

    def __init__(
        self, service: str, call: str, known: Sequence[int], unknown: Sequence[int], tests: int
    ) -> None:
        self.service, self.call = service, call
        self.medians_ms = median_ms(known), median_ms(unknown)
        self.auc, p = mann_whitney(known, unknown)
        self.p = min(1.0, p * tests)

    @property
    def told_apart(self) -> bool:
        """Whether the difference is significant and matters."""
        return self.p < SIGNIFICANT and abs(self.auc - 0.5) > MATTERS


def main() -> None:
    """Run the drill."""
    run_drill("code_timing", lambda: compared(measure(read_options().rounds)), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    return read_sizes("Requests for codes cannot be told apart by time.", {"rounds": (10_000, 1)}, arguments)


def measure(rounds: int, services: Mapping[str, str] = SERVICES) -> dict[str, Times]:
    """The times of each kind of call on each service, one for each round."""
    addresses = {
        kind: [f"{secrets.token_hex(8)}@example.org" for _ in range(USERS)] for kind in (KNOWN, UNKNOWN)
    }
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        asyncio.run(make_accounts(directory / "toto.db", addresses[KNOWN]))
        port = stack.enter_context(mail_server())
        clients = {
            name: stack.enter_context(running(leak, directory / str(number), directory / "toto.db", port))
            for number, (name, leak) in enumerate(services.items())
        }
        times: dict[str, Times] = {
            name: {f"{call} {kind}": [] for call in ("request", "wrong code") for kind in addresses}
            for name in services
        }
        tickets: dict[tuple[str, str], str] = {}
        turns = [(name, kind) for name in services for kind in addresses]
        said = time.monotonic()
        for number in range(-WARM_UP, rounds):
            random.shuffle(turns)
            for name, kind in turns:
                spent, ticket = clients[name]("request", {"email": addresses[kind][number % USERS]})
                if number >= 0:
                    times[name][f"request {kind}"].append(spent)
                # That of the round before, whose code has been stored meanwhile.
                tried = tickets.get((name, kind), ticket)
                wrong = {"ticket": tried, "code": "------", "new_password": PASSWORD}
                spent, _ = clients[name]("confirm", wrong)
                if number >= 0:
                    times[name][f"wrong code {kind}"].append(spent)
                tickets[name, kind] = ticket
            if time.monotonic() > said + 10:
                said = time.monotonic()
                shown = (f"{kind} {median_ms(spent):.2f}" for kind, spent in times[OURS].items() if spent)
                progress(f"round {number + 1} of {rounds}, median in ms: {', '.join(shown)}")
        return times


async def nothing() -> None:
    """What has to be true when an address is an account's."""


async def make_accounts(path: Path, addresses: Sequence[str]) -> None:
    """Create a database with an account for each of the addresses."""
    store = await open_store(f"sqlite:///{path}")
    verified = VerifiedAddresses(store, store)
    for address in addresses:
        user_id = secrets.token_hex(8)
        await store.add_account(Account(user_id, None, {}))
        await verified.claim(user_id, sha256(address.encode()).hexdigest(), address, nothing)
    await store.close()


@contextmanager
def mail_server() -> Iterator[int]:
    """A mail server that takes everything, in a thread of this process; yields its port."""
    ready: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = queue.Queue()
    thread = threading.Thread(target=lambda: asyncio.run(_serve_mail(ready)))
    thread.start()
    loop, ended, port = ready.get(timeout=START_LIMIT)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(START_LIMIT)


async def _serve_mail(ready: queue.Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]]) -> None:
    class Post:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            return "250 OK"

    loop, ended, protocols = asyncio.get_running_loop(), asyncio.Event(), list[SMTP]()

    def connected() -> SMTP:
        protocols.append(SMTP(Post(), loop=loop))
        return protocols[-1]

    server = await loop.create_server(connected, "127.0.0.1", 0)
    ready.put((loop, ended, server.sockets[0].getsockname()[1]))
    await ended.wait()
    server.close()
    for protocol in protocols:
        if isinstance(protocol.transport, asyncio.Transport):
            protocol.transport.abort()
    await asyncio.sleep(0.1)  # so that they are closed


@contextmanager
def running(
    leak: str, directory: Path, database: Path, port: int
) -> Iterator[Callable[[str, Mapping[str, str]], tuple[int, str]]]:
    """Serve a copy of a database for the duration of the block; yields a function that times a call."""
    (directory / "methods" / "account").mkdir(parents=True)
    (directory / "methods" / "__init__.py").touch()
    (directory / "methods" / "account" / "__init__.py").write_text(METHODS)
    (directory / "control.py").write_text(CONTROL.format(leak=leak or "pass", leaks=bool(leak)))
    shutil.copy(database, directory / "toto.db")
    options = [
        "--database=sqlite:///toto.db",
        "--startup-function=control.start",
        f"--mail=smtp://127.0.0.1:{port}?tls=off",
        "--mail-from=notes@notes.example",
        "--public-url=https://notes.example",
        "--trusted-proxies=127.0.0.1",
    ]
    clients = itertools.count(int(ipaddress.IPv4Address("10.0.0.1")))  # as many as calls: each is limited
    with (
        serving(directory, {}, *options) as service,
        closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=START_LIMIT)) as connection,
    ):

        def call(name: str, parameters: Mapping[str, str]) -> tuple[int, str]:
            body = json.dumps(parameters)
            client = str(ipaddress.IPv4Address(next(clients)))
            headers = {"Content-Type": "application/json", "X-Forwarded-For": client}
            start = time.perf_counter_ns()
            connection.request("POST", f"/service/account/reset_password/{name}", body, headers)
            response = connection.getresponse()
            content = json.loads(response.read())
            spent = time.perf_counter_ns() - start
            if name == "request" and "result" in content:
                return spent, str(content["result"]["ticket"])
            if name == "confirm" and content.get("error", {}).get("code") == 1005:
                return spent, ""
            raise Failure(f"the service responded {response.status} {content!r} to {name}")

        yield call


def compared(times: Mapping[str, Times]) -> list[Pair]:
    """Known and unknown addresses, in each kind of call to each service."""
    calls = ("request", "wrong code")
    return [
        Pair(service, call, found[f"{call} {KNOWN}"], found[f"{call} {UNKNOWN}"], len(calls))
        for service, found in times.items()
        for call in (calls if service == OURS else calls[:1])
    ]


def verdict(pairs: Sequence[Pair]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    leaks = [pair.call for pair in pairs if pair.service == OURS and pair.told_apart]
    missed = [pair.service for pair in pairs if pair.service != OURS and not pair.told_apart]
    if leaks:
        return False, f"FAILED: known and unknown addresses are told apart by time: {'; '.join(leaks)}"
    if missed:
        return False, f"FAILED: this proves nothing, take more rounds; not detected: {'; '.join(missed)}"
    return True, "Passed: known and unknown addresses are not told apart, and every control was detected"


def table(pairs: Sequence[Pair]) -> str:
    """The pairs in Markdown."""
    lines = [
        "| service | call | median ms, known / unknown | AUC | p | told apart |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for pair in pairs:
        medians = " / ".join(f"{median:.2f}" for median in pair.medians_ms)
        told = "yes" if pair.told_apart else "no"
        lines.append(f"| {pair.service} | {pair.call} | {medians} | {pair.auc:.3f} | {pair.p:.2g} | {told} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
