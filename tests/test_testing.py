"""The fixtures for tests of services, in projects with their own tests, and what they are built on."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support import ROOT, authors
from toto_aio import Handler, TotoException
from toto_aio.client import Client
from toto_aio.dispatch.answers import RawAnswer, Redirect
from toto_aio.exceptions import NotAuthorized, TimedOut
from toto_aio.invocation import (
    anonymous_session,
    asynchronous,
    authenticated,
    channel,
    default_parameters,
    idempotent,
    raw_response,
    roles,
    timeout,
)
from toto_aio.methods.account import create, login, logout
from toto_aio.settings import SettingsError
from toto_aio.testing import InProcess, Serve, calling, serving

DOCS = ROOT / "docs"
Parameters = dict[str, Any]

STRICT = """
[tool.pytest.ini_options]
pythonpath = ["."]
asyncio_default_fixture_loop_scope = "function"
addopts = "-p no:cacheprovider"
filterwarnings = ["error"]
"""
HELLO = """
from toto_aio.invocation import requires

@requires("name")
async def invoke(handler, parameters):
    return {"hello": parameters["name"]}
"""


def project(folder: Path, tests: str, settings: str = STRICT) -> Path:
    """A project with a method and these tests."""
    for name, text in {
        "pyproject.toml": settings,
        "methods/__init__.py": "from toto_aio.methods import account",
        "methods/hello.py": HELLO,
        "tests/test_it.py": tests,
    }.items():
        write(folder / name, text)
    return folder


def write(path: Path, text: str) -> None:
    """Write a file, and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(folder: Path, *command: str, **environment: str) -> str:
    """The output of Python with these arguments."""
    finished = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**authors.environment(), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return finished.stdout + finished.stderr


TESTS = """
import pytest
from methods import hello
from toto_aio import TotoException

pytestmark = pytest.mark.asyncio

@pytest.fixture
def toto_options():
    return {"encoding": "msgpack", "password_min_length": 3}

async def test_served(toto_serve):
    client = await toto_serve("methods", signing="session")
    await client.create_account("ada", "short")
    assert await client.call("hello", {"name": "Ada"}) == {"hello": "Ada"}
    other = await toto_serve("methods")
    assert other.url != client.url
    with pytest.raises(TotoException, match="1005"):
        await other.login("ada", "correct horse")

async def test_called(toto_call):
    assert await toto_call(hello, {"name": "Ada"}, user_id="ada") == {"hello": "Ada"}

async def test_a_socket(toto_serve):
    client = await toto_serve("methods")
    async with client.socket() as socket:
        assert await socket.call("hello", {"name": "Ada"}) == {"hello": "Ada"}

async def test_that_fails(toto_serve):
    client = await toto_serve("methods")
    assert await client.call("hello", {"name": "Ada"}) == {"hello": "Eve"}

async def test_with_an_error(toto_call):
    await toto_call(hello)

@pytest.mark.asyncio(loop_scope="module")
async def test_in_another_loop(toto_serve):
    await toto_serve("methods")

@pytest.mark.asyncio(loop_scope="module")
async def test_called_in_another_loop(toto_call):
    await toto_call(hello, {"name": "Ada"})
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_a_project(tmp_path: Path, mode: str) -> None:
    """Tests pass and fail as they should, and leave nothing open, in both modes of pytest-asyncio."""
    printed = run(project(tmp_path, TESTS), "-m", "pytest", "-o", f"asyncio_mode={mode}")
    failed = re.findall(r"^FAILED tests/test_it\.py::(\w+) - (.{12})", printed, re.MULTILINE)
    assert "4 failed, 3 passed in" in printed, printed
    assert [name for name, _ in failed] == [
        "test_that_fails",
        "test_with_an_error",
        "test_in_another_loop",
        "test_called_in_another_loop",
    ]
    assert "1003: Missing parameters: name" in printed
    assert "give both the same scope" in printed


def test_without_pytest_asyncio(tmp_path: Path) -> None:
    """Other tests run as before, and using a fixture raises an error that says what to install."""
    tests = """
def test_plain(): pass
def test_served(toto_serve): pass
def test_called(toto_call): pass
"""
    project(tmp_path, tests, "[tool.pytest.ini_options]\nfilterwarnings = ['error']")
    write(tmp_path / "absent" / "pytest_asyncio.py", "raise ImportError")
    left_out = [f"-pno:{name}" for name in ("asyncio", "aiohttp", "cacheprovider")]
    printed = run(tmp_path, "-m", "pytest", *left_out, PYTHONPATH=str(tmp_path / "absent"))
    assert "1 passed, 2 errors" in printed
    for fixture in ("toto_serve", "toto_call"):
        assert f"{fixture} needs pytest-asyncio: pip install 'toto-aio[testing]'" in printed


def test_what_pytest_imports_at_its_start(tmp_path: Path) -> None:
    """The package is not imported: coverage would miss it, and tests of other projects would start later."""
    tests = """
