"""Tests of a service in its own process: its start, its output, and its shutdown."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.programs import CALL, HELLO, SERVE, failing, failing_each, serving, short, write


async def test_without_methods(tmp_path: Path) -> None:
    """In an empty folder it serves the built-in methods, says how to add one, and makes ``toto.db``."""
    async with serving(tmp_path) as server:
        assert server.address.startswith("http://127.0.0.1:")
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO .*: Serving on ", server.lines[-1])
        assert server.address.endswith("/service")
        said = " ".join(server.lines)
        assert "methods/hello.py" in said
        assert "async def invoke(name: str)" in said
        account = {"user_id": "ada", "password": "correct horse"}
        answer = await server.call({"method": "account.create", "parameters": account})
        assert answer["result"]["user_id"] == "ada"
        assert (await server.call(CALL))["error"]["code"] == 1001
        assert (tmp_path / "toto.db").exists()


async def test_accounts_survive_a_restart(tmp_path: Path) -> None:
    """What was stored in ``toto.db`` is there after the next start, including a session."""
    account = {"user_id": "ada", "password": "correct horse"}
    async with serving(tmp_path) as server:
        answer = await server.call({"method": "account.create", "parameters": account})
        assert await server.end() == 0
    async with serving(tmp_path) as server:
        assert (await server.call({"method": "account.create", "parameters": account}))["error"][
            "code"
        ] == 1006
        headers = {"x-toto-session-id": answer["result"]["session_id"]}
        async with aiohttp.ClientSession(headers=headers) as client:
            async with client.post(server.address, json={"method": "account.update"}) as response:
                assert (await response.json())["session"]["user_id"] == "ada"


async def test_with_methods(tmp_path: Path) -> None:
    """The package ``methods`` in the folder is served, by uvloop."""
    loop = "import asyncio\nasync def invoke(h, p):\n    return type(asyncio.get_running_loop()).__module__"
    write(tmp_path, methods__hello=HELLO, methods__deeper__loop=loop)
    async with serving(tmp_path) as server:
        assert [line for line in server.lines if "hello.py" in line] == []
        assert await server.call(CALL) == {"result": "Hello, Ada"}
        assert await server.call({"method": "deeper.loop"}) == {"result": "uvloop"}
        assert await server.call({"name": "Ada"}, f"{server.address}/hello") == {"result": "Hello, Ada"}
        account = {"user_id": "ada", "password": "correct horse"}
        answer = await server.call({"method": "account.create", "parameters": account})
        assert answer["error"]["code"] == 1001  # which the package has not imported


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
async def test_a_broken_module_ends_the_start(tmp_path: Path, text: str, reason: str) -> None:
    """Its own traceback is shown, with its file and its name, before any client can connect."""
    write(tmp_path, methods__hello=HELLO, methods__deeper__broken=text)
    with socket.create_server(("127.0.0.1", 0)) as taken:  # listening there would be a different error
        said = await failing(tmp_path, *SERVE, f"--port={taken.getsockname()[1]}")
    assert "Traceback (most recent call last)" in said
    assert f'{tmp_path}/methods/deeper/broken.py", line 1' in said
    assert reason in said
    assert "methods.deeper.broken" in said
    assert "Serving" not in said


async def test_a_syntax_error_ends_the_start(tmp_path: Path) -> None:
    """Its file and line come first, then the code, without a traceback."""
    write(tmp_path, methods__hello=HELLO, methods__broken="async def invoke(handler, parameters) return 1")
    said = await failing(tmp_path, *SERVE, "--port=0")
    first, code, *_, last = said.splitlines()
    assert first == f"toto-aio: {tmp_path}/methods/broken.py, line 1: SyntaxError: expected ':'"
    assert code == "    async def invoke(handler, parameters) return 1"
    assert last == "while importing the methods of 'methods.broken'"
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_a_signal_ends_it_well(tmp_path: Path, number: signal.Signals) -> None:
    """TERM and INT end it with status 0 and no output, even in Python's development mode."""
    write(tmp_path, methods__hello=HELLO)
    async with serving(tmp_path, PYTHONDEVMODE="1") as server:
        assert await server.call(CALL) == {"result": "Hello, Ada"}
        said = len(server.lines)
        assert await server.end(number) == 0
        # asyncio's warning of a slow step is about a busy machine, not about us.
        assert [line for line in server.lines[said:] if "WARNING asyncio: Executing" not in line] == []


async def test_a_signal_ends_it_with_open_connections(tmp_path: Path) -> None:
    """A client that keeps its connection open does not delay the shutdown."""
    write(tmp_path, methods__hello=HELLO)
    async with serving(tmp_path, *PATIENT) as server, aiohttp.ClientSession() as client:
        async with client.post(server.address, json=CALL) as response:
            assert await response.json() == {"result": "Hello, Ada"}
        assert await server.end() == 0


