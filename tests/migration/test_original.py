"""The cases of Toto's own tests, against a service that was moved by the rules of docs/migration.md.

They are those of the server, of authentication and of signed requests. With ``root=/``, ``get_methods=all``
and ``password_min_length=1`` all pass, except for those that want the text of an unexpected exception: even
with ``debug`` it has an id in front.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.programs import ENVIRONMENT

ARGUMENTS = {"arg1": 1, "arg2": "hello"}
JSON = {"content-type": "application/json"}

PACKAGES = {
    "web_methods": "from . import account, return_value, test",
    "web_methods/account": (
        "import toto_aio.methods.account.login as login\n"
        "import toto_aio.methods.account.create as create\n"
        "import toto_aio.methods.account.update as update\n"
        "import toto_aio.methods.account.logout as logout\n"
    ),
    "web_methods/test": "from . import ok",
}
RETURN = {
    "return_value": """
        def invoke(handler, parameters):
            return {'parameters': parameters}
    """,
    "return_value_async": """
        @asynchronous
        def invoke(handler, parameters):
            def respond():
                sleep(0.01)
                handler.respond({'parameters': parameters})
            Thread(target=respond).start()
    """,
    "return_value_coroutine": """
        async def invoke(handler, parameters):
            await asyncio.sleep(0.01)
            return {'parameters': parameters}
    """,
    "return_value_task": """
        @asynchronous
        def invoke(handler, parameters):
            def respond(params):
                sleep(0.01)
                handler.respond({'parameters': params})
            threads.submit(respond, parameters)
    """,
    "return_value_task_coroutine": """
        async def invoke(handler, parameters):
            def respond(params):
                sleep(0.01)
                return {'parameters': params}
            value = asyncio.to_thread(lambda: True)
            return await value and await asyncio.to_thread(respond, parameters)
    """,
}
THROW = {
    "throw_{}": """
        def invoke(handler, parameters):
            raise {}
    """,
    "throw_{}_async_coroutine": """
        async def invoke(handler, parameters):
            raise {}
    """,
    "throw_{}_task_coroutine": """
        async def invoke(handler, parameters):
            def respond(params):
                raise {}
            return await asyncio.to_thread(respond, parameters)
    """,
}
OTHERS = {
    "test/ok": """
        def invoke(handler, parameters):
            return {'status': 'ok', 'parameters': parameters}
    """,
    "verify_session": """
        @authenticated
        def invoke(handler, parameters):
            return {'parameters': parameters, 'user_id': handler.session.user_id}
    """,
}
HEAD = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from time import sleep

from toto_aio import TotoException
from toto_aio.invocation import *

threads = ThreadPoolExecutor(1)
"""
SCRIPT = """
import os
from toto_aio import TotoServer

TotoServer(
    method_module='web_methods', port=0, debug=True, processes=-1, daemon=os.environ['DAEMON'],
    pidfile='server.pid', root='/', get_methods='all', password_min_length=1, **{options!r}
).run()
"""
ERRORS = {
    "exception": "Exception('Test Exception')",
    "toto_exception": "TotoException(4242, 'Test Toto Exception')",
}


