"""The routes of the explorer: its page, its files and its data, for whom and how they are cached."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.explorer.service import METHODS, service
from tests.support.service import Client, Serve
from toto_aio import create_app
from toto_aio.explorer.files import FOLDER
from toto_aio.settings import SettingsError

PAGE = "/service/explorer"
DATA = f"{PAGE}/service.json"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


async def names(client: Client, path: str = DATA, **headers: str) -> set[str]:
    """The names of the methods that a caller is shown."""
    response = await client.get(path, headers=headers)
    assert response.status == 200, await response.text()
    return {each["name"] for each in (await response.json())["service"]["methods"]}


async def test_the_page_and_its_files(serve: Serve) -> None:
    """Each has its type, a tag by which a cache knows that it has it, and strict rules; HEAD as GET."""
    served = await serve(METHODS, explorer="on")
    files = {path.name: path for path in FOLDER.iterdir()}
    paths = {f"{PAGE}/{name}": path for name, path in files.items() if name != "page.html"}
    assert len(paths) > 15
    for url, file in {**paths, PAGE: files["page.html"]}.items():
        response = await served.client.get(url)
        assert (response.status, response.content_type) == (200, TYPES[file.suffix]), url
        assert await response.read() == file.read_bytes()
        headers = response.headers
        assert headers["Cache-Control"] == "no-cache"
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        again = await served.client.get(url, headers={"If-None-Match": headers["ETag"]})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", headers["ETag"])
        changed = await served.client.get(url, headers={"If-None-Match": '"other"'})
        assert changed.status == 200
        head = await served.client.head(url)
        assert (head.status, head.headers["ETag"]) == (200, headers["ETag"])
        assert head.headers["Content-Length"] == headers["Content-Length"]
    slash = await served.client.get(f"{PAGE}/", allow_redirects=False)
    assert (slash.status, slash.headers["Location"]) == (308, "../explorer")
    assert str((await served.client.get(f"{PAGE}/")).url.path) == PAGE


def test_the_files_name_nothing_else() -> None:
    """No file has an address elsewhere, a script or a style in the page, or what makes HTML of text."""
    for path in FOLDER.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://\w|\burl\(|(inner|outer|Adjacent)HTML|\beval\b", text), path
        assert not re.search(r"\s(?:style|on\w+)=|<style|<script(?! type=\"module\" src=)", text), path
        assert len(text.splitlines()) <= 350, path


async def test_off(serve: Serve) -> None:
    """By default there is none: its paths are those of methods, which there are not."""
    served = await serve(METHODS, error_status="http")
    for path in (PAGE, f"{PAGE}/main.js", DATA):
        assert (await served.client.get(path)).status == 404, path


async def test_it_hides_no_method(serve: Serve) -> None:
    """A call by POST has its path as before; a method that GET would no longer reach stops the start."""
    served = await serve({"explorer.more": METHODS["notes.echo"]}, explorer="on")
    answer = await (await served.post("/explorer/more", json={"text": "a"})).json()
    assert answer == {"result": ["a", [], None]}
    assert (await (await served.post("/explorer", json={})).json())["error"]["code"] == 1001
    for name in ("explorer", "explorer.main.js", "explorer.service.json"):
        methods = {name: METHODS["notes.echo"]}
        with pytest.raises(SettingsError, match=rf"/service/explorer.* is the method '{name}' already"):
            service(methods)
        service(methods, method_select="parameter")
        service(methods, explorer="off")


async def test_who_sees_what(serve: Serve) -> None:
    """Everyone sees what asks for no role, and a user what asks for theirs, and the channels likewise."""
    served = await serve(METHODS, explorer="on", openapi="off")
    everyone = await names(served.client)
    assert {"notes.add", "account.login", "wipe"} <= everyone
    assert not everyone & {"rooms.shut", "rooms.join", "rooms.staff"}
    session = {"x-toto-session-id": await served.create()}
    assert await names(served.client, **session) == everyone
    response = await served.client.get(DATA, headers=session)
    shown = await response.json()
    assert shown["user"] == "ada"
    assert [each["pattern"] for each in shown["service"]["channels"]] == ["room:{room}"]
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert "x-toto-session-id" in response.headers["Vary"]
    tag = response.headers["ETag"]
    assert (await served.client.get(DATA, headers={**session, "If-None-Match": tag})).status == 304
    assert (await served.client.get(DATA, headers={"If-None-Match": tag})).status == 200
    await served.result("promote", {"user": "ada", "roles": ["admin"]})
    assert await names(served.client, **session) == everyone | {"rooms.shut"}
    shown = await (await served.client.get(DATA, headers=session)).json()
    assert [each["pattern"] for each in shown["service"]["channels"]] == ["room:{room}", "staff:{room}"]
    ended = {"x-toto-session-id": "a" * 43}
    assert (await (await served.client.get(DATA, headers=ended)).json())["user"] is None


async def test_only_for_those_who_are_logged_in(serve: Serve) -> None:
    """With explorer=authenticated others learn how to log in, and of no method or channel."""
    served = await serve(METHODS, explorer="authenticated")
    shown = (await (await served.client.get(DATA)).json())["service"]
    assert (shown["methods"], shown["channels"]) == ([], [])
    assert shown["accounts"]["login"] == "account.login"
    assert "note" not in str(shown).lower()
    session = {"x-toto-session-id": await served.create()}
    assert "notes.add" in await names(served.client, **session)


async def test_the_documentation_of_the_package(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With explorer=authenticated users alone see it, beyond its first line."""
    text = '"""The notes.\n\nAsk notes.wipe for the secrets."""\nfrom toto_aio.methods import account\n'
    (tmp_path / "documented").mkdir()
    (tmp_path / "documented" / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    served = await serve(method_module="documented", explorer="authenticated")
    shown = (await (await served.client.get(DATA)).json())["service"]
    assert shown["title"] == "The notes"
    assert "secrets" not in str(shown)
    session = {"x-toto-session-id": await served.create()}
    shown = (await (await served.client.get(DATA, headers=session)).json())["service"]
    assert shown["description"] == "Ask notes.wipe for the secrets."


async def test_signatures(serve: Serve) -> None:
    """Where sessions are signed for, a request that shows one without a signature is refused."""
    served = await serve(METHODS, explorer="on", signing="session", error_status="http")
    session = {"x-toto-session-id": await served.create()}
    refused = await served.client.get(DATA, headers=session)
    assert (refused.status, (await refused.json())["error"]["code"]) == (401, 1008)
    wrong = await served.client.get(DATA, headers={"Authorization": "Bearer tk_wrong"})
    assert (await wrong.json())["user"] is None


async def test_what_is_said_of_methods(serve: Serve) -> None:
    """Their policy and types, and documentation without the lines that say the same."""
    served = await serve(METHODS, explorer="on", get_methods="all")
    shown = (await (await served.client.get(DATA)).json())["service"]
    methods = {each["name"]: each for each in shown["methods"]}
    add, wipe, upload, old = (methods[name] for name in ("notes.add", "wipe", "notes.upload", "old"))
    assert add["summary"] == "Add a note"
    assert add["description"] == "The newest come first. A note without a place is everywhere."
    assert (add["caller"], add["rates"]) == ("logged in", ["30 calls in 60 s by user"])
    assert (add["idempotent"], add["timeout"], add["typed"]) == (True, 60.0, True)
    assert (wipe["fresh"], wipe["deprecated"]) == (600.0, {"since": "2026-01-31", "sunset": "2027-01-31"})
    assert upload["files"] == ["picture", "others"]
    assert (old["typed"], old["parameters"]["required"]) == (False, ["name"])
    assert methods["picture"]["raw"]
    assert methods["old"]["by_get"]
    assert not methods["account.login"]["by_get"]
    assert "Place" in shown["schemas"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"by_url": True, "batch_limit": 50, "socket": "websocket", "signing": "user_id"}),
        ({"root": "/"}, {"socket": "websocket"}),
        ({"root": "/a/b", "socket_path": "/a/ws"}, {"socket": "../ws"}),
        ({"root": "/", "socket_path": "/x/ws"}, {"socket": "x/ws"}),
        ({"use_web_sockets": False}, {"socket": None, "channels": []}),
        ({"events": "off", "methods": {"m": METHODS["old"]}}, {"channels": []}),
        ({"method_select": "parameter"}, {"by_url": False, "batch_limit": 50}),
        ({"method_select": "url", "batch_limit": 7}, {"by_url": True, "batch_limit": 0}),
        ({"use_cookies": True, "signing": "off"}, {"cookies": True, "signing": "off"}),
    ],
)
async def test_how_a_service_is_called(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """The page learns it from the options."""
    async with TestClient(TestServer(service(**options))) as client:
        root = options.get("root", "/service").rstrip("/")
        shown = (await (await client.get(f"{root}/explorer/service.json")).json())["service"]
        assert {name: shown[name] for name in expected} == expected


async def test_a_scheme_of_the_author_s_own() -> None:
    """No page can sign by it, and this one says so."""

    class Own:
        keyed, nonce_ttl = False, 0.0

        def verify(self, *_: Any) -> None: ...

        def sign(self, *_: Any) -> None: ...

    async with TestClient(TestServer(service(signing=Own()))) as client:
        assert (await (await client.get(DATA)).json())["service"]["signing"] == "unknown"


async def test_an_embedded_service() -> None:
    """It is below the prefix of the application around it, and names nothing by its whole path."""
    parent = web.Application()
    parent.add_subapp("/api", create_app(method_module=METHODS, database="memory://", explorer="on"))
    async with TestClient(TestServer(parent)) as client:
        text = await (await client.get("/api/service/explorer")).text()
        assert 'src="explorer/main.js"' in text
        assert (await client.get("/api/service/explorer/main.js")).status == 200
        assert "notes.add" in await names(client, "/api/service/explorer/service.json")
