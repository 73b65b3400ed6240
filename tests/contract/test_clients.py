"""The clients that are made of a service: they compile strictly, call it, and change only when it does."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import ROOT
from tests.support.channels import CHANNELS
from tests.support.service import Serve
from tests.support.thirty import WITH_ACCOUNTS
from toto_aio import File, Handler
from toto_aio.codecs.json_codec import JSON
from toto_aio.contract.interface import Interface, Operation, read_interface
from toto_aio.contract.openapi import openapi
from toto_aio.contract.python import python
from toto_aio.contract.typescript import typescript
from toto_aio.invocation import authenticated, idempotent, raw_response, requires, roles, safe
from toto_aio.registry import find_functions, find_methods
from toto_aio.settings import read_settings

if TYPE_CHECKING:
    from tests.support.node import Node

pytest_plugins = ["tests.support.node"]

EXAMPLES = {"hello": "methods", "embedded": "methods", "chat": "rooms"}
"""The examples that have methods, and the packages of these."""
HOSTILE = 'no*/ "end"\n\n"""\\` */ throw 1; \u2028 x = 1\\'


async def title(handler: Handler, title: str) -> str:
    """A method that is a package too."""
    return title


async def renamed(handler: Handler, heading: str) -> str:
    """The same, with its parameter renamed."""
    return heading


def classic() -> Any:
    """A classic method, which knows no types."""

    async def own(handler: Handler, parameters: dict[str, Any]) -> list[int]:
        """List what there is."""
        return []

    return own


async def listed(handler: Handler) -> list[int]:
    """A method with the name of a type."""
    return []


@authenticated
@idempotent
async def pay(handler: Handler) -> int:
    """A method whose calls may be repeated."""
    return 1


@idempotent
@authenticated
async def attach(handler: Handler, file: File) -> int:
    """A method with a file."""
    return len(file.data)


class Methods:
    """A class whose name is taken."""

    words: list[str]


async def odd(handler: Handler, class_: str, self: int = 1) -> dict[str, list[str]]:
    """A method whose parameters are words of the languages."""
    return {class_: [str(self)]}


ODD: dict[str, Any] = {
    "notes": title,
    "notes.name": title,
    "notes.list": listed,
    "notes.new": title,
    "notes.pay": pay,
    "notes.attach": attach,
    "notes.import": roles("admin")(safe(odd)),
    "x-y.__proto__": requires("strange name", "z")(classic()),
    "x-y.x_y": raw_response(classic()),
    "x-y.x-y": title,
    'quo"ted.`${1}`': title,
}
NAMES = ("thirty", "odd", "rooms", "notes", "renamed", "hello", "embedded", "chat", "hostile")

USE = """
import { Client } from "toto-client";
import { api, type Note } from "./thirty";
import { api as odd } from "./odd";
import { api as notes } from "./notes";
import { api as renamed } from "./renamed";
import * as json from "centrifuge";
import { connect, type Centrifuge } from "toto-client/channels";
import * as protobuf from "toto-client/channels/protobuf";
import { channels } from "./rooms";

export async function both(client: Client): Promise<string[][]> {
  const connection: protobuf.Centrifuge = await connect(client, protobuf);
  // @ts-expect-error: its data would be bytes
  await connect(client, await import("centrifuge/build/protobuf"));
  return [listen(connection), listen(await connect(client, json))];
}

export function listen(connection: Centrifuge): string[] {
  const found: string[] = [];
  const rooms = channels(connection);
  const room = rooms.room<{ text: string }>({ room: 7 });
  room.on("publication", ({ data }) => found.push(data.text));
  room.on("subscribed", ({ data }) => found.push(data.topic));
  // @ts-expect-error: a topic is text
  room.on("subscribed", ({ data }) => found.push(data.topic * 2));
  // @ts-expect-error: rooms have numbers
  rooms.room({ room: "a" });
  // @ts-expect-error: it must have one
  rooms.room({});
  rooms.news().subscribe();
  rooms.roomByRoomPage({ room: "a", page: 1 }).unsubscribe();
  rooms.userInbox({ id: "a", class: "b" }, { positioned: true });
  return found;
}

export async function use(client: Client): Promise<string[]> {
  const service = api(client);
  const note: Note = await service.notes.add({ title: "Milk", color: "blue" }, { timeout: 1000 });
  // @ts-expect-error: there is no such color
  await service.notes.add({ title: "Milk", color: "green" });
  // @ts-expect-error: titel is no parameter
  await service.notes.add({ title: "Milk", titel: "Milk" });
  // @ts-expect-error: nor is anything
  await service.visit({ a: 1 });
  await service.visit();
  await service.data.upload({ file: new Blob(["a"]), copies: 2 });
  const ratio: number | null = await service.math.ratio({ part: 1 });
  const { body } = await service.raw();
  await odd(client).notes({ title: "a" });
  await odd(client).notes.name({ title: "a" });
  await odd(client)["x-y"]["__proto__"]({ "strange name": 1, z: 2, more: 3 });
  // @ts-expect-error: z is missing
  await odd(client)["x-y"]["__proto__"]({ "strange name": 1 });
  await odd(client)["x-y"].x_y();
  await notes(client).notes({ title: "a" });
  // @ts-expect-error: the title is called heading now
  await renamed(client).notes({ title: "a" });
  return [note.title, String(ratio), String(body.length)];
}
"""
CALLS = """
import { Client } from "toto-client";
import { api } from "./thirty";
import { api as odd } from "./odd";

const client = new Client(process.argv[2]!);
const service = api(client);
const found = [
  await service.notes.add({ title: "Milk" }),
  await service.notes.find({ word: "milk", limit: 1 }),
  await service.data.upload({ file: new Blob(["abc"]) }),
  await odd(client).notes({ title: "a" }),
  await odd(client).notes.name({ title: "b" }),
  [...(await service.raw()).body],
];
console.log(JSON.stringify(found));
"""


def interface_of(methods: Any, **options: Any) -> Interface:
    """What a service with these methods offers, as its document arrives."""
    settings = read_settings({"method_module": methods, **options})
    return read_interface(json.loads(JSON.encode(openapi(find_functions(methods, 60), settings, "/service"))))


@pytest.fixture
def interfaces(monkeypatch: pytest.MonkeyPatch) -> dict[str, Interface]:
    """The services of which clients are made."""
    document = openapi(find_methods(WITH_ACCOUNTS, 60), read_settings({"method_module": WITH_ACCOUNTS}), "")
    found = {
        "thirty": interface_of(WITH_ACCOUNTS),
        "odd": interface_of(ODD),
        "rooms": interface_of({"notes": title, **CHANNELS}),
        "notes": interface_of({"notes": title}),
        "renamed": interface_of({"notes": renamed}),
        "hostile": read_interface(_spoiled(json.loads(JSON.encode(document)))),
    }
    for example, package in EXAMPLES.items():
        with monkeypatch.context() as patch:
            patch.syspath_prepend(ROOT / "examples" / example)
            found[example] = interface_of(package)
            for name in [name for name in sys.modules if name.partition(".")[0] == package]:
                del sys.modules[name]  # another example has a package of that name
    return found


def test_the_same_whatever_the_options(interfaces: dict[str, Interface]) -> None:
    """A client does not change with statuses, encodings and verbs, which are no part of its methods."""
    other = interface_of(
        WITH_ACCOUNTS, error_status="http", bson_enabled=False, get_methods="all", signing="session"
    )
    for make in (typescript, python):
        assert make(other) == make(interfaces["thirty"])
        assert make(interfaces["notes"]) != make(interfaces["renamed"])
    assert "{ safe: true, ...options }" in typescript(other)


def test_calls_that_may_be_repeated(interfaces: dict[str, Interface]) -> None:
    """Methods that are safe, and those that are idempotent: of these a client makes up the key."""
    code = typescript(interfaces["odd"])
    assert 'client.call("notes.pay", parameters, { idempotent: true, ...options })' in code
    assert 'client.call("notes.import", parameters, { safe: true, ...options })' in code
    assert 'client.call("notes.name", parameters, options)' in code
    code = python(interfaces["odd"])
    assert "self._client.call('notes.pay', dict(parameters), idempotent=True)" in code
    assert "_with_files(self._client, 'notes.attach', dict(parameters), 'file', idempotent=True)" in code


def test_texts_of_strangers() -> None:
    """No text ends the comment or the docstring it stands in, or shows code in another order than it has."""
    for text in (
        'ends: "x" \0',
        'ends: ""\0\0',
        "a \u202e} /* b",
        "\u2066a\u2069",
        "a\rb\x85c",
        'a\\\0"',
        "*\u200f/ a",
    ):
        method = Operation("notes.find", {}, True, description=text)
        made = Interface({"notes.find": method}, {"Note": {"type": "object", "description": text}})
        for code in (typescript(made), python(made)):
            assert all(character.isprintable() or character == "\n" for character in code), repr(text)
        ast.parse(python(made))
        assert typescript(made).count("*/") == typescript(made).count("/**"), repr(text)


def test_names_of_typescript() -> None:
    """A method ``new`` is no constructor, and no name is read as another one."""
    method = Operation("notes.new", {"properties": {"a\n": {}}}, True)
    code = typescript(Interface({"notes.new": method}, {}))
    assert '    "new"(parameters?: ' in code
    assert '"a\\n"?: unknown' in code


async def test_typescript(node: Node, serve: Serve, interfaces: dict[str, Interface], tmp_path: Path) -> None:
    """It compiles under ``tsc --strict``, and calls; what uses a renamed parameter does not."""
    assert set(NAMES) == set(interfaces)
    for name, interface in interfaces.items():
        (tmp_path / f"{name}.ts").write_text(typescript(interface), encoding="utf-8")
    (tmp_path / "use.ts").write_text(USE, encoding="utf-8")
    await asyncio.to_thread(node.compile, tmp_path)
    bundle = ("esbuild", "bin/esbuild", "calls.ts", "--bundle", "--format=esm", "--outfile=calls.mjs")
    (tmp_path / "calls.ts").write_text(CALLS, encoding="utf-8")
    await asyncio.to_thread(node.run, *bundle, "--log-level=error", folder=tmp_path)
    service = await serve({**WITH_ACCOUNTS, **ODD})
    url = str(service.client.make_url("/service"))
    printed = await asyncio.to_thread(node.run, ".", str(tmp_path / "calls.mjs"), url)
    assert json.loads(printed) == [
        {"title": "Milk", "color": "red", "tags": [], "author": None},
        ["milk"],
        {"size": 3, "copies": 1},
        *("a", "b"),
        [0, 1],
    ]


async def test_python(serve: Serve, interfaces: dict[str, Interface], tmp_path: Path) -> None:
    """It passes ``mypy --strict``, and calls; what uses a renamed parameter does not."""
    for name, interface in interfaces.items():
        text = python(interface)
        ast.parse(text)
        (tmp_path / f"{name}_api.py").write_text(text, encoding="utf-8")
    (tmp_path / "use.py").write_text(PYTHON_USE, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(PYTHON_WRONG, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(MYPY, encoding="utf-8")
    cache = ROOT / ".mypy_cache" / "clients"
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=mypy.ini",
        f"--cache-dir={cache}",
        ".",
    ]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    lines = PYTHON_WRONG.splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if line.endswith("# wrong")]
    found = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert {line.split(": ")[0] for line in found} == {f"wrong.py:{number}" for number in wrong}, done.stdout
    service = await serve({**WITH_ACCOUNTS, **ODD})
    url = str(service.client.make_url("/service"))
    names: dict[str, Any] = {}
    sys.path.insert(0, str(tmp_path))
    try:
        exec(PYTHON_USE, names)  # noqa: S102  # our own
        assert await names["use"](url) == ["Milk", ["milk"], 3, "a", "b", b"\x00\x01", {"a": ["2"]}]
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.endswith("_api")]:
            del sys.modules[name]


MYPY = """
[mypy]
follow_imports = skip
[mypy-toto_aio.*]
follow_imports = silent
"""
"""A client knows the types of toto_aio, whose own code ``make style`` checks, and of no other package."""
PYTHON_USE = """
from typing import Any

import odd_api
import rooms_api
import thirty_api
from toto_aio import File
from toto_aio.client import Client


async def use(url: str) -> list[Any]:
    async with Client(url) as client:
        service, odd = thirty_api.Api(client), odd_api.Api(client)
        note = await service.notes.add(title="Milk", color="blue")
        word: list[str] = await service.notes.find(word="milk", limit=1)
        upload = await service.data.upload(file=File("a", "text/plain", b"abc"))
        raw = await service.raw()
        notes = [await odd.notes(title="a"), await odd.notes.name(title="b")]
        await odd.notes.list()
        self = {"class": "a", "self": 2}
        rooms_api.Channels(client).user_inbox(**{"id": "a", "class": "b"})
        rooms_api.Channels(client).room_by_room_page(room="a", page=1)
        return [note["title"], word, upload["size"], *notes, raw.body, {"a": ["2"]}]
"""
PYTHON_WRONG = """
import notes_api
import renamed_api
import rooms_api
import thirty_api
from toto_aio.client import Client


async def use(client: Client) -> None:
    service = thirty_api.Api(client)
    await service.notes.add(title="Milk", color="green")  # wrong
    await service.notes.add(titel="Milk")  # wrong
    await notes_api.Api(client).notes(title="a")
    await renamed_api.Api(client).notes(title="a")  # wrong
    rooms_api.Channels(client).room(room="a")  # wrong
    async with rooms_api.Channels(client).room(room=7) as messages:
        print(messages.position)
"""


def test_documents_that_are_none() -> None:
    """What is not as it should be is passed over."""
    broken: list[Any] = [None, [], {}, {"paths": 3}, {"paths": {"/a": {"post": []}}}, {"components": []}]
    for document in broken:
        interface = read_interface(document)
        assert interface == Interface({}, {})
        assert "export interface Methods {\n}" in typescript(interface)
        ast.parse(python(interface))
    loop = {"$ref": "#/components/schemas/a"}
    body = {"content": {"application/json": {"schema": loop}}}
    paths = {"/b": {"post": {"operationId": "b", "requestBody": body}}}
    endless = {"components": {"schemas": {"a": loop}}, "paths": paths}
    assert read_interface(endless).methods["b"].parameters == {}


def _spoiled(value: Any) -> Any:
    """A document whose texts and names try to be code."""
    if isinstance(value, list):
        return [_spoiled(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _spoiled(each) for name, each in value.items()}
    for name in ("summary", "description", "operationId"):
        if isinstance(found.get(name), str):
            found[name] += HOSTILE
    if isinstance(found.get("enum"), list):
        found["enum"] = [f"{each}{HOSTILE}" for each in found["enum"]]
    properties = found.get("properties")
    if isinstance(properties, dict) and "result" not in properties:
        found["properties"] = {f"{name}{HOSTILE}": each for name, each in properties.items()}
        found.pop("required", None)
    return found
