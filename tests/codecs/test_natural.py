"""What methods return beside plain data: encoded in every type, or an error that names the place."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import itertools
import json
import logging
import re
import sqlite3
import traceback
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import attrs
import bson
import bson.raw_bson
import msgspec
import pydantic
import pytest

from tests.conftest import server_module
from tests.support.service import Serve, shown
from toto_aio import Handler, create_app
from toto_aio.auth import session_state
from toto_aio.codecs import CODECS, Codec, codecs_with, encode_json, msgpack_codec
from toto_aio.codecs.builtin import MAX_ITEMS
from toto_aio.codecs.converter import MAX_LEVELS, EncodingError
from toto_aio.events import packing
from toto_aio.exceptions import TotoException
from toto_aio.invocation import anonymous_session, jsonp, safe
from toto_aio.settings import SettingsError

each_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.content_type)


class Owner:
    """Not data."""


@attrs.define
class Attributes:
    """An attrs class."""

    x: Any
    y: Any = None


@dataclasses.dataclass
class Data:
    """A dataclass."""

    x: Any


class Tagged(msgspec.Struct, tag="t", rename="camel"):
    """A struct with names of its own on the wire."""

    one_field: Any
    unset: Any = msgspec.UNSET


class Model(pydantic.BaseModel):
    """A model of pydantic."""

    when: datetime.date
    tags: set[int] = {1}


def row(statement: str = "SELECT 1 AS a, 'x' AS b") -> sqlite3.Row:
    """A row of SQLite's."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    found: sqlite3.Row = connection.execute(statement).fetchone()
    connection.close()
    return found


def generator(*items: Any) -> Iterator[Any]:
    """A generator of these items."""
    yield from items


OBJECT_ID = bson.ObjectId("0123456789abcdef01234567")
NATURAL: list[tuple[Callable[[], Any], Any]] = [
    (row, {"a": 1, "b": "x"}),
    (lambda: [row(), {"more": row("SELECT x'00ff' IS NULL AS c")}], [{"a": 1, "b": "x"}, {"more": {"c": 0}}]),
    (lambda: bson.raw_bson.RawBSONDocument(bson.encode({"a": {"b": [1]}})), {"a": {"b": [1]}}),
    (lambda: {OBJECT_ID: 1}, {str(OBJECT_ID): 1}),
    (lambda: collections.deque([1, {2}]), [1, [2]]),
    (lambda: range(3), [0, 1, 2]),
    (lambda: {"a": 1}.keys(), ["a"]),
    (lambda: {"a": 1}.values(), [1]),
    (lambda: {"a": 1}.items(), [["a", 1]]),
    (lambda: collections.Counter("aab"), {"a": 2, "b": 1}),
    (lambda: PurePosixPath("/a/b"), "/a/b"),
    (lambda: {PurePosixPath("/a"): 1}, {"/a": 1}),
    (lambda: ipaddress.ip_address("::1"), "::1"),
    (lambda: [ipaddress.ip_network("10.0.0.0/8")], ["10.0.0.0/8"]),
    (lambda: generator(1, generator(2), Data(generator(3))), [1, [2], {"x": [3]}]),
    (lambda: {"a": map(str, [1])}, {"a": ["1"]}),
    (lambda: Attributes(1, generator(2)), {"x": 1, "y": [2]}),
    (lambda: Attributes(1, Attributes(2)), {"x": 1, "y": {"x": 2, "y": None}}),
    (lambda: Tagged(generator(1)), {"type": "t", "oneField": [1]}),
    (lambda: Tagged(row()), {"type": "t", "oneField": {"a": 1, "b": "x"}}),
    (lambda: decimal.Decimal("1.50"), "1.50"),
    (lambda: [Data(decimal.Decimal(1)), generator()], [{"x": "1"}, []]),
]


@each_codec
@pytest.mark.parametrize(("make", "plain"), NATURAL, ids=shown)
def test_natural_results(codec: Codec, make: Callable[[], Any], plain: Any) -> None:
    """Rows, containers, paths, generators and classes with fields are plain data on the wire."""
    assert codec.decode(codec.encode({"result": make()})) == {"result": plain}
    assert codec.decode(codec.encode({"result": [make(), {1}]})) == {"result": [plain, [1]]}


def test_pydantic() -> None:
    """Models of pydantic are what ``model_dump`` makes of them."""
    expected = {"result": [{"when": "2026-01-02", "tags": [1]}]}
    for codec in CODECS.values():
        encoded = codec.encode({"result": [Model(when=datetime.date(2026, 1, 2))]})
        assert codec.decode(encoded) == expected


