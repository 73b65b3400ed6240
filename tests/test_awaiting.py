"""A call of ours that a method drops without awaiting it is an error, never a success that did nothing."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, eventually
from toto_aio import create_app
from toto_aio.awaiting import dropped
from toto_aio.invocation import anonymous_session, asynchronous, optionally_authenticated, raw_response, safe
from toto_aio.settings import SettingsError
from toto_aio.threads import waits_in_threads

Errors = Callable[[], list[str]]


@pytest.fixture(autouse=True)
async def nothing_remains() -> Any:
    """Whatever was dropped has been reported."""
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert not dropped


@safe
@anonymous_session
async def forget(handler: Any, parameters: Any) -> Any:
    """Forget to await."""
    handler.session["x"] = 1
    handler.session.save()
    return "saved"


FORGOTTEN = f"{__file__}:{inspect.getsourcelines(forget)[1] + 5}: UserSession.save() was not awaited"


@safe
@optionally_authenticated
async def state(handler: Any, parameters: Any) -> Any:
    """The stored state."""
    return None if handler.session is None else handler.session.state


async def test_forgotten_on_every_way_in(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """No answer says that it was saved: by POST, URL, GET, form, batch and socket; the log has the line."""
    service = await serve({"forget": forget, "state": state}, use_web_sockets=True, signing="off")
    headers = {"x-toto-session-id": await service.create()}
    batch = {"batch": {"a": {"method": "forget"}, "b": {"method": "state"}}}  # they share a session object
    answers = [
        await (await service.post(json={"method": "forget"}, headers=headers)).json(),
        await (await service.post("/forget", json={}, headers=headers)).json(),
        await (await service.client.get("/service/forget", headers=headers)).json(),
        await (await service.post("/forget", data={"a": "b"}, headers=headers)).json(),
    ]
    entries = (await (await service.post(json=batch, headers=headers)).json())["batch"]
    answers.append(entries["a"])
    assert entries["b"] == {"result": {"x": 1}}
    async with service.client.ws_connect("/service/websocket", headers=headers) as socket:
        await socket.send_json({"id": 1, "method": "forget"})
        answers.append(await socket.receive_json())
        await socket.send_json({"id": 2, "method": "state"})
        assert (await socket.receive_json())["result"] == {}
    assert [answer["error"]["code"] for answer in answers] == [1000] * 6
    assert caplog.text.count(FORGOTTEN) == 6
    assert await service.result("state", session=headers["x-toto-session-id"]) == {}


async def test_calls_of_all_kinds(serve: Serve, errors: Errors) -> None:
    """Whatever touches a session, an account, or the events."""

    @anonymous_session
    async def drop(handler: Any, parameters: Any) -> str:
        account = await handler.connection.accounts.get("ada")
        handler.session.update(lambda state: None)
        handler.events.send("x")
        account.save()
        handler.create_session("ada", verify_password=False)
        handler.connection.accounts.create("eve", "correct horse")
        handler.connection.sessions.end(handler.session)
        return "done"

    service = await serve({"drop": drop}, debug=True)
    await service.create()
    value = (await service.call("drop"))["error"]["value"]
    for name in ("UserSession.update", "EventManager.send", "UserAccount.save", "Handler.create_session"):
        assert f": {name}() was not awaited" in value
    for name in ("Accounts.create", "Sessions.end"):
        assert f": {name}() was not awaited" in value


async def test_what_is_awaited_later_is_no_error(serve: Serve, errors: Errors) -> None:
    """Tasks, gather, wait_for, shield, and a variable."""

    @anonymous_session
    async def later(handler: Any, parameters: Any) -> Any:
        session = handler.session
        session["x"] = 1
        pending = session.save()
        await asyncio.gather(session.save(), handler.events.send("x"))
        task = asyncio.create_task(session.update(lambda state: "task"))
        await asyncio.wait_for(session.save(), WATCHDOG)
        await asyncio.shield(session.save())
        async with asyncio.TaskGroup() as group:
            group.create_task(session.save())
        await pending
        never = asyncio.create_task(session.update(lambda state: state.update(x=2)))
        never.cancel()
        session.save().close()
        return await task

    service = await serve({"later": later})
    assert await service.result("later") == "task"
    assert not errors()


async def test_a_task_that_is_still_to_begin(serve: Serve, errors: Errors) -> None:
    """It is not forgotten: it begins after the call."""
    tasks: list[asyncio.Task[Any]] = []

    @anonymous_session
    async def begin(handler: Any, parameters: Any) -> str:
        tasks.append(asyncio.create_task(handler.session.update(lambda state: "done")))
        return "begun"

    service = await serve({"begin": begin})
    assert await service.result("begin") == "begun"
    assert await tasks[0] == "done"
    assert not errors()


async def test_it_can_be_awaited_once(serve: Serve) -> None:
    """As any coroutine."""

    @anonymous_session
    async def twice(handler: Any, parameters: Any) -> str:
        saving: Any = handler.session.save()
        assert asyncio.iscoroutine(saving)
        code: Any = saving
        assert code.cr_code.co_name == "save"
        await saving
        with pytest.raises(RuntimeError, match="already awaited"):
            await saving
        return "once"

    service = await serve({"twice": twice})
    assert await service.result("twice") == "once"


async def test_a_variable_that_nobody_awaits(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The line is the one that called it."""

    @anonymous_session
    async def keep(handler: Any, parameters: Any) -> str:
        saving = handler.session.save()
        await asyncio.sleep(0)
        return str(saving)

    service = await serve({"keep": keep})
    assert (await service.call("keep"))["error"]["code"] == 1000
    line = inspect.getsourcelines(inspect.unwrap(keep))[1] + 2
    assert f"{__file__}:{line}: UserSession.save()" in caplog.text


