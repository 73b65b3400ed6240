"""A service in a few lines, served by aiohttp's own test server."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

import toto_aio.methods
from tests.support import ROOT
from tests.support.limits import cheap_passwords, patience
from tests.support.packages import Package
from tests.support.reuse import empty_store, used_url
from tests.support.servers import Server
from tests.support.servers.templates import templates
from tests.support.service import FastServer, PlainServer, Serve, Service
from tests.support.warm import Mould, forking
from toto_aio import create_app
from toto_aio.registry import find_methods

BOTH_PATHS = frozenset(
    f"tests.{name}"
    for name in [
        "http.test_service",
        "dispatch.test_idempotency",
        "dispatch.test_kept_results",
        "http.test_error_status",
        "http.test_bodies",
        "http.test_forms",
        "http.test_framing",
        "http.test_own_responses",
        "http.test_account_forms",
        "http.test_odd_text",
        "http.test_limits",
        "http.test_reply",
        "http.test_signatures",
        "http.test_session_scheme",
        "http.test_toto1_scheme",
        "http.test_caching",
        "http.test_cookies",
        "http.test_cors",
        "http.test_api_keys",
        "http.test_bearer",
        "http.test_roles",
        "http.test_trace",
        "http.test_time_limits",
        "codecs.test_codecs",
        "dispatch.test_handler",
        "dispatch.test_dispatcher",
        "dispatch.test_hooks",
        "dispatch.test_policy",
        "dispatch.test_client_limit",
        "http.test_typed",
        "dispatch.test_toto_names",
        "jsonrpc.test_examples",
        "jsonrpc.test_http",
        "methods.test_account",
        "methods.test_account_codes",
        "methods.test_account_sessions",
        "methods.test_account_delete",
        "methods.test_client_error",
        "methods.test_totp",
        "test_awaiting",
        "test_threads",
    ]
)
"""The modules whose tests run over both the general and the fast path: all tests of HTTP itself."""


# No test trusts an authority of the machine. To read all of their certificates, as aiohttp does, is a tenth
# of what the start of an interpreter costs, and the tests start hundreds.
os.environ.update(SSL_CERT_FILE=os.devnull, SSL_CERT_DIR=os.devnull)

SLOW_FIXTURES = frozenset(
    ("servers", "own_server", "shared_url", "chromium", "deployment", "node", "project")
)
"""What starts a server or a browser, or makes a project."""
SLOW_FOLDERS = (
    "cli/call/test_completion",
    "cli/test_new",
    "examples",
    "migration",
    "monitoring/test_m",
    "server",
    "torture",
    "test_benchmarks",
)
"""Where the tests start programs, or wait for long."""
SLOW_FILES = (
    *(
        "test_account",
        "test_cost",
        "test_docs",
        "test_limits",
        "test_mongodb",
        "test_mysql",
        "test_passwords",
    ),
    *("test_postgres", "test_processes", "test_sender", "test_startup", "test_testing", "test_throttle"),
    *("test_time_limits", "test_websocket"),
)
LONGEST = ("test_docs", "torture/", "centrifuge/test_clients", "server/test_deploy")
"""What runs first: a test of half a minute that begins last keeps one process busy and the others idle."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the data of each kind of server once, for all processes that run tests."""
    stack = ExitStack()
    stack.enter_context(templates())
    config.add_cleanup(stack.close)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect without the garbage collector, which would look for garbage in what lasts until the end.

    That is a third of the time that every process takes to collect 8,600 tests.
    """
    gc.disable()
    import_a_share(session)
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def import_a_share(session: pytest.Session) -> None:
    """Import a share of the modules that are collected, in each of the processes that run tests.

    pytest rewrites the assertions of a module when it is first imported. In a fresh clone the processes,
    which collect in step, would all rewrite every module; this way each module is rewritten by one of them.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if count == 1 or not hasattr(session.config, "workerinput"):
        return
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    places = [Path(session.config.rootpath, argument.partition("::")[0]) for argument in session.config.args]
    files = {file for path in places for file in ([path] if path.is_file() else path.rglob("test_*.py"))}
    for file in sorted(files)[number::count]:
        with suppress(Exception, pytest.skip.Exception):  # which its collection reports
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long, which ``make check`` leaves out, and let the longest begin first."""
    for item in items:
        assert isinstance(item, pytest.Function)
        where = place(item.path)
        kind = getattr(item, "callspec", None)
        is_slow = (
            where.startswith(SLOW_FOLDERS)
            or item.path.stem in SLOW_FILES
            or not SLOW_FIXTURES.isdisjoint(item.fixturenames)
            or any(
                isinstance(value, str) and value in (*SERVER_KINDS, *OTHER_DRIVERS)
                for value in (kind.params.values() if kind else ())
            )
        )
        if is_slow:
            item.add_marker("slow")
    items.sort(key=lambda item: not place(item.path).startswith(LONGEST))


@cache
def place(path: Path) -> str:
    """Where a module is, below the folder of all tests."""
    return path.relative_to(ROOT / "tests").as_posix()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests in these modules that use ``serve`` twice."""
    if "serve" in metafunc.fixturenames and metafunc.module.__name__ in BOTH_PATHS:
        metafunc.parametrize("serve", ["general", "fast"], indirect=True)


