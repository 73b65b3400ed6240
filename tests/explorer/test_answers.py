"""Answers that are large, of another form than the service's own, or a stranger's, in the explorer's page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.explorer.service import METHODS, service
from tests.explorer.test_page import answer, raw
from toto_aio import TotoException
from toto_aio.invocation import raw_response

if TYPE_CHECKING:
    from tests.support.explorer import Explore

pytest_plugins = ["tests.support.browser", "tests.support.explorer"]

OWN = {
    "no.error": {"error": None, "result": 5},
    "error.text": {"error": "text"},
    "problems.null": {"error": {"code": 1003, "problems": [None, {"path": 5}]}},
}
"""What methods answer with as JSON of their own."""
STOLEN = {"error": {"code": 1}, "session": {"user_id": "mallory", "session_id": "theirs", "key": "a2V5"}}


async def failing() -> None:
    """Fail with details that have a name of the service's."""
    exc = TotoException(5000, {"exact": [1]})
    exc.details = {"problems": [1, None, "text"]}
    raise exc


async def large(handler: Any) -> str:
    """A text of many megabytes."""
    return "\\" + "x" * 12_000_000


async def tell(handler: Any) -> None:
    """Publish what is long, and what a script has no number for."""
    await handler.events.publish("room:7", {"text": "x" * 50_000})
    await handler.events.publish("room:7", {"id": 2**53 + 1})


def own(value: Any) -> Any:
    """A method that answers with JSON of its own."""

    @raw_response
    async def invoke(handler: Any, parameters: dict[str, Any]) -> bytes:
        handler.response_type = "application/json"
        return json.dumps(value).encode()

    return invoke


async def test_answers_of_other_forms(explore: Explore) -> None:
    """Each is shown, whatever its form; none of a method's own logs in; none is more than a page shows."""
    methods = {name: own(value) for name, value in {**OWN, "stolen": STOLEN}.items()}
    explorer = await explore(
        service({**METHODS, **methods, "failing": failing, "large": large, "tell": tell}, signing="off")
    )
    await explorer.log_in()
    kept = await explorer.page.run("JSON.stringify({...sessionStorage})")
    for name, value in {**OWN, "stolen": STOLEN}.items():
        await explorer.go(f"method/{name}")
        assert await answer(explorer) == value, name
    assert await explorer.page.run("JSON.stringify({...sessionStorage})") == kept
    await explorer.go("method/failing")
    assert (await answer(explorer))["error"]["problems"] == [1, None, "text"]
    await explorer.read('{"exact":[1]}')
    await explorer.go("method/large")
    await explorer.click("Call")
    shown = await raw(explorer, "Response")
    assert shown.startswith('{\n  "result": "\\\\xxx')
    assert "more characters" in shown[-40:]
    assert len(shown) < 201_000

    await explorer.go("channels")
    await explorer.write(Channel="room:7")
    await explorer.click("Subscribe")
    await explorer.read("Subscribed.")
    await explorer.go("method/tell")
    await answer(explorer)
    await explorer.go("channels")
    assert len(await explorer.read("more characters", f'{{"id":{2**53 + 1}}}')) < 15_000