async def test_an_error_of_the_methods_own_comes_first(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that keeps a call from being awaited is the call's error, and the next call has none."""
    held: list[BaseException] = []

    @anonymous_session
    async def fail(handler: Any, parameters: Any) -> None:
        saving = handler.session.save()
        try:
            handler.own_error["x"]
        except AttributeError as exc:
            if parameters:
                held.append(exc)  # it holds the frame, and so what its variables hold
            raise
        await saving

    @asynchronous
    async def collect(handler: Any, parameters: Any) -> None:
        held.clear()
        gc.collect()
        handler.respond("collected")

    service = await serve({"fail": fail, "state": state, "collect": collect})
    for parameters in ({}, {"hold": True}):
        assert (await service.call("fail", parameters))["error"]["code"] == 1000
        assert "has no attribute 'own_error'" in caplog.text
        caplog.clear()  # it holds exceptions too
        assert await service.call("collect") == {"result": "collected"}
        assert await service.call("state") == {"result": None}


async def test_a_task_of_a_method_logs(serve: Serve, errors: Errors) -> None:
    """Its call can't have the error any more, but the log has the line."""

    @anonymous_session
    async def start(handler: Any, parameters: Any) -> None:
        async def work() -> None:
            handler.session.save()

        await asyncio.create_task(work())

    service = await serve({"start": start})
    await service.result("start")
    await eventually(lambda: len(errors()) == 1)
    assert "UserSession.save() was not awaited" in errors()[0]


@pytest.mark.parametrize("persist", [True, False])
async def test_handlers_of_events(serve: Serve, errors: Errors, persist: bool) -> None:
    """A plain handler on the loop can't save: the log has the line, for each event."""

    @asynchronous
    @anonymous_session
    async def wait(handler: Any, parameters: Any) -> None:
        def heard(args: Any) -> None:
            handler.session.save()
            handler.respond(args)

        handler.events.register_handler("message", heard, persist=persist)
        await handler.events.send("message", "hello")

    service = await serve({"wait": wait})
    assert await service.result("wait") == "hello"
    await eventually(lambda: len(errors()) == 1)
    assert "UserSession.save() was not awaited" in errors()[0]


async def test_handlers_of_a_socket(serve: Serve, errors: Errors) -> None:
    """As those of other calls, while the socket stays open."""

    @anonymous_session
    async def listen(handler: Any, parameters: Any) -> None:
        def heard(args: Any) -> None:
            handler.session.save()
            handler.send_message(args)

        handler.register_event_handler("message", heard)
        await handler.events.send("message", "hello")

    service = await serve({"listen": listen}, use_web_sockets=True)
    async with service.client.ws_connect("/service/websocket") as socket:
        await socket.send_json({"method": "listen"})
        assert await socket.receive_json() == "hello"
        await eventually(lambda: len(errors()) == 1)
    assert "UserSession.save() was not awaited" in errors()[0]


async def test_hooks(serve: Serve, errors: Errors) -> None:
    """The hook before a call has its call fail; the hook after it logs."""

    def hook(handler: Any, transaction_id: str, method: str) -> None:
        handler.events.send("x")

    async def echo(handler: Any, parameters: Any) -> Any:
        return parameters

    service = await serve({"echo": echo}, before_handler=hook)
    assert (await service.call("echo"))["error"]["code"] == 1000
    service = await serve({"echo": echo}, after_handler=hook)
    assert await service.call("echo") == {"result": {}}
    assert "EventManager.send() was not awaited" in errors()[-1]


async def test_a_stream(serve: Serve) -> None:
    """A client doesn't take a stream for the whole."""

    @raw_response
    @anonymous_session
    async def stream(handler: Any, parameters: Any) -> None:
        handler.respond_raw("piece", "text/plain", finish=False)
        handler.session.save()

    service = await serve({"stream": stream})
    with pytest.raises(Exception, match=r"payload|disconnected"):
        await (await service.post("/stream", json={})).read()


async def test_what_a_thread_waits_for(serve: Serve) -> None:
    """A coroutine that forgets to await raises in the thread that waits for it."""

    @anonymous_session
    def plain(handler: Any, parameters: Any) -> Any:
        async def work() -> None:
            handler.session.save()

        return handler.wait(work())

    service = await serve({"plain": plain})
    assert (await service.call("plain"))["error"]["code"] == 1000


@pytest.mark.parametrize("option", ["startup_function", "event_init_module"])
async def test_start_up(option: str) -> None:
    """What is called when a service starts stops the start, with its line."""

    def prepare(*args: Any, **kwargs: Any) -> None:
        for part in (*args, *kwargs.values()):
            if hasattr(part, "accounts"):
                part.accounts.create("ada", "correct horse")
            elif hasattr(part, "send"):
                part.send("x")

    given = prepare if option == "startup_function" else SimpleNamespace(invoke=prepare)
    options: Any = {option: given}
    app = create_app(method_module={"state": state}, database="memory://", **options)
    runner = web.AppRunner(app)
    with pytest.raises(SettingsError, match=rf"{option}: .*test_awaiting.py:\d+: .* was not awaited"):
        await runner.setup()
    await runner.cleanup()


def test_without_a_task(caplog: pytest.LogCaptureFixture) -> None:
    """In a callback of the loop there is no call to fail: it is logged."""

    @waits_in_threads
    async def save() -> None:
        """Never begins."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(save)
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert "save() was not awaited" in caplog.text
