"""Refused logins take the same time: nobody learns which users exist, or how a password is stored.

    python -m torture.login_timing [--rounds N]

A real service on a free port refuses four kinds of logins over one kept-alive connection: an unknown user, a
wrong password, a wrong password for a hash of Toto's, and an account without a password. Each round has one
login of every kind, in shuffled order, so that a temporarily slower machine is slower for all of them. Each
pair of kinds is then compared by the Mann-Whitney U test.

A pair can be distinguished if its difference is significant, for all pairs of a service together
(Bonferroni), and if it matters: the AUC is the probability that a login of one kind takes longer than one of
the other, 0.5 without a difference, and it must differ from 0.5 by more than ``MATTERS``.

The bound on the effect is needed because with enough logins any microsecond is significant, and there are
some: an account that exists has a row to be read. A longer run would fail where a shorter one had passed. At
the bound, someone who times a login of each kind and guesses which is which is wrong nine times in twenty,
even without a network in between; the service allows ten attempts on an account from one address.

Services with a known leak run at the same time, and are timed in the same rounds. Unless the leak of each is
detected, the drill proves nothing and fails: there were too few rounds, or the machine was too busy.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import http.client
import json
import math
import random
import secrets
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

from torture.drill import Failure, progress, read_sizes, run_drill
from torture.services import START_LIMIT, serving
from toto_aio.auth.passwords import TOTO_PREFIX, Passwords
from toto_aio.models import Account
from toto_aio.stores import open_store

SIGNIFICANT = 0.01
"""How often a drill may find something significant in a service without a leak."""
MATTERS = 0.05
"""The distance of a pair's AUC from 0.5 above which it matters."""
USERS = 100
"""Names of each kind, so that no kind depends on one lucky name."""
WARM_UP = 3
"""Rounds before those that count."""
PASSWORD = "wrong horse battery"  # noqa: S105  # it opens no account
RIGHT = "correct horse battery"
REFUSAL = b'{"error":{"code":1005,"value":"Invalid user ID or password"}}'

UNKNOWN = "unknown user"
WRONG = "wrong password"
TOTO = "hash of Toto's"
NO_PASSWORD = "no password"  # noqa: S105  # the name of a kind
KINDS = (UNKNOWN, WRONG, TOTO, NO_PASSWORD)

LEAK = """
import time
from toto_aio.exceptions import InvalidCredentials

def start(connection, application):
    accounts = connection.accounts
    verify = accounts.verify
    async def leak(user_id, password):
        if await accounts.get(user_id) is None:
            {leak}
        return await verify(user_id, password)
    accounts.verify = leak
"""

OURS = "toto_aio"
SERVICES: dict[str, tuple[Sequence[str], str]] = {
    OURS: (KINDS, ""),
    "control, hashes nothing for an unknown user": ((UNKNOWN, WRONG), "raise InvalidCredentials"),
    "control, 1 ms more for an unknown user": ((UNKNOWN, WRONG), "time.sleep(0.001)"),
}
"""The kinds of logins that are timed on each service, and the leak of a control."""


Times = dict[str, list[int]]
"""Nanoseconds of the logins of each kind."""


@dataclass(frozen=True, slots=True)
class Pair:
    """How the times of two kinds of logins differ on a service."""

    service: str
    kinds: tuple[str, str]
    medians_ms: tuple[float, float]
    auc: float
    """The probability that a login of the first kind takes longer than one of the second."""
    p: float
    """The probability of such a difference without a leak, for all pairs of the service together."""

    @property
    def told_apart(self) -> bool:
        """Whether the difference is significant and matters."""
        return self.p < SIGNIFICANT and abs(self.auc - 0.5) > MATTERS


def main() -> None:
    """Run the drill."""
    run_drill("login_timing", lambda: compared(measure(read_options().rounds)), table, verdict)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    return read_sizes("Refused logins cannot be told apart by time.", {"rounds": (1000, 1)}, arguments)


