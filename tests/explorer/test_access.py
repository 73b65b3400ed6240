"""The explorer for everybody: by keyboard alone, on a phone, in the dark, and as axe-core judges it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.explorer.service import service

if TYPE_CHECKING:
    from tests.support.browser import Page
    from tests.support.explorer import Explore, Explorer
    from tests.support.node import Node

pytest_plugins = ["tests.support.browser", "tests.support.explorer", "tests.support.node"]

RULES = """
axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(
  ({violations}) => violations.map(each => `${each.impact} ${each.id}: ${each.nodes.map(node => node.html)}`))
"""


async def judge(explorer: Explorer, where: str) -> None:
    """Fail if axe-core finds anything in what is shown, or something is wider than the screen."""
    assert await explorer.page.run(RULES) == [], where
    width, screen = await explorer.page.run("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= screen, where


async def test_what_axe_finds(explore: Explore, node: Node) -> None:
    """Nothing, in each part, light and dark, on a desk and on a phone, with errors, answers and messages."""
    explorer = await explore(service(signing="session"))
    script = (node.folder / "node_modules" / "axe-core" / "axe.min.js").read_text()
    await explorer.page.run(f"void (() => {{ {script} }})()")
    await explorer.click("Log in")
    await judge(explorer, "the login")
    await explorer.click("Log in")
    await explorer.log_in()
    await explorer.go("method/rooms.say")
    await explorer.write(room="7", text="hello")
    await explorer.click("Call")
    await explorer.read("Status 200")
    await explorer.click("The same as curl")
    await explorer.click("Add to the batch")
    await explorer.go("method/notes.add")
    await explorer.click("Add an item")
    await explorer.write(priority="many")
    await explorer.click("Call")
    await explorer.read("Status 400")
    await explorer.go("channels")
    await explorer.write(Channel="room:7")
    await explorer.click("Subscribe")
    await explorer.read("Subscribed.")
    await explorer.go("batch")
    await explorer.click("Send the batch")
    await explorer.read("Outcomes")
    for width, dark in ((1100, False), (390, True)):
        await explorer.page.resize(width, dark=dark)
        for view in ("method/notes.add", "method/old", "method/rooms.say", "batch", "channels", "errors"):
            await explorer.go(view)
            await judge(explorer, f"{view} at {width}")
    assert await explorer.page.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 23)"
    assert not await explorer.page.run("document.getElementById('menu').checkVisibility()")
    await explorer.page.run("void document.querySelector('.menu').click()")
    await judge(explorer, "the list on a phone")
    await explorer.page.run("void document.querySelector('#methods a[href$=\"notes.echo\"]').click()")
    await explorer.read("Say it again")
    assert not await explorer.page.run("document.getElementById('menu').checkVisibility()")


async def test_by_keyboard_alone(explore: Explore) -> None:
    """Log in, find a method, write, call and read the answer without a pointer; the focus is never lost."""
    explorer = await explore(service())
    page = explorer.page
    await page.press("Tab")
    assert await focused(page) == "Skip to the content"
    await page.press("Tab")
    await page.press("Enter")  # opens the login
    for text in ("ada", "correct horse"):
        await page.press("Tab")
        await page.type(text)
    await page.press("Tab")
    await page.press("Tab")
    assert await focused(page) == "Create the account"
    await page.press("Enter")
    await explorer.see("document.getElementById('user')?.textContent === 'ada'")
    assert await focused(page) == "Log out"

    await page.press("/")
    await page.type("note")
    await page.press("ArrowDown")
    assert await focused(page) == "notes.add"
    await page.press("ArrowDown")
    assert await focused(page) == "notes.echo"
    await page.press("ArrowUp")
    await page.press("/")
    await page.type("s.echo")  # what is selected nowhere is added
    await page.press("Enter")
    await explorer.see("document.activeElement.textContent === 'notes.echo'")
    assert await page.run("document.activeElement.tagName") == "H2"
    await page.press("Tab")
    await page.press("Tab")
    await page.type("typed")
    await page.press("Enter", ctrl=True)
    await explorer.read("Status 200", '"typed"')
    names = set()
    for _ in range(40):
        await page.press("Tab")
        names.add(await focused(page))
    assert {"Call", "Add to the batch", "Copy", "Response headers", "The same as curl", "Response"} <= names


async def focused(page: Page) -> str:
    """What has the focus: its label, or its text."""
    script = "(({activeElement: each}) => each.getAttribute('aria-label') ?? each.textContent)(document)"
    return str(await page.run(script))


async def test_without_a_script(explore: Explore) -> None:
    """A reader without JavaScript is told what is missing."""
    explorer = await explore(service())
    await explorer.page.command("Emulation.setScriptExecutionDisabled", value=True)
    await explorer.page.go(f"{explorer.origin}/service/explorer?again")
    tree = await explorer.page.command("DOM.getDocument", depth=-1)
    assert "This page needs JavaScript." in str(tree)
