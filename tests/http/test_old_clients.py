"""What Toto's own clients send is answered as they expect: those in JavaScript and for iOS, since 2012.

They are written anew here from what they send: in JavaScript a POST of JSON to the root, signed over the low
byte of each UTF-16 unit; for iOS a POST of JSON or BSON, signed over its bytes or not at all, or a GET with a
query that carries the signature of a body which isn't sent. Both make batches.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import bson
import pytest

from tests.support.service import Serve, Service
from toto_aio import Handler, TotoException
from toto_aio.invocation import authenticated, optionally_authenticated, safe

PASSWORD = "correct horse"
TEXT = "caf\u00e9 \u20ac \U0001f600 </a>"

Parameters = dict[str, Any]


@authenticated
async def who(handler: Handler, parameters: Parameters) -> list[Any]:
    """Return the user and the parameters."""
    assert handler.session is not None
    return [handler.session.user_id, parameters]


@safe
@optionally_authenticated
async def find(handler: Handler, parameters: Parameters) -> list[Any]:
    """The same for anybody, also by a query."""
    return ["" if handler.session is None else handler.session.user_id, parameters]


async def fails(handler: Handler, parameters: Parameters) -> None:
    """Raise an error of the method's own."""
    raise TotoException(2001, "no")


async def push(handler: Handler, parameters: Parameters) -> None:
    """Send a message over the socket of the call."""
    handler.send_message({"got": parameters})


METHODS = {"who": who, "notes.find": find, "fails": fails, "push": push}


class Refused(Exception):
    """The error handler was called, with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class OldClient:
    """What both have: the session, as they keep it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.session: Mapping[str, Any] = {}

    @property
    def session_id(self) -> str:
        """The id, if the session has not expired."""
        return str(self.session.get("session_id", "")) if self.session.get("expires", 0) > time.time() else ""

    @property
    def user_id(self) -> str:
        """The user."""
        return str(self.session.get("user_id", ""))

    def signature(self, body: bytes) -> str:
        """Base64 of the HMAC-SHA1."""
        return base64.b64encode(hmac.new(self.user_id.encode(), body, hashlib.sha1).digest()).decode()

    def taken(self, response: Mapping[str, Any]) -> Any:
        """The result of a response, whose session is kept."""
        if "error" in response:
            raise Refused(response["error"]["code"])
        self.session = response.get("session", self.session)
        return response["batch"] if "batch" in response else response["result"]


class JavaScript(OldClient):
    """The client in JavaScript."""

    async def request(self, method: str, parameters: Any = ...) -> Any:
        """A call; what is undefined is not in the JSON."""
        call = {"method": method}
        return await self.raw_request(call if parameters is ... else {**call, "parameters": parameters})

    async def raw_request(self, value: Any) -> Any:
        """A POST of JSON, as XMLHttpRequest sends it."""
        body = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        headers = {"content-type": "application/json;charset=UTF-8"}
        if self.session_id and self.user_id:
            headers["x-toto-session-id"] = self.session_id
            headers["x-toto-hmac"] = self.signature(low_bytes(body))
        response = await self.service.post(data=body.encode(), headers=headers)
        assert response.status == 200
        text, given = await response.text(), response.headers.get("x-toto-hmac")
        if given and self.user_id:
            assert self.signature(low_bytes(text)) == given
        return self.taken(json.loads(text))


class IOS(OldClient):
    """The client for iOS: ``packed`` is BSON; it may sign."""

    def __init__(self, service: Service, *, packed: bool, signs: bool) -> None:
        super().__init__(service)
        self.packed, self.signs = packed, signs
        self.content_type = "application/bson" if packed else "application/json"

    async def request(self, method: str, parameters: Any = None, *, by_query: bool = False) -> Any:
        """A call, by POST or by a query."""
        given = {} if parameters is None else parameters
        body = self.encoded({"method": method, "parameters": given})
        if not by_query:
            return self.taken(await self.post(body))
        pairs = [f"{quote(name)}={quote(str(value))}" for name, value in given.items()]
        path = f"/{quote(method)}" + (f"?{'&'.join(pairs)}" if pairs else "")
        response = await self.service.client.get(f"/service{path}", headers=self.headers(body))
        assert response.content_type == "application/json"
        return self.taken(self.verified(response, await response.read(), json.loads))

    async def batch(self, calls: Mapping[str, Any]) -> Any:
        """Queued calls, in one request."""
        return self.taken(await self.post(self.encoded({"batch": calls})))

    async def post(self, body: bytes) -> Any:
        """The response to a body, in its encoding."""
        response = await self.service.post(data=body, headers=self.headers(body))
        assert (response.status, response.content_type) == (200, self.content_type)
        return self.verified(response, await response.read(), bson.decode if self.packed else json.loads)

    def encoded(self, value: Any) -> bytes:
        """A body; Apple's JSON has a backslash before each slash."""
        if self.packed:
            return bson.encode(value)
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("/", "\\/").encode()

    def headers(self, body: bytes) -> dict[str, str]:
        """Those of a request, also of one whose body isn't sent."""
        headers = {"content-type": self.content_type}
        if self.session_id and self.user_id:
            headers["x-toto-session-id"] = self.session_id
            if self.signs:
                headers["x-toto-hmac"] = self.signature(body)
        return headers

    def verified(self, response: Any, body: bytes, decode: Any) -> Any:
        """The message in a response, whose signature is right if it has one."""
        given = response.headers.get("x-toto-hmac")
        if given and self.user_id:
            assert self.signature(body) == given
        return decode(body)


