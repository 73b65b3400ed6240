"""Channels in the document, in the contract, and in the client that is made of a service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.channels import join, news
from tests.support.contracts import contract_of, plain
from tests.support.service import Serve
from toto_aio import Handler
from toto_aio.channels import Channel
from toto_aio.client import Client
from toto_aio.contract.channel_names import names_of
from toto_aio.contract.compare import changes
from toto_aio.contract.interface import read_interface
from toto_aio.contract.openapi import openapi
from toto_aio.contract.python import python
from toto_aio.contract.visibility import Documents
from toto_aio.invocation import authenticated, channel, rate, roles
from toto_aio.members import Admission
from toto_aio.registry import find_functions
from toto_aio.settings import read_settings


@channel("room:{room}", history=10)
@roles("admin")
async def guarded(handler: Handler, room: int, page: int = 1) -> Admission:
    """Join a room as an admin."""
    return Admission({"topic": "a"})


@channel("room:{room}")
@authenticated
@rate(10, per=60)
async def narrower(handler: Handler, room: bool) -> int:
    """Join a room with another type."""
    return 1


async def say(handler: Handler, text: str) -> None:
    """Publish to a room."""
    await handler.events.publish("room:7", text)


def document_of(**functions: Any) -> Any:
    """The document of a service, as it arrives."""
    settings = read_settings({"method_module": functions})
    return json.loads(json.dumps(openapi(find_functions(functions, 60), settings, "/service")))


def test_the_document() -> None:
    """It has what the functions say, and no operation for what clients cannot call."""
    document = document_of(join=join, news=news, say=say)
    assert list(document["paths"]) == ["/service/say"]
    first, second = document["x-channels"]
    assert first["pattern"] == "news"
    assert first["variables"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert first["security"] == []
    assert second["pattern"] == "room:{room}"
    assert second["summary"] == "Join a room"
    assert second["variables"]["properties"]["room"]["type"] == "integer"
    assert second["variables"]["required"] == ["room"]
    assert second["data"] == {"$ref": "#/components/schemas/Topic"}
    assert second["history"] == 10
    assert second["security"][0] == {"session": []}
    assert "x-channels" not in document_of(say=say)
    [with_role] = document_of(join=guarded, say=say)["x-channels"]
    assert with_role["x-roles"] == ["admin"]
    assert with_role["data"] == {}
    assert list(with_role["variables"]["properties"]) == ["room"]


async def test_who_is_shown_a_channel() -> None:
    """With ``openapi=authenticated``, one that needs a role is shown to those who have it."""
    functions = {"join": guarded, "news": news, "say": say}
    settings = read_settings({"method_module": functions, "openapi": "authenticated"})
    documents = Documents(
        find_functions(functions, 60), settings, lambda shown: openapi(shown, settings, "/service")
    )
    for roles_of_caller, expected in ((set(), ["news"]), ({"admin"}, ["news", "room:{room}"])):
        document = await documents.of(frozenset(roles_of_caller))
        assert [each["pattern"] for each in document["x-channels"]] == expected


def test_the_contract() -> None:
    """What clients of channels rely on is compared as what they rely on of methods."""
    for before, after, expected in (
        ({"join": join}, {"other": join}, []),
        ({"join": join}, {}, ["breaks: room:{room}: it is gone"]),
        ({}, {"join": join}, ["fine: room:{room}: it is new"]),
        (
            {"join": join},
            {"join": guarded},
            [
                "breaks: room:{room}: it needs the role admin now",
                "breaks: room:{room}: result: anything is given now, Topic was",
            ],
        ),
        (
            {"join": join},
            {"join": narrower},
            [
                "breaks: room:{room}: it is limited to 10 calls in 60 s by user now",
                "breaks: room:{room}: parameters.room: boolean is taken now, integer was",
                "breaks: room:{room}: result: integer is given now, Topic was",
            ],
        ),
    ):
        found = changes(contract_of(m=plain, **before), contract_of(m=plain, **after))
        assert [str(each) for each in found] == expected, (before, after)


def test_names() -> None:
    """They are the words of a pattern, and one keeps its name whatever longer ones there are."""
    assert names_of(["user-{id}:inbox", "room:{room}", "room:{room}:{page}", "{a}", "7:{b}", "{c}:{d}"]) == {
        "room:{room}": "room",
        "{a}": "channel",
        "7:{b}": "channel_7",
        "{c}:{d}": "channel_by_c_d",
        "user-{id}:inbox": "user_inbox",
        "room:{room}:{page}": "room_by_room_page",
    }
    assert names_of(["room:{room}"])["room:{room}"] == "room"


def test_names_of_channels() -> None:
    """No value makes it the name of another channel."""
    channel = Channel("room:{room}:{page}-x")
    assert channel.name_of({"room": 7, "page": "b.c"}) == "room:7:b.c-x"
    for text in ("", "7:8", "a b", "{a}"):
        with pytest.raises(ValueError, match="room: write letters"):
            channel.name_of({"room": text, "page": 1})
    with pytest.raises(KeyError):
        channel.name_of({"page": 1})


def test_documents_that_are_none() -> None:
    """What is not as it should be is passed over."""
    broken: list[Any] = [None, 3, {}, [3, None, {}]]
    broken += [[{"pattern": pattern}] for pattern in (3, "", "a b", "{a}:{a}")]
    for listed in broken:
        assert read_interface({"x-channels": listed}).channels == {}, listed
    listed = [{"pattern": "a:{b}", "variables": 3, "data": 4}]
    [found] = read_interface({"x-channels": listed}).channels.values()
    assert found.parameters["properties"] == {"b": {}}
    assert found.result is True


async def test_a_client(serve: Serve, tmp_path: Path) -> None:
    """It subscribes, in Python."""
    functions = {"join": join, "say": say}
    (tmp_path / "channels_api.py").write_text(
        python(read_interface(document_of(**functions))), encoding="utf-8"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import channels_api  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(tmp_path))
    service = await serve(functions, events="memory://")
    async with Client(service.client.make_url("/service")) as client:
        await client.create_account("ada", "correct horse")
        channels = channels_api.Channels(client)
        async with channels.room(room=7) as messages:
            assert messages.data == {"topic": "room 7"}
            await client.call("say", {"text": "a"})
            assert (await anext(messages)).data == "a"
        async with channels.room(messages.position, room=7) as messages:
            await client.call("say", {"text": "b"})
            assert (await anext(messages)).data == "b"
        with pytest.raises(ValueError, match="room: write letters"):
            channels.room(room="7:8")