import sys
def test_it(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("toto_aio")
    assert not {"toto_aio", "aiohttp"} & set(sys.modules)
"""
    write(tmp_path / "test_it.py", tests)
    assert "1 passed" in run(tmp_path, "-m", "pytest", "-pno:cacheprovider", "-pno:aiohttp")


@pytest.mark.parametrize("page", ["testing.md"])
def test_the_documentation(tmp_path: Path, page: str) -> None:
    """The files of the page form a project whose tests pass."""
    blocks = re.findall(r"^```\w+\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    for block in blocks:
        if named := re.match(r"# (\S+\.\w+)\n", block):
            write(tmp_path / named[1], block)
    assert "14 passed" in run(tmp_path, "-m", "pytest", "-Werror", "-pno:cacheprovider")


@authenticated
@default_parameters({"by": 1})
async def count(handler: Handler, parameters: Parameters) -> Any:
    """Count in the session."""
    assert handler.session is not None
    return await handler.session.update(
        lambda state: state.update(n=state.get("n", 0) + parameters["by"]) or state["n"]
    )


async def test_a_user_in_process(toto_call: InProcess) -> None:
    """Their session is the same in all calls, until they log out; parameters stay unchanged."""
    given: Parameters = {}
    assert [await toto_call(count, given, user_id=name) for name in ("ada", "Ada", "bob")] == [1, 2, 1]
    assert given == {}
    with pytest.raises(NotAuthorized):
        await toto_call(count)
    assert await toto_call(logout, user_id="ada") == {"authenticated": False}
    assert await toto_call(count, {"by": 5}, user_id="ada") == 5
    session = await toto_call.session("ada")
    assert (session["n"], session.user_id) == (5, "ada")


async def test_an_account_in_process(toto_call: InProcess) -> None:
    """An existing one is used, and its password is checked."""
    account = {"user_id": "ada", "password": "correct horse"}
    assert (await toto_call(create, account))["user_id"] == "ada"
    assert await toto_call(count, user_id="ada") == 1
    assert (await toto_call(login, account))["user_id"] == "ada"
    with pytest.raises(TotoException, match="1005"):
        await toto_call(login, {**account, "password": "wrong"})
    with pytest.raises(TotoException, match="Parameters must be an object"):
        await toto_call(login, [])


async def test_all_kinds_of_methods(toto_call: InProcess) -> None:
    """Threads, later responses, bytes, streams, redirects, modules with their own error classes."""

    def threaded(handler: Handler, parameters: Parameters) -> Any:
        return handler.wait(asyncio.sleep(0, "slept"))

    @asynchronous
    async def waits(handler: Handler, parameters: Parameters) -> None:
        handler.register_event_handler("news", handler.respond)

    async def tells(handler: Handler, parameters: Parameters) -> None:
        await handler.events.send("news", parameters)

    @raw_response
    async def raw(handler: Handler, parameters: Parameters) -> bytes:
        handler.set_status(201)
        handler.set_header("x-a", "b")
        handler.set_cookie("c", "d")
        return b"bytes"

    async def stream(handler: Handler, parameters: Parameters) -> None:
        for piece in ("a", "b"):
            handler.respond_raw(piece, "text/plain", finish=False)
            await handler.drain()

    async def redirect(handler: Handler, parameters: Parameters) -> None:
        handler.redirect("/elsewhere")

    @anonymous_session
    async def anonymous(handler: Handler, parameters: Parameters) -> Any:
        assert handler.session is not None
        return [handler.session.user_id, handler.address, handler.headers_only]

    assert await toto_call(threaded) == "slept"
    waiting = asyncio.create_task(toto_call(waits))
    await asyncio.sleep(0.05)
    assert await toto_call(tells, {"x": 1}) is None
    assert await waiting == {"x": 1}
    assert await toto_call(raw) == RawAnswer(b"bytes", "application/octet-stream")
    assert await toto_call(stream) == RawAnswer(b"ab", "text/plain")
    assert await toto_call(redirect) == Redirect("/elsewhere")
    assert await toto_call(anonymous) == ["", "127.0.0.1", False]
    module = ModuleType("module")
    module.invoke = anonymous  # type: ignore[attr-defined]
    assert await toto_call(module) == ["", "127.0.0.1", False]


async def test_what_goes_wrong_in_process(toto_call: InProcess) -> None:
    """An exception is raised as it is, a time limit applies, and features that need HTTP say so."""

    async def broken(handler: Handler, parameters: Parameters) -> None:
        raise ZeroDivisionError

    @timeout(0.05)
    async def slow(handler: Handler, parameters: Parameters) -> None:
        await asyncio.sleep(5)

    async def looks(handler: Handler, parameters: Parameters) -> None:
        assert handler.request

    async def sends(handler: Handler, parameters: Parameters) -> None:
        handler.send_message("hello")

    with pytest.raises(ZeroDivisionError):
        await toto_call(broken)
    with pytest.raises(TimedOut):
        await toto_call(slow)
    with pytest.raises(RuntimeError, match="toto_serve"):
        await toto_call(looks)
    with pytest.raises(TypeError, match="give the function"):
        await toto_call("hello")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="socket"):
        await toto_call(sends)


@channel("room:{room}", history=10, presence=True)
async def declared(room: str) -> None:
    """Admit anyone."""


async def test_channels_in_process(toto_call: InProcess) -> None:
    """A method publishes to the channels of its module, with ``method_module`` to those of a package too."""

    async def say(handler: Handler, name: str, text: str) -> int | None:
        position = await handler.events.publish(name, text)
        assert await handler.events.presence(name) == []
        return None if position is None else position.offset

    said = {"name": "room:1", "text": "hello"}
    assert [await toto_call(say, said), await toto_call(say, said)] == [1, 2]
    other = {"name": "hall:1", "text": "hello"}
    with pytest.raises(TotoException, match="There is no channel 'hall:1'"):
        await toto_call(say, other)

    @channel("hall:{hall}", presence=True)
    async def hall(hall: str) -> None: ...

    async with calling(method_module={"hall": hall}) as call:
        assert await call(say, other) is None
        assert await call(say, said) == 1


async def test_an_idempotency_key_in_process(toto_call: InProcess) -> None:
    """A call with the key of an earlier one gets its result."""

    @idempotent
    @authenticated
    async def once(handler: Handler) -> int:
        assert handler.session is not None
        handler.session["n"] = (handler.session["n"] or 0) + 1
        await handler.session.save()
        return int(handler.session["n"])

    for key, result in [("a", 1), ("a", 1), (None, 2), ("b", 3), ("a", 1)]:
        assert await toto_call(once, user_id="ada", idempotency_key=key) == result


async def test_options_in_process(tmp_path: Path) -> None:
    """Another store, and the hooks."""
    names: list[str] = []
    url = f"sqlite:///{tmp_path}/test.db"
    async with calling(database=url, before_handler=lambda handler, _, name: names.append(name)) as call:
        assert await call(count, user_id="ada") == 1
    async with calling(database=url) as call:
        assert (await call.session("ada"))["n"] is None  # another session
        with pytest.raises(TotoException, match="1006"):
            await call(create, {"user_id": "ada", "password": "correct horse"})
    assert names == ["tests.test_testing"]


async def test_a_file_of_options(tmp_path: Path) -> None:
    """Its options apply, but a test touches no database that it has not named itself."""
    file = tmp_path / "toto.toml"
    file.write_text(
        f"""
        database = "sqlite:///{tmp_path}/live.db"
        session_store = "redis://127.0.0.1:1/0"
        events = "redis://127.0.0.1:1/0"
        account_fields = ["name"]
        root = "/api"
        """
    )
    async with serving({"create": create}, file=file) as client:
        account = {"user_id": "ada", "password": "correct horse", "name": "Ada"}
        assert (await client.call("create", account))["user_id"] == "ada"
        assert client.url.path == "/api"
    async with calling(file=file) as call:
        assert (await call(create, account))["user_id"] == "ada"
    assert os.listdir(tmp_path) == ["toto.toml"]


async def test_accounts_of_what_is_served(toto_serve: Serve) -> None:
    """A test gives roles to a user who logs in as any client does."""

    @roles("admin")
    async def close(handler: Handler) -> str:
        assert handler.session is not None
        return handler.session.user_id

    client = await toto_serve({"close": close, "account.create": create}, signing="session")
    await client.create_account("ada", "correct horse")
    with pytest.raises(TotoException, match="1004"):
        await client.call("close")
    await client.accounts.set_roles("ada", ["admin"])
    assert await client.call("close") == "ada"


async def test_options_that_are_wrong(toto_serve: Serve) -> None:
    """The error says what to write."""
    with pytest.raises(SettingsError, match="pythonpath"):
        await toto_serve()
    with pytest.raises(SettingsError, match="no such option"):
        await toto_serve({"count": count}, databse="memory://")
    with pytest.raises(SettingsError, match="no module"):
        await toto_serve("no_such_package")


async def test_what_is_served_ends() -> None:
    """Nothing listens after the block, even if a call is in progress."""

    async def slow(handler: Handler, parameters: Parameters) -> None:
        await asyncio.sleep(0.1)

    async with serving({"slow": slow}) as client:
        other = Client(client.url)
        async with other:
            calls = [asyncio.create_task(other.call("slow")) for _ in range(3)]
            await asyncio.gather(*calls)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", client.url.port)
