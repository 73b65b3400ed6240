"""The page of the explorer in a real browser: call, collect, listen, and see what is wrong."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.explorer.service import METHODS, service
from tests.support import ROOT
from toto_aio import create_app
from toto_aio.websocket.endpoint import SOCKETS

if TYPE_CHECKING:
    from tests.support.explorer import Explore, Explorer
    from tests.support.node import Node

pytest_plugins = ["tests.support.browser", "tests.support.explorer", "tests.support.node"]

ANSWER = "#panel .answer"
RIGHT = "signed, and the signature is right"
EDITOR = "Parameters, as a JSON object"
IN_BATCH = "document.querySelector('#methods a[href=\"#batch\"]').textContent"
PROBLEMS = """Object.fromEntries([...document.querySelectorAll("[aria-invalid]")].map(each => [
  each.labels[0].querySelector(".name").textContent,
  document.getElementById(each.getAttribute("aria-describedby").split(" ")[0]).innerText]))"""
CHOOSE = """(() => {
  const chosen = new DataTransfer();
  files.forEach(each => chosen.items.add(new File([each], `${each}.txt`)));
  field(name).files = chosen.files;
})()"""
LATE_CLOSE = """(async () => {
  const { Socket } = await import("/service/explorer/socket.js");
  const opened = [], told = [], real = WebSocket;
  globalThis.WebSocket = class extends real {
    constructor(url) { super(url); opened.push(this); }
    send(data) {
      super.send(data);
      if (this === opened[1]) opened[0].dispatchEvent(new CloseEvent("close", { code: 1000 }));
    }
  };
  const socket = new Socket({ firstFrame: async () => null }, "websocket");
  socket.onclose = (reason) => told.push(reason);
  const ask = () => socket.request({ subscribe: "room:7" }).then(() => "a result", String);
  await ask();
  socket.close();
  const answer = await ask();
  await socket.request({ unsubscribe: "room:7" });
  globalThis.WebSocket = real;
  return [answer, opened.length, told];
})()"""
"""The socket before is closed at last while a request waits on the next."""
EVIL = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


async def raw(explorer: Explorer, title: str) -> str:
    """What a part of the answer has, such as ``Response`` or ``The same as curl``."""
    selector = f"{ANSWER} [aria-label='{title}']"
    script = "until(() => document.querySelector(selector)).then(found => found.textContent)"
    return str(await explorer.page.run(script, selector=selector))


async def answer(explorer: Explorer) -> dict[str, Any]:
    """The body of the response to the call that is made now."""
    await explorer.page.run(f"void document.querySelector({ANSWER!r})?.remove()")
    await explorer.click("Call")
    return dict(json.loads(await raw(explorer, "Response")))


async def test_a_call(explore: Explore) -> None:
    """Log in, see every error at once beside its field, call, and see the answer with all its digits."""
    explorer = await explore(service(signing="session"))
    assert "rooms.shut" not in await explorer.methods()
    await explorer.log_in()
    await explorer.go("method/notes.add")
    shown = await explorer.read("Add a note", "A note without a place is", "30 calls in 60 s by user")
    assert "Requires authentication" not in shown
    await explorer.write(priority="many", color='"green"', place='{"name": 5}')
    await explorer.click("Call")
    await explorer.read("3 things are wrong", "1003 InvalidParameters", "Correct what the error names")
    wrong = await explorer.page.run(PROBLEMS)
    assert wrong.keys() == {"title", "priority", "place"}
    assert "text of 1 to 80 characters" in wrong["title"]
    assert "expected int; got str" in wrong["priority"]
    assert wrong["place"].startswith("place.name: it has another type")
    assert await explorer.page.run("document.activeElement === field('title')")

    await explorer.write(place="{", title="Milk")
    await explorer.click("Call")
    await explorer.read("This is no JSON")
    await explorer.write(title="Milk & <b>honey</b>", priority="5", due="2027-01-31")
    await explorer.write(at="2027-01-31T12:00:00", place='{"name": "shop"}', done="true", weight="0.5")
    await explorer.click("Add an item")
    await explorer.page.type("sweet")
    body = await answer(explorer)
    assert body["session"]["user_id"] == "ada"
    result = body["result"]
    assert result.pop("at").startswith("2027-01-3")
    assert result == {
        **{"id": 2**53 + 1, "title": "Milk & <b>honey</b>", "priority": 5, "color": "green"},
        **{"due": "2027-01-31", "tags": ["sweet"], "sizes": [], "done": True, "weight": 0.5},
        "place": {"name": "shop", "latitude": 0.0},
    }
    shown = await explorer.read("Status 200", RIGHT)
    assert str(2**53 + 1) in shown
    assert not await explorer.page.run("document.querySelector('[aria-invalid], .answer b')")
    assert "content-type: application/json" in await raw(explorer, "Response headers")
    request = await raw(explorer, "Request")
    assert request.startswith("POST /service/notes/add\n")
    assert '"place": {"name": "shop"}' in request
    await explorer.click("The same as curl")
    await explorer.read("The signature counts once")

    await explorer.write(**{"Idempotency key": "k1"})
    assert "error" not in await answer(explorer)
    await answer(explorer)
    assert "idempotent-replayed: true" in await raw(explorer, "Response headers")
    await explorer.write(**{"as JSON": True})
    text = await explorer.page.run("field(editor).value", editor=EDITOR)
    assert json.loads(text)["tags"] == ["sweet"]
    await explorer.write(**{EDITOR: '{"title": "Tea", "priority": 2, "tags": ["a", "b"]}'})
    await explorer.write(**{"as JSON": False})
    values = await explorer.page.run("['title', 'priority', 'due'].map(each => field(each).value)")
    assert values == ["Tea", "2", ""]
    await explorer.write(**{"as JSON": True})
    for refused, why in (
        ('{"titel": "Tea", "title": "Tea"}', "The form would lose or change titel:"),
        ('{"title": 5, "color": "blue", "priority": 2}', "lose or change title, color:"),
        ('{"done": null, "at": "2027-01-31T12:00:00.5Z", "place": null}', "lose or change done, at:"),
        ('{"due": "tomorrow", "tags": "one"}', "lose or change due, tags:"),
        ('[{"title": "Tea"}]', "the parameters are an object"),
    ):
        await explorer.write(**{EDITOR: refused, "as JSON": False})
        await explorer.read(why)
        assert await explorer.page.run("field(editor).value", editor=EDITOR) == refused
    every = (
        '{"title": "Tea", "at": "2027-01-31T12:00:00+02:00", "place": null, "weight": 1.50, "tags": ["a"]}'
    )
    await explorer.write(**{EDITOR: every, "as JSON": False})
    await explorer.write(priority="2")
    assert (await answer(explorer))["error"]["code"] == 1015, "the key is used with other parameters"


async def test_other_kinds_of_calls(explore: Explore) -> None:
    """By GET, with files, of classic methods, with bytes as the answer, and of one that is not there."""
    explorer = await explore(service())
    await explorer.go("method/notes.echo")
    await explorer.write(text="a&b", exact=str(2**63 - 1), **{"by GET": True})
    assert (await answer(explorer))["result"] == ["a&b", [], 2**63 - 1]
    request = await raw(explorer, "Request")
    assert request.startswith(f"GET /service/notes/echo?text=a%26b&exact={2**63 - 1}")
    await explorer.write(**{"by GET": False})
    assert (await answer(explorer))["result"][2] == 2**63 - 1
    assert str(2**63 - 1) in await raw(explorer, "Response")

    await explorer.go("method/notes.upload")
    await explorer.write(name="two")
    for name, files in (("picture", ["first"]), ("others", ["second", "third"])):
        await explorer.page.run(CHOOSE, name=name, files=files)
    assert (await answer(explorer))["result"] == ["two", "first.txt", 5, ["second.txt", "third.txt"]]
    assert "-F 'picture=@\"first.txt\"'" in await raw(explorer, "The same as curl")

    await explorer.go("method/old")
    assert json.loads(await explorer.page.run("field(editor).value", editor=EDITOR)) == {"name": ""}
    await explorer.write(**{EDITOR: '{"name": [1.50, 9007199254740993]}'})
    assert (await answer(explorer))["result"] == {"name": [1.5, 2**53 + 1]}
    await explorer.write(**{EDITOR: "[]"})
    await explorer.click("Call")
    await explorer.read("the parameters are an object")

    await explorer.go("method/picture")
    await explorer.click("Call")
    await explorer.read("image/png", "Save 3 bytes")
    await explorer.go("method/wipe")
    await explorer.read("since 2026-01-31, and gone after 2027-01-31", "not older than 600 s")
    assert (await answer(explorer))["error"]["code"] == 1004
    await explorer.go("method/no.such")
    await explorer.read("There is no such method for you")
    await explorer.go("errors")
    await explorer.read("1016 OutcomeUnknown", "Find out what the first call did")


async def test_the_same_as_curl(explore: Explore) -> None:
    """The command, run by a shell, has the same response; whatever stands in the parameters."""
    explorer = await explore(service(signing="user_id"))
    await explorer.log_in()
    await explorer.go("method/notes.echo")
    for by_get in (False, True):
        await explorer.write(text='it\'s $HOME; `id` \\ "é" @x <', **{"by GET": by_get})
        expected = (await answer(explorer))["result"]
        command = await raw(explorer, "The same as curl")
        assert command.startswith("curl -i '"), "an interactive zsh takes comments for commands"
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        output, _ = await process.communicate()
        head, _, body = output.decode().partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 200"), output
        assert json.loads(body)["result"] == expected


async def test_channels(explore: Explore) -> None:
    """What is published comes as it is published, under the session of then."""
    for signing in ("session", "off"):
        app = service(signing=signing)
        explorer = await explore(app)
        await explorer.log_in()
        await explorer.go("channels")
        await explorer.read("room:{room}", "100 publications")
        await explorer.write(Channel="no-such")
        await explorer.click("Subscribe")
        await explorer.read("1001 MethodNotFound")
        await explorer.write(Channel="room:7")
        await explorer.click("Subscribe")
        await explorer.read('{"topic":"all about 7"}')
        await explorer.go("method/rooms.say")
        await explorer.write(room="7", text=EVIL)
        await answer(explorer)
        await explorer.go("channels")
        await explorer.read(json.dumps({"text": EVIL}, separators=(",", ":")))
        await explorer.click("Who is there?")
        await explorer.read('joined {"client":', 'who is there [{"client":', '"user":"ada"')
        for socket in tuple(app[SOCKETS].open):
            await socket.close(1012, "gone")
        await explorer.read("The socket is closed: 1012 (gone).")
        await explorer.go("method/rooms.say")
        await explorer.write(text="meanwhile")
        await answer(explorer)
        await explorer.go("channels")
        await explorer.click("Subscribe again")
        await explorer.read("Subscribed again: nothing was missed.", '2 {"text":"meanwhile"}')
        await explorer.click("Log out")
        await explorer.see("button('Log in') && !document.querySelector('.subscription')")
        await explorer.write(Channel="room:7")
        await explorer.click("Subscribe")
        await explorer.read("Subscribed.")
        await explorer.click("Leave")
        await explorer.see("!document.querySelector('.subscription')")
    assert await explorer.page.run(LATE_CLOSE) == [
        "a result",
        2,
        ["The socket is closed, as the session has changed."],
    ]


async def test_a_batch(explore: Explore) -> None:
    """Calls are collected, kept over a login, sent as one, and each has its outcome."""
    explorer = await explore(service(signing="session"))
    await explorer.go("method/notes.echo")
    await explorer.write(text="once", exact=str(2**53 + 1))
    await explorer.click("Add to the batch")
    await explorer.go("method/notes.add")
    await explorer.click("Add to the batch")
    await explorer.log_in()
    await explorer.see(f"{IN_BATCH} === 'Batch (2)'")
    await explorer.go("batch")
    await explorer.click("Send the batch")
    shown = await explorer.read("Outcomes", RIGHT, "1003 InvalidParameters")
    assert str(2**53 + 1) in shown
    body = json.loads(await raw(explorer, "Response"))
    assert body["batch"]["001"]["result"] == ["once", [], 2**53 + 1]
    await explorer.page.run("void document.querySelector('[aria-label=\"Remove notes.add\"]').click()")
    await explorer.see(f"{IN_BATCH} === 'Batch (1)'")
    await explorer.click("Empty it")
    await explorer.click("Send the batch")
    await explorer.read("There are no calls in it")


async def test_hostile_texts(explore: Explore) -> None:
    """Names, documentation, results and addresses of a stranger are text, whatever is in them."""

    async def hostile(text: str = EVIL) -> Any:
        return {EVIL: [text, EVIL]}

    hostile.__doc__ = f"{EVIL}\n\n{EVIL} more"
    explorer = await explore(service({f"a.{EVIL}": hostile, "b": hostile}))
    assert f"a.{EVIL}" in await explorer.methods()
    await explorer.page.run("void [...document.querySelectorAll('#methods section a')].at(-1).click()")
    await explorer.go("method/b")
    await explorer.read(EVIL, f"If left out: {json.dumps(EVIL)}")
    assert (await answer(explorer))["result"] == {EVIL: [EVIL, EVIL]}
    for address in ("#method/%E0%A4%A", "#constructor", "#method/__proto__", f"#method/{EVIL}", "#main"):
        await explorer.page.run("void (location.hash = address)", address=address)
        await explorer.read()
    assert await explorer.page.run("document.title") == "Methods: explorer"
    assert await explorer.page.run("document.querySelectorAll('main img, main script').length") == 0


async def test_wherever_it_is_served(explore: Explore) -> None:
    """At the root of the site, deep below it, in another application; calls by their paths or without."""
    for options, prefix in (
        ({"root": "/"}, ""),
        ({"root": "/a/b/c", "socket_path": "/a/ws", "signing": "session"}, ""),
        ({"method_select": "parameter", "signing": "toto1"}, ""),
        ({"method_select": "url", "signing": "session"}, "/outer/api"),
    ):
        app = service(**options)  # type: ignore[arg-type]
        if prefix:
            parent = web.Application()
            parent.add_subapp(prefix, app)
            app = parent
        path = f"{prefix}{options.get('root', '/service').rstrip('/')}/explorer"
        explorer = await explore(app, f"{path}/")
        assert await explorer.page.run("location.pathname") == path
        await explorer.log_in()
        await explorer.go("method/notes.echo")
        await explorer.write(text="here")
        assert (await answer(explorer))["result"][0] == "here", options
        await explorer.go("channels")
        await explorer.write(Channel="room:7")
        await explorer.click("Subscribe")
        await explorer.read('{"topic":"all about 7"}')


async def test_the_types_of_its_scripts(node: Node, tmp_path: Path) -> None:
    """TypeScript finds nothing in them, as strict as it can be."""
    from tests.support.node import STRICT
    from toto_aio.explorer.files import FOLDER

    extra = {"allowJs": True, "checkJs": True, "noUnusedLocals": True, "noUncheckedIndexedAccess": True}
    config = {"compilerOptions": {**STRICT, **extra}, "include": [f"{FOLDER}/*.js"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    node.run("typescript", "bin/tsc", "--project", str(tmp_path))


async def test_a_service_without_accounts(explore: Explore) -> None:
    """Nobody can log in, and the page says so."""
    app = create_app(database="memory://", method_module={"notes.echo": METHODS["notes.echo"]}, explorer="on")
    explorer = await explore(app)
    await explorer.click("Log in")
    await explorer.see("document.body.innerText.includes('The service has no method for logins.')")


def test_its_pictures() -> None:
    """The documentation shows it, in pictures that are small; `tests/explorer/screenshots.py` makes them."""
    text = (ROOT / "docs" / "explorer.md").read_text()
    for name in ("explorer.png", "explorer-phone.png"):
        assert f"(_static/{name})" in text
        picture = (ROOT / "docs" / "_static" / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 150_000