PATIENT = (*SERVE, "--port=0", "--shutdown-timeout=300")
"""With more time for an end than a test waits for it."""


async def test_a_call_in_flight_is_answered(tmp_path: Path) -> None:
    """A call that began before the signal gets its response."""
    slow = """
import asyncio, sys
async def invoke(handler, parameters):
    print("begun", file=sys.stderr, flush=True)
    await asyncio.sleep(0.3)
    return "done"
"""
    write(tmp_path, methods__slow=slow)
    async with serving(tmp_path) as server:
        call = asyncio.create_task(server.call({"method": "slow"}))
        await server.wait_for("begun")
        assert await server.end() == 0
        assert await call == {"result": "done"}


async def test_a_call_that_waits_for_an_answer_is_answered(tmp_path: Path) -> None:
    """An asynchronous method that waits for an event does not delay the shutdown: its client gets 1011."""
    waiting = """
import sys
from toto_aio.invocation import asynchronous
@asynchronous
async def invoke(handler, parameters):
    handler.register_event_handler("never", handler.respond)
    print("begun", file=sys.stderr, flush=True)
"""
    write(tmp_path, methods__waiting=waiting)
    async with serving(tmp_path, *PATIENT) as server:
        call = asyncio.create_task(server.call({"method": "waiting"}))
        await server.wait_for("begun")
        assert await server.end() == 0
        assert (await call)["error"]["code"] == 1011


async def test_a_port_in_use(tmp_path: Path) -> None:
    """One line names the address."""
    write(tmp_path, methods__hello=HELLO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = await failing(tmp_path, *SERVE, f"--port={port}")
    assert said.count("\n") == 1
    assert f"127.0.0.1:{port}" in said
    assert "in use" in said


WRONG = [
    "--method-module=nowhere",
    "--method-module=nowhere.methods",
    "--method-module=",
    "--startup-function=nowhere.function",
    "--startup-function=methods.nothing",
    "--startup-function=function",
    "--before-handler=nowhere.function",
    "--event-init-module=nowhere",
    "--event-init-module=methods",
    "--database=nonsense://",
    "--database=sqlite:////nowhere/toto.db",
    "--events=nonsense",
    "--signing=nonsense",
    "--root=/{nonsense",
    "--root=/{name}",
    "--host=256.0.0.1",
    "--unix-socket=nowhere/socket",
]
"""Values of options that are only found to be wrong during the start."""


async def test_a_wrong_value_ends_the_start_with_one_line(tmp_path: Path) -> None:
    """What is only discovered during the start is also reported in one line, and the option is named."""
    write(tmp_path, methods__hello=HELLO)
    each = await failing_each(tmp_path, *(f"serve --port=0 {argument}" for argument in WRONG))
    for argument, said in zip(WRONG, each, strict=True):
        assert said.startswith("toto-aio: "), (argument, said)
        assert said.count("\n") == 1, (argument, said)
        name, _, value = argument.removeprefix("--").partition("=")
        assert name.replace("-", "_") in said or value.removeprefix("sqlite:///") in said, (argument, said)


async def test_a_startup_function_that_fails(tmp_path: Path) -> None:
    """What its module raises is shown as it is, like an exception in a module of methods."""
    write(tmp_path, methods__hello=HELLO, setup="import no_such_module")
    said = await failing(tmp_path, *SERVE, "--port=0", "--startup-function=setup.prepare")
    assert "Traceback (most recent call last)" in said
    assert f'{tmp_path}/setup.py", line 1' in said
    assert "No module named 'no_such_module'" in said


async def test_a_unix_socket(tmp_path: Path) -> None:
    """It listens on a path instead of a port."""
    write(tmp_path, methods__hello=HELLO)
    path = short(tmp_path / "s")
    async with serving(tmp_path, *SERVE, "--unix-socket=s") as server:
        assert server.address.startswith("s ")
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client:
            async with client.post("http://localhost/service", json=CALL) as response:
                assert await response.json() == {"result": "Hello, Ada"}
        assert await server.end() == 0


async def test_a_unix_socket_in_use(tmp_path: Path) -> None:
    """A second server does not take over the first one's path."""
    write(tmp_path, methods__hello=HELLO)
    async with serving(tmp_path, *SERVE, "--unix-socket=s"):
        said = await failing(tmp_path, *SERVE, "--unix-socket=s")
    assert said.count("\n") == 1
    assert "in use" in said


async def test_a_unix_socket_that_was_left_behind(tmp_path: Path) -> None:
    """The socket of a server that was killed does not block the next start."""
    write(tmp_path, methods__hello=HELLO)
    path = short(tmp_path / "s")
    async with serving(tmp_path, *SERVE, "--unix-socket=s") as server:
        await server.end(signal.SIGKILL)
        assert (tmp_path / "s").is_socket()
    async with serving(tmp_path, *SERVE, "--unix-socket=s"):
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as client:
            async with client.post("http://localhost/service", json=CALL) as response:
                assert await response.json() == {"result": "Hello, Ada"}


async def test_options_from_the_environment(tmp_path: Path) -> None:
    """``TOTO_AIO_NAME`` is an option, and the command line overrides it."""
    write(tmp_path, methods__hello=HELLO)
    variables = {"TOTO_AIO_PORT": "0", "TOTO_AIO_ROOT": "/environ", "TOTO_AIO_DATABASE": "memory://"}
    async with serving(tmp_path, *SERVE, **variables) as server:
        assert server.address.endswith("/environ")
        assert await server.call(CALL) == {"result": "Hello, Ada"}
    async with serving(tmp_path, *SERVE, "--root=/argument", **variables) as server:
        assert server.address.endswith("/argument")
        assert await server.call(CALL) == {"result": "Hello, Ada"}
    assert not (tmp_path / "toto.db").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("toto.toml", 'port = 0\nroot = "/file"\nmethod_module = "calls"\ndatabase = "memory://"'),
        ("toto.conf", "port = 0\nroot = '/file'\nmethod_module = 'calls'\ndatabase = 'memory' '://'"),
    ],
)
async def test_options_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    """``serve FILE`` reads both TOML and Toto's literals."""
    write(tmp_path, calls__hello=HELLO)
    (tmp_path / name).write_text(text)
    async with serving(tmp_path, *SERVE, name) as server:
        assert server.address.endswith("/file")
        assert await server.call(CALL) == {"result": "Hello, Ada"}
    async with serving(tmp_path, *SERVE, "--root", "/argument", name, "--debug") as server:
        assert server.address.endswith("/argument")