def measure(rounds: int, services: Mapping[str, tuple[Sequence[str], str]] = SERVICES) -> dict[str, Times]:
    """The times of each kind on each service, one for each round."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        progress(f"making {USERS} accounts of each kind")
        users = asyncio.run(make_accounts(directory / "toto.db"))
        clients = {
            name: stack.enter_context(running(leak, directory / str(number), directory / "toto.db"))
            for number, (name, (_, leak)) in enumerate(services.items())
        }
        times: dict[str, Times] = {
            name: {kind: [] for kind in kinds} for name, (kinds, _) in services.items()
        }
        turns = [(name, kind) for name, of_service in times.items() for kind in of_service]
        said = time.monotonic()
        for number in range(-WARM_UP, rounds):
            random.shuffle(turns)
            for name, kind in turns:
                spent = clients[name](users[kind][number % USERS])
                if number >= 0:
                    times[name][kind].append(spent)
            if time.monotonic() > said + 10:
                said = time.monotonic()
                shown = (f"{kind} {median_ms(spent):.2f}" for kind, spent in times[OURS].items() if spent)
                progress(f"round {number + 1} of {rounds}, median in ms: {', '.join(shown)}")
        return times


async def make_accounts(path: Path) -> dict[str, list[str]]:
    """Create a database with the accounts; returns the names of each kind, which reveal nothing about it."""
    passwords = Passwords()
    hashes = {WRONG: await passwords.hash(RIGHT), TOTO: toto_hash(RIGHT), NO_PASSWORD: None}
    passwords.close()
    users = {kind: [secrets.token_hex(8) for _ in range(USERS)] for kind in KINDS}
    store = await open_store(f"sqlite:///{path}")
    for number in range(USERS):
        for kind, hashed in hashes.items():
            await store.add_account(Account(users[kind][number], hashed, {}))
    await store.close()
    return users


def toto_hash(password: str) -> str:
    """The hash that Toto stored for a password."""
    salted = f"{TOTO_PREFIX}$somesalt"
    digest = hashlib.pbkdf2_hmac("sha1", password.encode(), salted.encode(), 400, 24)
    return f"{salted}${base64.b64encode(digest, b'./').decode()}"


@contextmanager
def running(leak: str, directory: Path, database: Path) -> Iterator[Callable[[str], int]]:
    """Serve a copy of a database for the duration of the block; yields a function that times a login."""
    directory.mkdir()
    shutil.copy(database, directory / "toto.db")
    options = ["--database=sqlite:///toto.db", "--login-attempts=1000000"]
    if leak:
        (directory / "control.py").write_text(LEAK.format(leak=leak))
        options.append("--startup-function=control.start")
    with (
        serving(directory, {}, *options) as service,
        closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=START_LIMIT)) as connection,
    ):
        yield partial(log_in, connection, "/service/account/login")


def log_in(connection: http.client.HTTPConnection, path: str, user_id: str) -> int:
    """Nanoseconds until a login was refused. Raises ``Failure`` for any response except the expected one."""
    body = json.dumps({"user_id": user_id, "password": PASSWORD})
    start = time.perf_counter_ns()
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    spent = time.perf_counter_ns() - start
    if response.status != 200 or content != REFUSAL:
        raise Failure(f"the service responded {response.status} {content!r}, not {REFUSAL!r}")
    return spent


def compared(times: Mapping[str, Times]) -> list[Pair]:
    """Every pair of kinds, service by service."""
    return [pair for service, of_service in times.items() for pair in compare(service, of_service)]


def compare(service: str, times: Times) -> list[Pair]:
    """Every pair of kinds of a service."""
    pairs = list(combinations(times, 2))
    compared = []
    for one, other in pairs:
        auc, p = mann_whitney(times[one], times[other])
        medians = median_ms(times[one]), median_ms(times[other])
        compared.append(Pair(service, (one, other), medians, auc, min(1.0, p * len(pairs))))
    return compared


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """The AUC of two samples, and the probability of such a difference by chance (two-sided).

    By the normal approximation, corrected for ties and continuity: good from eight values on.
    """
    n, m = len(one), len(other)
    counts = sorted(Counter([*one, *other]).items())
    ranks, below = {}, 0
    for value, count in counts:
        ranks[value] = below + (count + 1) / 2
        below += count
    u = sum(ranks[value] for value in one) - n * (n + 1) / 2
    ties = sum(count**3 - count for _, count in counts) / ((n + m) * (n + m - 1))
    deviation = math.sqrt(n * m / 12 * (n + m + 1 - ties))
    distance = max(0.0, abs(u - n * m / 2) - 0.5)
    p = math.erfc(distance / deviation / math.sqrt(2)) if deviation else 1.0
    return u / (n * m), p


def verdict(pairs: Sequence[Pair]) -> tuple[bool, str]:
    """Whether the drill passed, and a line that says why."""
    missed = [pair.service for pair in pairs if pair.service != OURS and not pair.told_apart]
    leaks = [" and ".join(pair.kinds) for pair in pairs if pair.service == OURS and pair.told_apart]
    if leaks:
        return False, f"FAILED: logins are told apart by time: {'; '.join(leaks)}"
    if missed:
        return False, f"FAILED: this proves nothing, take more rounds; not detected: {'; '.join(missed)}"
    return True, "Passed: no two kinds of logins are told apart, and every control was detected"


def table(pairs: Sequence[Pair]) -> str:
    """The pairs in Markdown."""
    lines = [
        "| service | logins | median ms | AUC | p | told apart |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for pair in pairs:
        medians = " / ".join(f"{median:.2f}" for median in pair.medians_ms)
        told_apart = "yes" if pair.told_apart else "no"
        logins = " / ".join(pair.kinds)
        lines.append(
            f"| {pair.service} | {logins} | {medians} | {pair.auc:.3f} | {pair.p:.2g} | {told_apart} |"
        )
    return "\n".join(lines)


def median_ms(times: Sequence[int]) -> float:
    """The median in milliseconds, of times in nanoseconds."""
    return statistics.median(times) / 1e6


if __name__ == "__main__":
    main()
