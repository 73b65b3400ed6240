"""The sessions of the explorer's page: how one begins, what it shows, and where it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock

import toto_aio.methods.account.api_keys
import toto_aio.methods.account.totp
from tests.explorer.service import METHODS, service
from tests.explorer.test_page import ANSWER, EDITOR, RIGHT, answer, raw
from tests.support.authenticator import SECRET_KEY, App
from tests.support.limits import limits
from toto_aio.auth.api_keys import ApiKeys
from toto_aio.exceptions import Unavailable

if TYPE_CHECKING:
    from tests.support.explorer import Explore

pytest_plugins = ["tests.support.browser", "tests.support.explorer"]

TAMPER = """void (() => {
  globalThis.real ??= fetch;
  globalThis.fetch = async (...request) => {
    const response = await real(...request);
    const headers = new Headers(response.headers);
    headers.delete("x-toto-hmac");
    if (signature) headers.set("x-toto-hmac", signature);
    return new Response(await response.arrayBuffer(), { status: response.status, headers });
  };
})()"""
"""Responses come with another signature, or with none."""


async def test_sessions(explore: Explore) -> None:
    """With each scheme a session is made, kept over a reload, replaced and ended; nothing forged logs in."""
    for signing in ("user_id", "toto1", "off", "session"):
        explorer = await explore(service(signing=signing))
        await explorer.log_in()
        await explorer.click("Log out")
        await explorer.see("button('Log in')")
        await explorer.log_in(button="Log in")
        await explorer.page.go(f"{explorer.origin}/service/explorer?again#method/account.sessions")
        await explorer.see("document.getElementById('user')?.textContent === 'ada'")
        assert len((await answer(explorer))["result"]["sessions"]) == 1, signing
        shown = await explorer.read("Status 200")
        assert (RIGHT in shown) == (signing != "off"), shown
        await explorer.go("method/account.create")
        await explorer.write(**{EDITOR: json.dumps({"user_id": "bob", "password": "correct horse"})})
        await explorer.click("Call")  # the answer goes with whom it was given to
        await explorer.see("document.getElementById('user')?.textContent === 'bob'")
        await explorer.go("method/account.login")
        await explorer.write(**{EDITOR: json.dumps({"user_id": "ada", "password": "correct horse"})})
        if signing != "off":
            kept = await explorer.page.run("JSON.stringify({...sessionStorage})")
            for tampered in (None, "d3Jvbmc="):
                await explorer.page.run(TAMPER, signature=tampered)
                assert (await answer(explorer))["session"]["user_id"] == "ada"
                shown = await explorer.read("Its session is not taken over")
                assert ("the signature is WRONG" if tampered else "not signed") in shown
                assert await explorer.page.run("JSON.stringify({...sessionStorage})") == kept, signing
            await explorer.page.run("void (globalThis.fetch = real)")
        await explorer.click("Call")
        await explorer.see("document.getElementById('user')?.textContent === 'ada'")
        await explorer.go("method/account.sessions")
        await explorer.click("Log out")
        await explorer.see("button('Log in')")
        assert (await answer(explorer))["error"]["code"] == 1004
        assert await explorer.page.run("sessionStorage.length") == 0
    await explorer.page.run(TAMPER, signature="d3Jvbmc=")
    await explorer.click("Log in")
    await explorer.write(User="ada", Password="correct horse")
    await explorer.page.run("document.querySelector('#session form button').click()")
    await explorer.see("document.getElementById('session').innerText.includes('is not taken over')")
    assert await explorer.page.run("sessionStorage.length") == 0


async def test_cookies(explore: Explore) -> None:
    """A cookie that no script can read has the session, and other tabs have it too, until one ends it."""
    explorer = await explore(service(use_cookies=True, secure_cookies=False, signing="off"))
    await explorer.log_in()
    kept = await explorer.page.run("Object.values({...sessionStorage}).map(JSON.parse)")
    assert [each["session_id"] for each in kept] == [""]
    assert await explorer.page.run("document.cookie") == ""
    other = await explore(beside=explorer)
    await other.see("document.getElementById('user')?.textContent === 'ada'")
    await other.go("method/account.sessions")
    assert len((await answer(other))["result"]["sessions"]) == 1
    await other.click("The same as curl")
    await other.read("The session is in a cookie")
    await other.click("Log out")
    await other.see("button('Log in')")
    await explorer.page.go(f"{explorer.origin}/service/explorer?again")
    await explorer.see("document.getElementById('notice').innerText.includes('The session has ended')")


async def test_cookies_and_signatures(explore: Explore) -> None:
    """The tab that has logged in has the key, and signs; another is told why it can only log in itself.

    Where the user id is the key, each tab has it.
    """
    for signing in ("user_id", "session"):
        explorer = await explore(service(use_cookies=True, secure_cookies=False, signing=signing))
        await explorer.log_in()
        await explorer.page.go(f"{explorer.origin}/service/explorer?again")
        await explorer.see("document.getElementById('user')?.textContent === 'ada'")
        await explorer.go("method/account.sessions")
        assert len((await answer(explorer))["result"]["sessions"]) == 1, signing
        shown = await explorer.read("Status 200")
        assert (RIGHT if signing == "user_id" else "signed, which this page cannot verify") in shown
        await explorer.go("channels")
        assert ("you subscribe as nobody" in await explorer.read()) == (signing != "user_id"), signing
        await explorer.write(Channel="room:7")
        await explorer.click("Subscribe")
        await explorer.click("Who is there?")
        await explorer.read('"user":"ada"' if signing == "user_id" else '"user":""')

        other = await explore(beside=explorer)
        if signing != "user_id":
            await other.see("button('Log in') && notice().includes('this tab has no key')")
            await other.go("method/account.sessions")
            assert (await answer(other))["error"]["code"] == 1008
            await other.read("1008 InvalidHMAC", "for which this tab has no key to sign with. Log in here")
            await other.log_in(button="Log in")
            assert await other.page.run("notice()") == ""
        await other.see("document.getElementById('user')?.textContent === 'ada'")
        await other.go("method/account.sessions")
        assert (await answer(other))["result"]["sessions"], signing

        await other.click("Log out")
        await other.see("button('Log in')")
        await other.log_in("bob")
        await explorer.page.go(f"{explorer.origin}/service/explorer?another")
        if signing == "user_id":
            await explorer.see("document.getElementById('user')?.textContent === 'bob'")
            await explorer.go("method/account.sessions")
            assert (await answer(explorer))["result"]["sessions"]
        else:
            await explorer.see("button('Log in') && notice().includes('this tab has no key')")


async def test_an_api_key(explore: Explore) -> None:
    """It says what it is for; what it is not for is refused, and explained; and so is a wrong one."""
    keys = {"account.api_keys.create": toto_aio.methods.account.api_keys.create}
    for signing, cookies in (("session", False), ("user_id", True)):
        app = service({**METHODS, **keys}, signing=signing, use_cookies=cookies, secure_cookies=False)
        explorer = await explore(app)
        await explorer.log_in()
        await explorer.go("method/account.api_keys.create")
        await explorer.read("API key\nno key may call this: it takes a login")
        await explorer.write(**{EDITOR: '{"name": "robot", "scopes": ["notes.*", "old"]}'})
        key = (await answer(explorer))["result"]["key"]
        await explorer.click("Log out")
        for wrong in ("toto_wrong", f"{key[:-7]}{'b' if key[-7] == 'a' else 'a'}{key[-6:]}"):
            await explorer.click("Log in")
            await explorer.write(**{"Or an API key": wrong})
            await explorer.page.run("void document.getElementById('notice').replaceChildren()")
            await explorer.click("Use the key")
            await explorer.see("button('Log in') && / this key/.test(notice())")
        await explorer.click("Log in")
        await explorer.write(**{"Or an API key": key})
        await explorer.click("Use the key")
        await explorer.see("session().includes('ada\\nwith an API key for notes.*, old')")
        await explorer.go("method/notes.echo")
        await explorer.write(text="by key")
        assert (await answer(explorer))["result"][0] == "by key"
        assert "API key" not in await explorer.read()
        assert "authorization: Bearer toto_" in await raw(explorer, "The same as curl")
        await explorer.click("Add to the batch")
        await explorer.go("method/rooms.say")
        await explorer.read("API key\nyours is not for this method, but for notes.*, old")
        await explorer.write(room="7", text="no")
        assert (await answer(explorer))["error"]["code"] == 1004
        await explorer.read(
            "The API key may not call this method.", "You call with an API key for notes.*, old", "or log in"
        )
        await explorer.click("Add to the batch")
        await explorer.go("batch")
        await explorer.click("Send the batch")
        await explorer.read('"by key"', "1004 NotAuthorized", "You call with an API key for notes.*, old")
        await explorer.go("channels")
        await explorer.read("Browsers show an API key to no socket, so you subscribe as nobody")
        with limits(ApiKeys, load=AsyncMock(side_effect=Unavailable)):
            await explorer.page.go(f"{explorer.origin}/service/explorer?an-outage")
            await explorer.see("/1011/.test(notice()) && button('Forget the session')")
        await explorer.page.go(f"{explorer.origin}/service/explorer?again")
        await explorer.click("Log out")
        await explorer.see("button('Log in')")
        assert await explorer.page.run("sessionStorage.length") == 0


async def test_what_a_role_shows(explore: Explore) -> None:
    """After a login the list is another one; an answer to somebody else is no longer there."""
    explorer = await explore(service(explorer="authenticated"))
    await explorer.read("Log in to see the methods")
    assert await explorer.page.run("document.querySelectorAll('#methods section').length") == 0
    await explorer.log_in()
    assert "rooms.shut" not in await explorer.methods()
    await explorer.go("method/promote")
    await explorer.write(user="ada")
    await explorer.click("Add an item")
    await explorer.page.type("admin")
    assert (await answer(explorer))["result"] is None
    await explorer.click("Log out")
    await explorer.see("button('Log in')")
    assert await explorer.page.run(f"document.querySelector({ANSWER!r})") is None
    await explorer.log_in(button="Log in")
    assert "rooms.shut" in await explorer.methods()
    await explorer.go("method/rooms.shut")
    await explorer.read("Role\nadmin")


async def test_a_second_step(explore: Explore) -> None:
    """A login with a second factor asks for its code."""
    built_in = toto_aio.methods.account.totp
    methods = {**METHODS, "account.totp.enrol": built_in.enrol, "account.totp.confirm": built_in.confirm}
    methods["account.totp.login"] = built_in.login
    explorer = await explore(service(methods, secret_key=[SECRET_KEY], signing="session"))
    await explorer.log_in()
    await explorer.go("method/account.totp.enrol")
    await explorer.write(**{EDITOR: '{"password": "correct horse"}'})
    app = App((await answer(explorer))["result"]["uri"])
    await explorer.go("method/account.totp.confirm")
    await explorer.write(**{EDITOR: json.dumps({"code": app.code()})})
    codes = (await answer(explorer))["result"]["recovery_codes"]
    await explorer.click("Log out")
    await explorer.click("Log in")
    await explorer.write(User="ada", Password="correct horse")
    await explorer.page.run("document.querySelector('#session form button').click()")
    await explorer.write(**{"Code of the authenticator app": codes[0]})
    await explorer.click("Finish")
    await explorer.see("document.getElementById('user')?.textContent === 'ada'")