@pytest.mark.parametrize(
    "argument", ["--processes=2", "--processes=0", "--autoreload", "--start", "--status"]
)
async def test_where_there_is_no_pidfd(tmp_path: Path, argument: str) -> None:
    """An option that needs Linux says so in one line."""
    code = f"import os; del os.pidfd_open; from toto_aio.cli.main import main; main(['serve', '{argument}'])"
    said = await failing(tmp_path, "-c", code)
    assert said == (
        "toto-aio: processes, autoreload and a service in the background need Linux: write processes=1\n"
    )


SCRIPT = """
from toto_aio import TotoServer

if __name__ == "__main__":
    TotoServer("toto.toml", port=0, root="/keyword", database="memory://").run()
"""


async def test_a_script(tmp_path: Path) -> None:
    """``TotoServer(...).run()`` serves, with the options of its call, its file and its arguments."""
    write(tmp_path, run=SCRIPT, methods__hello=HELLO)
    (tmp_path / "toto.toml").write_text("batch_limit = 1")
    async with serving(tmp_path, "run.py") as server:
        assert server.address.endswith("/keyword")
        assert await server.call(CALL) == {"result": "Hello, Ada"}
        assert (await server.call({"batch": {"a": CALL, "b": CALL}}))["error"]["code"] == 1003
        assert await server.end() == 0
    async with serving(tmp_path, "run.py", "--root=/argument", "--batch_limit=2") as server:
        assert server.address.endswith("/argument")
        answer = await server.call({"batch": {"a": CALL, "b": CALL}})
        assert answer == {"batch": {"a": {"result": "Hello, Ada"}, "b": {"result": "Hello, Ada"}}}


async def test_a_script_with_a_wrong_argument(tmp_path: Path) -> None:
    """It ends with exactly one line."""
    write(tmp_path, run=SCRIPT, methods__hello=HELLO)
    (tmp_path / "toto.toml").touch()
    said = await failing(tmp_path, "run.py", "--session_tll=5")
    assert said == "run.py: --session-tll: no such option; did you mean session_ttl?\n"


async def test_the_current_folder_is_on_the_import_path(tmp_path: Path) -> None:
    """A script, or the program ``toto-aio``, in another folder finds the methods of this folder."""
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    write(elsewhere, run=SCRIPT)
    write(here, methods__hello=HELLO, hooks="def before(handler, transaction_id, method): pass")
    (here / "toto.toml").write_text("before_handler = 'hooks.before'")
    async with serving(here, str(elsewhere / "run.py")) as server:
        assert await server.call(CALL) == {"result": "Hello, Ada"}
    program = str(Path(sys.executable).with_name("toto-aio"))
    async with serving(here, program, "serve", "--port=0", "toto.toml") as server:
        assert await server.call(CALL) == {"result": "Hello, Ada"}