def low_bytes(text: str) -> bytes:
    """The low byte of each UTF-16 unit."""
    return text.encode("utf-16-le")[::2]


async def refusal(call: Any) -> int:
    """The code that an error handler gets."""
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.code


@pytest.mark.parametrize("serve", ["general", "fast"], indirect=True)
async def test_javascript(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Accounts, signed calls, batches, the log of a page's errors, and a socket."""
    service = await serve(METHODS)
    client = JavaScript(service)
    assert await refusal(client.request("who")) == 1004
    made = await client.request("account.create", {"user_id": "ada", "password": PASSWORD})
    # The first versions kept the session of the result, and later ones that beside it.
    assert made == {name: client.session[name] for name in ("session_id", "expires", "user_id")}
    assert await client.request("who", {"text": TEXT, "n": [1, 2.5, None, True]}) == [
        "ada",
        {"text": TEXT, "n": [1, 2.5, None, True]},
    ]
    assert await client.request("who") == ["ada", {"method": "who"}]
    assert await client.request("notes.find", {}) == ["ada", {}]
    assert await refusal(client.request("no.such.method", {})) == 1001
    assert await refusal(client.request("fails", {})) == 2001
    outcomes = await client.raw_request(
        {"batch": {"1": {"method": "who", "parameters": {"a": TEXT}}, "2": {"method": "fails"}}}
    )
    assert outcomes["1"] == {"result": ["ada", {"a": TEXT}]}
    assert outcomes["2"]["error"]["code"] == 2001
    error = {"message": TEXT, "file": "/app.js", "line": 3, "user_agent": "Mozilla/5.0"}
    with caplog.at_level(logging.ERROR, "toto_aio.client"):
        logged = await client.request("client_error", {"client_error": error, "client_type": "browser_js"})
    assert logged == {"logged": True}
    assert "app.js" in caplog.text
    # The slash that is to stand before the id is forgotten.
    socket = await service.client.ws_connect(f"/service/websocket{client.session_id}")
    await socket.send_json({"method": "push", "parameters": {"a": 1}})
    assert await socket.receive_json() == {"got": {"a": 1}}
    await socket.close()
    client.session = {**client.session, "user_id": "eve"}
    assert await refusal(client.request("who", {})) == 1008
    client.session = {}
    assert await refusal(client.request("account.login", {"user_id": "ada", "password": "wrong"})) == 1005
    assert (await client.request("account.login", {"user_id": "ada", "password": PASSWORD}))[
        "user_id"
    ] == "ada"
    assert await client.request("who", {}) == ["ada", {}]
    await client.request("account.logout", {})
    assert await refusal(client.request("who", {})) in (1004, 1007)


@pytest.mark.parametrize("serve", ["general", "fast"], indirect=True)
async def test_ios(serve: Serve) -> None:
    """Accounts, calls and batches in JSON and BSON, signed and unsigned, and calls by query."""
    service = await serve(METHODS)
    for number, (packed, signs) in enumerate([(False, True), (False, False), (True, True), (True, False)]):
        client, case = IOS(service, packed=packed, signs=signs), f"{packed=} {signs=}"
        user = f"ada{number}@example.org"
        assert await refusal(client.request("who")) == 1004, case
        made = await client.request("account.create", {"user_id": user, "password": PASSWORD})
        assert made["user_id"] == user, case
        assert made["session_id"] == client.session_id, case
        given = {"text": TEXT, "n": [1, 2.5, None, True]}
        assert await client.request("who", given) == [user, given], case
        assert await client.request("who") == [user, {}], case
        assert await client.request("notes.find", by_query=True) == [user, {}], case
        found = await client.request("notes.find", {"word": TEXT, "limit": 3}, by_query=True)
        assert found == [user, {"word": TEXT, "limit": "3"}], case
        assert await refusal(client.request("no.such.method", by_query=True)) == 1001, case
        assert await refusal(client.request("fails")) == 2001, case
        one, other = "0D1A6B7E-7A43-4E0B-9E6C-2F6B5B1C9D11", "F1A6B7E0-7A43-4E0B-9E6C-2F6B5B1C9D12"
        outcomes = await client.batch(
            {
                one: {"method": "who", "parameters": {"a": TEXT}},
                other: {"method": "fails", "parameters": {}},
            }
        )
        assert outcomes[one] == {"result": [user, {"a": TEXT}]}, case
        assert outcomes[other]["error"]["code"] == 2001, case
        kept, client.session = client.session, {}
        login = {"user_id": user, "password": PASSWORD}
        assert (await client.request("account.login", login))["session_id"] != kept["session_id"], case
        if signs:
            client.session = {**client.session, "user_id": "eve"}
            assert await refusal(client.request("who")) == 1008, case