@pytest.fixture
def serve(request: pytest.FixtureRequest, aiohttp_client: AiohttpClient) -> Serve:
    """Serve methods: ``await serve({"echo": echo}, signing="off")``; in memory unless told otherwise.

    The built-in methods are included.
    """
    server = FastServer if getattr(request, "param", "general") == "fast" else PlainServer

    async def serve(methods: Mapping[str, Any] | None = None, **options: Any) -> Service:
        options = {"database": "memory://", "method_module": {**built_in(), **(methods or {})}, **options}
        return Service(await aiohttp_client(server(create_app(**options))))

    return serve


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Write a package that can be imported, from the texts of its files; return its name."""
    before = set(sys.modules)
    name = "package_of_a_test"

    def write(files: Mapping[str, str]) -> str:
        for file, text in {"__init__.py": "", **files}.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return name

    yield write
    for module in set(sys.modules) - before:
        if module.partition(".")[0] == name:
            del sys.modules[module]


@cache
def built_in() -> Mapping[str, Any]:
    """The built-in methods; finding them takes a tenth of what a test with a service takes."""
    return {name: method.invoke for name, method in find_methods(toto_aio.methods, 60).items()}


@pytest.fixture(scope="session", autouse=True)
def default_limits() -> Iterator[dict[str, dict[str, float]]]:
    """The limits that a service has. Tests run with longer ones, except for the limit that they test."""
    with patience() as found:
        yield found


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Passwords are hashed for almost nothing, except where their cost is tested: most tests serve some."""
    with cheap_passwords():
        yield


MOULD = Mould()


@pytest.fixture(scope="session", autouse=True)
def warm_starts(request: pytest.FixtureRequest) -> Iterator[None]:
    """Processes of ``python -m toto_aio`` are forks, except of tests that are marked ``cold``."""
    with forking(MOULD):
        if any(item.get_closest_marker("slow") for item in request.session.items):
            MOULD.open()  # at once, as some tests count what is open
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start what a test starts by new interpreters if it is marked so."""
    MOULD.is_enabled = item.get_closest_marker("cold") is None


@pytest.fixture(autouse=True)
def coverage_of_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure child processes only where they are what is tested: it costs each of them a third more."""
    if "server" not in request.path.relative_to(ROOT / "tests").parts:
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The messages that were logged as errors."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server]]:
    """The server of a kind, started for the first test that asks for it and shared by all tests."""
    with ExitStack() as stack:
        yield cache(lambda kind: stack.enter_context(server_module(kind).server()))


@pytest.fixture(scope="module")
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the module's ``KIND`` for one test, which may configure, freeze and kill it."""
    with server_module(request.module.KIND).server() as server:
        yield server


def server_module(kind: str) -> Any:
    """The tests' module for a kind of server."""
    return importlib.import_module(f"tests.support.servers.{kind}")


SERVER_KINDS: tuple[str, ...] = ("mongodb", "redis", "postgresql", "mysql")
"""The kinds of servers that a store can use: the modules of ``tests.support.servers``."""


OTHER_DRIVERS = {"aiomysql": "mysql", "motor": "mongodb", "redis_cluster": "redis_cluster"}
"""For each driver that is not selected by default, and each other form of server, the kind of its server."""


@pytest.fixture(params=["memory", "sqlite", *SERVER_KINDS])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store, a new one unless ``store`` opens it; runs with every kind."""
    again = used_url(request.param) if "store" in request.fixturenames else None
    return again or url_of(request, request.param)


@pytest.fixture(params=["sqlite", *SERVER_KINDS])
def shared_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty store that processes can share; runs with every such kind."""
    return url_of(request, request.param)


def url_of(request: pytest.FixtureRequest, kind: str) -> str:
    """The URL of a new, empty store of a kind."""
    if kind == "memory":
        return "memory://"
    if kind == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/toto.db"
    return str(server_module(kind).fresh_url(request.getfixturevalue("servers")(kind)))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Any]:
    """An empty store of every kind, whose tables other tests may have used."""
    async with empty_store(store_url.partition(":")[0], store_url) as store:
        yield store