def lay_out(folder: Path) -> None:
    """Write the package of methods, in which each is what Toto's author wrote, moved."""
    methods = {**RETURN, **OTHERS}
    for kind, error in ERRORS.items():
        methods |= {name.format(kind): text.replace("{}", error) for name, text in THROW.items()}
    for package, text in PACKAGES.items():
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(text)
    for name, text in methods.items():
        (folder / "web_methods" / f"{name}.py").write_text(HEAD + re.sub(r"(?m)^ {8}", "", text))


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[str]:
    """The address of the service, started and stopped by its script's ``daemon``, as Toto's tests did it."""
    lay_out(folder)
    (folder / "server.py").write_text(SCRIPT.replace("{options!r}", repr(options)))

    def run(daemon: str) -> str:
        done = subprocess.run(
            [sys.executable, "server.py"],
            cwd=folder,
            env={**ENVIRONMENT, "DAEMON": daemon},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    started = re.search(r"serving on (http://\S+)", run("start"))
    assert started is not None
    try:
        yield started[1].rstrip("/") + "/"
    finally:
        assert "Stopped process" in run("stop")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service of the tests of the server and of authentication."""
    with running(tmp_path_factory.mktemp("original")) as url:
        yield url


def send(url: str, body: bytes | None = None, headers: dict[str, str] = JSON) -> Any:
    """The response to a request, decoded."""
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
        return json.loads(response.read())


def call(url: str, method: str, parameters: Any, key: str = "result", **headers: str) -> Any:
    """The result of a call, or its error."""
    body = json.dumps({"method": method, "parameters": parameters}).encode()
    return send(url, body, {**JSON, **headers})[key]


@pytest.mark.parametrize("method", RETURN)
def test_a_result(url: str, method: str) -> None:
    """Of each kind of method."""
    assert call(url, method, ARGUMENTS)["parameters"] == ARGUMENTS


def test_no_method(url: str) -> None:
    """1002."""
    assert send(url, json.dumps({"parameters": ARGUMENTS}).encode()) == {
        "error": {"code": 1002, "value": "Missing method."}
    }


def test_an_unknown_method(url: str) -> None:
    """1001."""
    error = call(url, "bad_method.test", ARGUMENTS, "error")
    assert error == {"code": 1001, "value": "Cannot call 'bad_method.test'."}


def test_a_form(url: str) -> None:
    """Its values are lists."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    result = send(f"{url}return_value", b"arg1=1&arg2=hello", form)["result"]
    assert result["parameters"] == {"arg1": ["1"], "arg2": ["hello"]}


def test_no_parameters(url: str) -> None:
    """Without ``parameters`` the body is the parameters."""
    result = send(url, b'{"method": "return_value"}')["result"]
    assert result["parameters"] == {"method": "return_value"}


def test_a_method_in_the_url(url: str) -> None:
    """Its name may be a path, also below another name."""
    body = json.dumps({"parameters": ARGUMENTS}).encode()
    assert send(f"{url}return_value", body)["result"]["parameters"] == ARGUMENTS
    assert send(f"{url}test/ok", body)["result"] == {"status": "ok", "parameters": ARGUMENTS}


def test_get(url: str) -> None:
    """The parameters are text."""
    result = send(f"{url}return_value?arg1=1&arg2=hello", None, {})["result"]
    assert result["parameters"] == {"arg1": "1", "arg2": "hello"}


@pytest.mark.parametrize("method", ["return_value", "return_value_async", "return_value_task"])
def test_a_batch(url: str, method: str) -> None:
    """Each call has its own response."""
    batch = {
        key: {"method": method, "parameters": {"arg1": 1, "arg2": key}}
        for key in (uuid4().hex for _ in range(3))
    }
    responses = send(url, json.dumps({"batch": batch}).encode())["batch"]
    assert {key: response["result"] for key, response in responses.items()} == {
        key: {"parameters": request["parameters"]} for key, request in batch.items()
    }


@pytest.mark.parametrize("method", THROW)
def test_an_exception(url: str, method: str) -> None:
    """One of the author's has its code and value; the text of another comes with ``debug``, behind an id."""
    error = call(url, method.format("toto_exception"), ARGUMENTS, "error")
    assert error == {"code": 4242, "value": "Test Toto Exception"}
    error = call(url, method.format("exception"), ARGUMENTS, "error")
    assert error["code"] == 1000
    assert re.fullmatch(r"Internal error [0-9a-f]{16}: Exception: Test Exception", error["value"])


def test_create(url: str) -> None:
    """A new account has a session."""
    user_id = f"test{uuid4().hex}"
    created = call(url, "account.create", {"user_id": user_id, "password": "test"})
    shown = {"x-toto-session-id": created["session_id"]}
    assert call(url, "verify_session", {}, **shown)["user_id"] == user_id


def test_login(url: str) -> None:
    """Each login has a session of its own."""
    account = {"user_id": f"test{uuid4().hex}", "password": "test"}
    created = call(url, "account.create", account)
    logged_in = call(url, "account.login", account)
    assert logged_in["session_id"] != created["session_id"]
    shown = {"x-toto-session-id": logged_in["session_id"]}
    assert call(url, "verify_session", {}, **shown)["user_id"] == account["user_id"]


def test_a_wrong_login(url: str) -> None:
    """1005."""
    error = call(url, "account.login", {"user_id": f"test{uuid4().hex}", "password": "test"}, "error")
    assert error == {"code": 1005, "value": "Invalid user ID or password"}


def test_signed_requests(tmp_path: Path) -> None:
    """With ``hmac_enabled``, now ``signing=toto1``: after a creation, and after a login."""

    def verify(url: str, session: dict[str, str]) -> str:
        body = json.dumps({"method": "verify_session", "parameters": {}})
        digest = hmac.digest(session["key"].encode(), b"POST/" + body.encode(), "sha1")
        signed = {
            "x-toto-session-id": session["session_id"],
            "x-toto-hmac": base64.b64encode(digest).decode(),
        }
        return str(send(url, body.encode(), {**JSON, **signed})["result"]["user_id"])

    with running(tmp_path, signing="toto1") as url:
        account = {"user_id": f"test{uuid4().hex}", "password": "test"}
        created = call(url, "account.create", account)
        assert verify(url, created) == account["user_id"]
        logged_in = call(url, "account.login", account)
        assert logged_in["session_id"] != created["session_id"]
        assert verify(url, logged_in) == account["user_id"]