@pytest.mark.parametrize("driver", ["postgresql", "mysql", "mongodb", "sqlite"])
async def test_rows_of_the_drivers(driver: str, serve: Serve, request: Any, tmp_path: Any) -> None:
    """What a query returns is a result, in JSON over HTTP."""

    async def rows(handler: Handler, parameters: Any) -> Any:
        db = handler.connection.db
        if driver == "postgresql":
            return await db.fetch("SELECT 1 AS a, now() AS t, '::1'::inet AS ip, ARRAY[1] AS list")
        if driver == "mongodb":
            await db.notes.insert_one({"a": 1, "d": bson.Decimal128("1.5")})
            return await db.notes.find().to_list()
        if driver == "sqlite":
            async with handler.transaction() as connection:
                connection.row_factory = sqlite3.Row
                return await connection.execute_fetchall("SELECT 1 AS a")
        async with db.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute("SELECT 1 AS a, CAST(1.5 AS DECIMAL(3,1)), CURRENT_TIME()")
            return await cursor.fetchall()

    url = f"sqlite:///{tmp_path}/toto.db"
    if driver != "sqlite":
        url = server_module(driver).fresh_url(request.getfixturevalue("servers")(driver))
    service = await serve({"rows": rows}, database=url)
    (found,) = await service.result("rows")
    assert (found[0] if driver == "mysql" else found["a"]) == 1


@each_codec
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {"a": [1, {"b": Owner()}]}, r"^result\.a\[1\]\.b: cannot encode <class .*Owner'>"),
        (lambda: [Data([Owner()])], r"^result\[0\]\.x\[0\]: cannot encode <class"),
        (lambda: Tagged(Owner()), r"^result\.oneField: cannot encode"),
        (lambda: generator(1, Owner()), r"^result\[1\]: cannot encode"),
        (lambda: {"a b": Owner()}, r"^result\['a b'\]: cannot encode"),
        (lambda: {"a": {(1, Owner()): 2}}, r"^result\.a: cannot encode <class 'tuple'> as a key"),
        (lambda: {"a": "\ud800"}, r"^result\.a: .*surrogates"),
        (lambda: [{"\ud800": 1}], r"^result\[0\]: .*surrogates"),
        (lambda: {"a": aiter(agenerator())}, r"^result\.a: .*async for"),
        (lambda: itertools.count(), rf"^result: a generator of more than {MAX_ITEMS} items"),
        (lambda: (itertools.count() for _ in itertools.count()), rf"more than {MAX_ITEMS} items"),
        (lambda: range(10**12), rf"^result: .*more than {MAX_ITEMS} items"),
        (lambda: map(int, ["x"]), r"^result: .*map.* failed: ValueError"),
    ],
    ids=shown,
)  # fmt: skip
def test_the_error_names_type_and_place(codec: Codec, make: Callable[[], Any], message: str) -> None:
    """What cannot be encoded is found, and nothing without an end is read for long."""
    with pytest.raises(EncodingError, match=message):
        codec.encode({"result": make()})


async def agenerator() -> Any:
    """An async generator, which nobody iterates."""
    yield 1


@each_codec
def test_a_value_that_contains_itself(codec: Codec) -> None:
    """The error says so, and its path is short."""
    endless: dict[str, Any] = {}
    endless["again"] = [endless]
    with pytest.raises(EncodingError, match=f"nested deeper than {MAX_LEVELS} levels") as error:
        codec.encode({"result": endless})
    assert len(str(error.value)) < 200


def test_what_is_written_again_reads_no_generator() -> None:
    """State and accounts may be encoded several times: a generator there is an error, not an empty list."""
    with pytest.raises(EncodingError, match=r"^a\[0\]: .* only once: write list"):
        encode_json({"a": [generator(1)]})


async def test_over_every_way(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """HTTP, a batch and a socket give the result, or 1000; the log has the place."""

    async def good(handler: Handler, parameters: Any) -> Any:
        return generator(1, row())

    async def bad(handler: Handler, parameters: Any) -> Any:
        return {"list": [Owner()]}

    async def failing(handler: Handler, parameters: Any) -> Any:
        raise TotoException(2001, {"owner": Owner()})

    @jsonp
    async def script(handler: Handler, parameters: Any) -> Any:
        return generator(row())

    service = await serve({"good": good, "bad": bad, "script": script, "failing": failing}, debug=False)
    expected = [1, {"a": 1, "b": "x"}]
    assert await service.result("good") == expected
    assert (await service.call("bad"))["error"]["code"] == 1000
    assert "result.list[0]: cannot encode <class" in caplog.text
    assert (await service.call("failing"))["error"]["code"] == 1000
    assert "value.owner: cannot encode <class" in caplog.text
    entries = {name: {"method": name} for name in ("good", "bad", "failing")}
    response = await service.post(json={"batch": {**entries, "again": {"method": "good"}}})
    batch = (await response.json())["batch"]
    assert (batch["good"], batch["again"]) == ({"result": expected}, {"result": expected})
    assert (batch["bad"]["error"]["code"], batch["failing"]["error"]["code"]) == (1000, 1000)
    text = await (await service.client.get("/service/script?jsonp=f")).text()
    assert text == '/**/f([{"a":1,"b":"x"}])'
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "method": "good"})
        assert (await socket.receive_json())["result"] == expected
        await socket.send_json({"id": 2, "method": "bad"})
        assert (await socket.receive_json())["error"]["code"] == 1000


