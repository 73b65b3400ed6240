"""Services written as Toto's two templates are, moved by the rules of docs/migration.md, and used as their
scripts use them: the counter of ``simple``, and the ``chat`` of several processes."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.conftest import server_module
from tests.server.test_background import Done, Shell
from tests.support.limits import WATCHDOG
from toto_aio.settings import SettingsError, read_settings

SCRIPT = """
import toto_aio.server

if __name__ == '__main__':
    toto_aio.server.TotoServer('toto.conf').run()
"""

SIMPLE = {
    "totoserver.py": SCRIPT,
    "toto.conf": (
        "port=8888\nbson_enabled=True\nmethod_module='methods'\n"
        "mongodb_database='toto_simple'\ndatabase='mongodb'\n"
    ),
    "methods/__init__.py": (
        "from . import account, increment\nimport toto_aio.methods.client_error as client_error\n"
    ),
    "methods/account/__init__.py": (
        "import toto_aio.methods.account.update as update\n"
        "import toto_aio.methods.account.login as login\n"
        "import toto_aio.methods.account.create as create\n"
        "import toto_aio.methods.account.logout as logout\n"
    ),
    "methods/increment.py": """
from toto_aio.invocation import *

@authenticated
def invoke(handler, params):
    handler.session['counter'] = (handler.session['counter'] or 0) + 1
    handler.session.save()
    return {'count': handler.session['counter']}
""",
}

CHAT = {
    "totoserver.py": SCRIPT,
    "toto.conf": (
        "method_module='chat'\ndatabase='none'\nprocesses=2\ndaemon='start'\n"
        "remote_instances='tcp://localhost:8787'\ndebug=True\nevent_mode='on'\n"
    ),
    "event.conf": (
        "database='none'\nprocesses=1\nevent_init_module='setup_events'\nport=9999\nevent_port=8787\n"
        "event_mode='only'\nmethod_module='chat'\nautoreload=True\npidfile='event.pid'\ndaemon='start'\n"
    ),
    "setup_events.py": """
import sys

def print_event(args):
    print('Event:', args, file=sys.stderr)

def invoke(event_manager):
    event_manager.register_handler('message', print_event, persist=True)
""",
    "chat/__init__.py": "from . import post_message, receive_message\n",
    "chat/post_message.py": """
from toto_aio.invocation import *
from toto_aio.events import EventManager

@requires('message')
def invoke(handler, params):
    EventManager.instance().send('message', params['message'])
    return 'message sent!'
""",
    "chat/receive_message.py": """
from toto_aio.invocation import *

@asynchronous
def invoke(handler, params):
    def receive_message(message):
        handler.respond(result={'message': message})
    handler.register_event_handler('message', receive_message, deregister_on_finish=True)
""",
}


class Project(Shell):
    """A folder with the files of a template."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        super().__init__(folder)
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)

    def move(self, file: str, steps: Sequence[tuple[str, str, str]]) -> None:
        """Change a file until it is accepted: for each step what is said, a pattern, and its replacement."""
        path = self.folder / file
        for told, pattern, replacement in steps:
            with pytest.raises(SettingsError, match=re.escape(told)):
                read_settings({}, path)
            changed, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
            assert count == 1, pattern
            path.write_text(changed)
        read_settings({}, path)

    def add(self, file: str, lines: str) -> None:
        """Add options to a file."""
        with (self.folder / file).open("a") as written:
            written.write(lines)

    @asynccontextmanager
    async def running(self, *flags: str) -> AsyncIterator[str]:
        """The address of the service, which its script starts in the background and stops."""
        started = await self.run("totoserver.py", *flags)
        assert started.status == 0, started.said
        try:
            yield started.address.rstrip("/") + "/"
        finally:
            stopped = await self.run("totoserver.py", "--stop")
            assert stopped == Done(0, f"Stopped process {started.pid}\n")


@pytest.fixture
def fresh_url(servers: Any) -> Callable[[str], str]:
    """The URL of an empty database of a kind."""
    return lambda kind: str(server_module(kind).fresh_url(servers(kind)))


async def test_simple(tmp_path: Path, fresh_url: Callable[[str], str]) -> None:
    """Each session counts for itself, signed as the template's scripts sign."""
    project = Project(tmp_path, SIMPLE)
    project.move(
        "toto.conf",
        [
            ("mongodb_database: write database=mongodb://host/name", "^mongodb_database=.*\n", ""),
        ],
    )
    project.add("toto.conf", f"database={fresh_url('mongodb')!r}\nroot='/'\nport=0\npassword_min_length=1\n")
    async with project.running("--start") as url, aiohttp.ClientSession() as client:

        async def call(method: str, parameters: Any, session: Mapping[str, str] | None = None) -> Any:
            body = json.dumps({"method": method, "parameters": parameters})
            headers = {"content-type": "application/json"}
            if session is not None:
                digest = hmac.digest(session["user_id"].encode(), body.encode(), "sha1")
                headers["x-toto-session-id"] = session["session_id"]
                headers["x-toto-hmac"] = base64.b64encode(digest).decode()
            async with client.post(url, data=body, headers=headers) as response:
                return (await response.json())["result"]

        for account in ({"user_id": uuid4().hex, "password": uuid4().hex} for _ in range(2)):
            for method in ("account.create", "account.login"):
                session = await call(method, account)
                counts = [(await call("increment", {}, session))["count"] for _ in range(3)]
                assert counts == [1, 2, 3]
        assert await call("account.logout", {}, session) == {"authenticated": False}
        error = {"client_error": "e", "client_type": "browser_js"}
        assert await call("client_error", error) == {"logged": True}


async def test_chat(tmp_path: Path, fresh_url: Callable[[str], str]) -> None:
    """A message reaches all who wait, in both processes, by POST and by GET, and the handler of the start."""
    project = Project(tmp_path, CHAT)
    redis = fresh_url("redis")
    project.move(
        "toto.conf",
        [
            ("remote_instances: leave it out", "^remote_instances=.*\n", ""),
            ("event_mode: write events=memory://", "^event_mode='on'", f"events={redis!r}"),
        ],
    )
    with pytest.raises(SettingsError, match=r"event_mode: leave this server out|event_port: leave it out"):
        read_settings({}, tmp_path / "event.conf")
    project.add("toto.conf", "event_init_module='setup_events'\nroot='/'\nget_methods='all'\nport=0\n")
    async with project.running() as url, aiohttp.ClientSession() as client:

        async def listen(path: str = "", body: Any = None) -> Any:
            method, headers = ("GET" if body is None else "POST"), {"content-type": "application/json"}
            async with client.request(method, url + path, json=body, headers=headers) as response:
                return (await response.json())["result"]

        named = {"method": "receive_message", "parameters": {}}
        waiting = [asyncio.create_task(listen(body=named)) for _ in range(4)]
        waiting += [asyncio.create_task(listen("receive_message")) for _ in range(4)]
        message = {"method": "post_message", "parameters": {"message": "welcome"}}
        async with asyncio.timeout(WATCHDOG):
            while not all(task.done() for task in waiting):  # nobody says when they listen
                assert await listen(body=message) == "message sent!"
                await asyncio.wait(waiting, timeout=0.05)
        assert [task.result() for task in waiting] == [{"message": "welcome"}] * 8
    assert "Event: welcome" in (tmp_path / "toto.log").read_text()
