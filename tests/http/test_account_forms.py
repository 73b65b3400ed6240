"""Forms of pages that log in, and create and change accounts, without a script."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from tests.support.service import Serve, Service
from toto_aio.invocation import optionally_authenticated, safe

ADA = {"user_id": "ada", "password": "correct horse"}
OWN = {"Origin": "http://127.0.0.1"}


@safe
@optionally_authenticated
async def who(handler: Any, parameters: dict[str, Any]) -> str | None:
    """The caller's user id."""
    return None if handler.session is None else str(handler.session.user_id)


async def post(
    service: Service, method: str, fields: Any, origin: str | None = "own", *, multipart: bool = False
) -> aiohttp.ClientResponse:
    """Post a form as a browser does, which follows no redirect here."""
    own = str(service.client.make_url("/")).rstrip("/")
    headers = {} if origin is None else {"Origin": own if origin == "own" else origin}
    data: Any = fields
    if multipart:
        data = aiohttp.MultipartWriter("form-data")
        for name, value in fields.items():
            data.append(value).set_content_disposition("form-data", name=name)
    path = "/" + method.replace(".", "/")
    return await service.post(path, data=data, headers=headers, allow_redirects=False)


@pytest.fixture
async def site(serve: Serve) -> Service:
    """A service with cookies, over HTTP."""
    return await serve({"who": who}, use_cookies=True, secure_cookies=False, account_fields=["name"])


@pytest.mark.parametrize("multipart", [False, True])
async def test_a_form_without_redirects(site: Service, multipart: bool) -> None:
    """One value for each field is taken as text, and the answer is JSON, as for any other call."""
    response = await post(site, "account.create", {**ADA, "name": "Ada"}, multipart=multipart)
    answer = await response.json()
    assert (answer["result"]["user_id"], response.status) == ("ada", 200)
    assert "session_id" not in answer["result"]
    response = await post(site, "account.login", ADA, multipart=multipart)
    assert (await response.json())["result"]["user_id"] == "ada"
    response = await post(site, "account.login", {**ADA, "password": "wrong"}, multipart=multipart)
    assert (await response.json())["error"]["code"] == 1005


async def test_redirects(site: Service) -> None:
    """A page goes on where its form says; a session begins with the cookie, and ends with it."""
    then = {"redirect_to": "/notes?all=1#top", "error_redirect_to": "/login?from=form"}
    response = await post(site, "account.create", {**ADA, **then})
    assert (response.status, response.headers["Location"]) == (303, "/notes?all=1#top")
    assert await (await site.client.get("/service/who")).json() == {
        "result": "ada",
        "session": {"user_id": "ada", "expires": pytest.approx(0, abs=1e12)},
    }
    changed = {"password": "correct horse", "new_password": "battery staple", **then}
    assert (await post(site, "account.update", changed)).status == 303
    response = await post(site, "account.logout", then)
    assert response.headers["Location"] == "/notes?all=1#top"
    assert (await (await site.client.get("/service/who")).json())["result"] is None
    response = await post(site, "account.login", {**ADA, **then})
    assert (response.status, response.headers["Location"]) == (303, "/login?from=form&error=1005")
    assert (await (await site.client.get("/service/who")).json())["result"] is None
    response = await post(site, "account.login", {**ADA, "password": "battery staple", **then})
    assert response.headers["Location"] == "/notes?all=1#top"
    assert (await (await site.client.get("/service/who")).json())["result"] == "ada"


async def test_errors_before_the_method(site: Service) -> None:
    """Without a session, or without a field, the page goes where its form says, too."""
    response = await post(site, "account.update", {"name": "x", "error_redirect_to": "/login"})
    assert response.headers["Location"] == "/login?error=1004"
    response = await post(site, "account.login", {"user_id": "ada", "error_redirect_to": "/login"})
    assert response.headers["Location"] == "/login?error=1003"


async def test_a_foreign_page(site: Service) -> None:
    """It can post forms, but sets no cookie, and changes nothing of a user who is logged in."""
    await post(site, "account.create", {**ADA, "name": "Ada"})
    foreign = "https://evil.example"
    response = await post(site, "account.login", {**ADA, "redirect_to": "/"}, foreign)
    assert "Set-Cookie" not in response.headers
    response = await post(site, "account.update", {"name": "Eve", "redirect_to": "/"}, foreign)
    assert (await response.json())["error"]["code"] == 1004
    assert (await (await site.client.get("/service/who")).json())["result"] == "ada"


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "notes",
        "",
        "/a\nb",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/" + "a" * 2048,
    ],
)
@pytest.mark.parametrize("name", ["redirect_to", "error_redirect_to"])
async def test_no_other_site(site: Service, name: str, path: str) -> None:
    """A form sends nobody to another site: the paths are of this one."""
    response = await post(site, "account.create", {**ADA, name: path})
    assert response.status == 200
    error = (await response.json())["error"]
    assert (error["code"], name in error["value"]) == (1003, True)


async def test_only_one_value(site: Service) -> None:
    """A field that is there twice is refused, and so is a file."""
    response = await post(site, "account.login", [*ADA.items(), ("user_id", "eve")])
    assert (await response.json())["error"] == {
        "code": 1003,
        "value": "user_id: one value is expected, not 2",
    }
    form = aiohttp.FormData(ADA)
    form.add_field("password", b"correct horse", filename="p.txt")
    response = await site.post("/account/login", data=form)
    assert (await response.json())["error"]["code"] == 1003


async def test_only_in_forms(site: Service) -> None:
    """In JSON a list is no user id, and there are no redirects."""
    response = await site.post("/account/create", json={"user_id": ["ada"], "password": ["correct horse"]})
    assert (await response.json())["error"]["code"] in (1003, 1010)
    response = await site.post("/account/create", json={**ADA, "redirect_to": "/"})
    assert (await response.json())["error"]["value"] == "Unknown account fields: redirect_to"


async def test_other_methods_are_as_before(serve: Serve) -> None:
    """Methods of the author's own get the lists of a form, and its redirects as fields."""

    async def show(handler: Any, parameters: dict[str, Any]) -> Any:
        return parameters

    service = await serve({"show": show})
    response = await service.post("/show", data={"a": "1", "redirect_to": "/"})
    assert json.loads(await response.text())["result"] == {"a": ["1"], "redirect_to": ["/"]}