async def test_events_and_sessions(serve: Serve) -> None:
    """Events take the same values, sessions plain data only, and both name the place."""

    @anonymous_session
    async def keep(handler: Handler, parameters: Any) -> Any:
        assert handler.session is not None
        async with handler.events.subscribe("note") as notes:
            await handler.events.send("note", {"rows": generator(row())})
            handler.session["note"] = await anext(aiter(notes))
        handler.session["row"] = row()
        with pytest.raises(TypeError, match="'row' has a value of type Row"):
            await handler.session.save()
        handler.session["row"] = dict(row())
        await handler.session.save()
        await handler.session.refresh()
        handler.session["bad"] = [Owner()]
        with pytest.raises(TypeError, match=r"^bad\[0\]: cannot encode"):
            await handler.session.save()
        with pytest.raises(TypeError, match=r"'note' cannot be sent: args\.bad: cannot encode"):
            await handler.events.send("note", {"bad": Owner()})
        return [handler.session["note"], handler.session["row"]]

    service = await serve({"keep": keep})
    assert await service.result("keep") == [{"rows": [{"a": 1, "b": "x"}]}, {"a": 1, "b": "x"}]


async def none(owner: Owner) -> None:
    """Not a plain function."""


class Child(Owner):
    """Encoded as its base is."""


ENCODERS: dict[type, Callable[[Any], Any]] = {Owner: lambda owner: {"owner": type(owner).__name__}}
"""Named by an option below."""


@pytest.mark.parametrize("encoders", [ENCODERS, f"{__name__}.ENCODERS"], ids=["dict", "name"])
async def test_encoders(encoders: Any, serve: Serve) -> None:
    """An application's own types are encoded over HTTP, in batches, scripts, sockets and events."""

    async def get(handler: Handler, parameters: Any) -> Any:
        return [Owner(), {"child": Child()}]

    async def event(handler: Handler, parameters: Any) -> Any:
        async with handler.events.subscribe("note") as notes:
            await handler.events.send("note", Owner())
            return await anext(aiter(notes))

    @jsonp
    async def script(handler: Handler, parameters: Any) -> Any:
        return Owner()

    service = await serve({"get": get, "event": event, "script": script}, encoders=encoders)
    expected = [{"owner": "Owner"}, {"child": {"owner": "Child"}}]
    assert await service.result("get") == expected
    assert await service.result("event") == {"owner": "Owner"}
    assert '({"owner":"Owner"})' in await (await service.client.get("/service/script?jsonp=f")).text()
    for content_type in ("application/bson", "application/msgpack"):
        codec = CODECS[content_type]
        body = codec.encode({"method": "get", "parameters": {}})
        response = await service.post(data=body, headers={"content-type": content_type})
        assert codec.decode(await response.read()) == {"result": expected}
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"id": 1, "method": "get"})
        assert (await socket.receive_json())["result"] == expected


@pytest.mark.parametrize("content_type", CODECS)
def test_encoders_of_types_that_are_encoded_anyway(content_type: str) -> None:
    """An application may say how Decimals or its dataclasses are written."""
    codec = codecs_with({decimal.Decimal: float, Data: lambda data: data.x})[content_type]
    value = {"a": [Data(decimal.Decimal("1.5"))], "b": Attributes(decimal.Decimal(2))}
    assert codec.decode(codec.encode(value)) == {"a": [1.5], "b": {"x": 2.0, "y": None}}


@pytest.mark.parametrize("codec", codecs_with({Owner: lambda owner: owner}).values())
def test_an_encoder_that_gives_no_plain_data(codec: Codec) -> None:
    """It is an error, and ends."""
    with pytest.raises(EncodingError, match=r"^result\.a: "):
        codec.encode({"result": {"a": Owner()}})


@pytest.mark.parametrize("codec", codecs_with({Owner: lambda owner: 1 / 0}).values())
def test_an_encoder_that_fails(codec: Codec) -> None:
    """Its error has the place."""
    with pytest.raises(EncodingError, match=r"^result\.a: division by zero") as error:
        codec.encode({"result": {"a": Owner()}})
    assert isinstance(error.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    "encoders",
    [[Owner], {"Owner": str}, {Owner: 1}, {Owner: none}, "nowhere.ENCODERS"],
    ids=shown,
)
def test_wrong_encoders(encoders: Any) -> None:
    """They stop the start, with what to write."""
    with pytest.raises(SettingsError, match="encoders: "):
        create_app(encoders=encoders, database="memory://")


async def test_get_of_what_get_does_not_reach(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The answer and the log say what to do; a method of the service's own cannot be marked."""

    async def write(handler: Handler, parameters: Any) -> None: ...

    @safe
    async def read(handler: Handler, parameters: Any) -> int:
        return 1

    caplog.set_level(logging.INFO)
    service = await serve({"write": write, "read": read})
    response = await service.client.get("/service/write")
    message = "Cannot call 'write' by GET: call it by POST, or mark it @safe."
    assert (response.status, response.headers["Allow"]) == (405, "POST, OPTIONS")
    assert await response.json() == {"error": {"code": 1001, "value": message}}
    assert message in caplog.text
    assert "mark it" not in await (await service.client.get("/service/account/login")).text()
    assert await (await service.client.get("/service/read")).json() == {"result": 1}
    unknown = await (await service.client.get("/service/nothing")).json()
    assert unknown["error"]["value"] == "Cannot call 'nothing'."


@pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.content_type)
def test_a_traceback_with_one_cause(codec: Codec) -> None:
    """The attempts before the one that names the place are not shown."""
    with pytest.raises(EncodingError) as caught:
        codec.encode({"result": {"a": object()}})
    text = "".join(traceback.format_exception(caught.value))
    assert "During handling" not in text
    assert text.count("Traceback") == 2


class Rank(enum.IntEnum):
    """A number with a name."""

    FIRST = 1


@each_codec
def test_keys_are_text(codec: Codec) -> None:
    """Keys that have a text become it, at any depth, in every codec; others are an error with its place."""
    moment = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    for key, text in (
        (1, "1"),
        (-(2**63), str(-(2**63))),
        (1.5, "1.5"),
        (True, "1"),
        (Rank.FIRST, "1"),
        (b"\xff", "/w=="),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (moment, "2020-01-02T00:00:00Z"),
        (moment.date(), "2020-01-02"),
        (decimal.Decimal("1.50"), "1.50"),
    ):
        expected = {"result": [{text: {"a": 1, text: [2]}}, {"x": {text: None}}]}
        value = {"result": [{key: {"a": 1, key: [2]}}, Data({key: None})]}
        for encode in (codec.encode, codec.encode_again):
            assert codec.decode(encode(value)) == expected, key
        assert codec.decode(codec.encode({"result": [iter([{key: 1}])]})) == {"result": [[{text: 1}]]}
    for wrong in (None, (1, 2), frozenset({1})):
        with pytest.raises(EncodingError, match=r"result\[0\].*keys are text"):
            codec.encode({"result": [{wrong: 1}]})


def test_keys_of_events_and_states() -> None:
    """What the service reads again itself keeps its keys, or is refused: nothing changes on the way."""
    with pytest.raises(TypeError, match="Keys must be strings"):
        session_state.pack({"a": {1: 2}})
    with pytest.raises(TypeError, match="Keys must be strings"):
        packing.pack([b"", 0, "name", {1: 2}], msgpack_codec.EXACT.encode)


def test_what_msgpack_has_of_its_own() -> None:
    """Extensions, and what is MessagePack already, are sent as they are."""
    value = [msgspec.msgpack.Ext(5, b"x"), msgspec.Raw(b"\x07")]
    assert CODECS["application/msgpack"].encode(value) == b"\x92\xd4\x05x\x07"


def test_offsets_with_seconds() -> None:
    """A moment whose offset has seconds, which ISO 8601 lacks, is sent in UTC; others keep their offset."""
    codec = CODECS["application/json"]
    moment = datetime.datetime(1900, 1, 1, 12, 0, 0, 5)
    for seconds in (59, 61, 3601, 19052, -1172, -12620, 86399, -86399, 3600, 19800, 0):
        offset = datetime.timedelta(seconds=seconds)
        local = moment.replace(tzinfo=datetime.timezone(offset))
        for value in (local, [local], {"a": Data(local)}, (local,), iter([local]), {local: 1}):
            text = codec.encode({"a": 2, "result": value}).decode()
            [found] = re.findall(r"1900-[\d.:TZ+-]+|190\d-[\d.:TZ+-]+|1899-[\d.:TZ+-]+", text)
            if abs(seconds) >= 60 or not isinstance(value, datetime.datetime):
                assert datetime.datetime.fromisoformat(found) == local, (seconds, value)
            if seconds % 60 == 0:
                assert datetime.datetime.fromisoformat(found).utcoffset() == offset
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    old = datetime.datetime(1890, 1, 1, tzinfo=berlin)
    assert json.loads(codec.encode([old, "T10:00:00+05:18"])) == ["1889-12-31T23:06:32Z", "T10:00:00+05:18"]
