"""Plain methods run in threads, where what they call of the service runs to its end."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from tests.support.limits import WATCHDOG
from tests.support.service import Serve, eventually
from toto_aio import Handler, create_app
from toto_aio.auth.caller import Caller
from toto_aio.auth.user_session import UserSession
from toto_aio.dispatch.call import Call
from toto_aio.dispatch.method import compile_method
from toto_aio.events.manager import EventManager
from toto_aio.exceptions import InvalidCredentials, InvalidSessionID, Unavailable, UserIDExists
from toto_aio.invocation import anonymous_session, asynchronous, authenticated, cancellable, timeout
from toto_aio.lifespan import LIFESPAN
from toto_aio.methods import account
from toto_aio.threads import Threads, waits_in_threads

Parameters = dict[str, Any]


@authenticated
def increment(handler: Any, params: Any) -> Any:
    """The method of the original's template, word for word."""
    handler.session["counter"] = (handler.session["counter"] or 0) + 1
    handler.session.save()
    return {"count": handler.session["counter"]}


async def test_a_plain_method_saves_on_every_way_in(serve: Serve) -> None:
    """The counter of the original's template counts: by POST, URL, GET, form, batch and socket."""
    service = await serve(
        {"increment": increment}, get_methods="all", use_web_sockets=True, signing="off", batch_concurrency=2
    )
    headers = {"x-toto-session-id": await service.create()}
    batch = {"batch": {"a": {"method": "increment"}}}
    path = "/service/increment"
    counts = [
        (await (await service.post(json={"method": "increment"}, headers=headers)).json())["result"],
        (await (await service.post("/increment", json={}, headers=headers)).json())["result"],
        (await (await service.client.get(path, headers=headers)).json())["result"],
        (await (await service.post("/increment", data={"a": "b"}, headers=headers)).json())["result"],
        (await (await service.post(json=batch, headers=headers)).json())["batch"]["a"]["result"],
    ]
    async with service.client.ws_connect("/service/websocket", headers=headers) as socket:
        await socket.send_json({"id": 1, "method": "increment"})
        counts.append((await socket.receive_json())["result"])
    assert [each["count"] for each in counts] == [1, 2, 3, 4, 5, 6]


async def test_a_plain_method_saves_in_every_store(serve: Serve, store_url: str) -> None:
    """It saves in every kind of store, also through an account."""

    @authenticated
    def rename(handler: Any, parameters: Any) -> Any:
        account = handler.session.get_account()
        account["name"] = parameters["name"]
        account.save()
        return account["name"]

    @authenticated
    async def name(handler: Any, parameters: Any) -> Any:
        return (await handler.session.get_account())["name"]

    service = await serve({"increment": increment, "rename": rename, "name": name}, database=store_url)
    session = await service.create()
    counts = [await service.result("increment", session=session) for _ in range(2)]
    assert counts == [{"count": 1}, {"count": 2}]
    assert await service.result("rename", {"name": "Ada"}, session=session) == "Ada"
    assert await service.result("name", session=session) == "Ada"


async def test_everything_that_touches_the_service_waits(serve: Serve) -> None:
    """Each gives its result in a thread, and handler.wait takes results as they are."""

    def plain(handler: Any, parameters: Any) -> Any:
        accounts, sessions = handler.accounts, handler.sessions
        account = accounts.create("ada", "correct horse", name="Ada")
        account.load("name")
        session = handler.create_session("ada", "correct horse")
        session.update(lambda state: state.update(x=1))
        session["y"] = 2
        session.save_state()
        session["y"] = 3
        session.refresh()
        accounts.change_password("ada", "correct horse", "battery staple")
        other = handler.wait(sessions.create("ada"))
        return [
            accounts.get("ada")["name"],
            handler.retrieve_session().state,
            handler.wait(accounts.verify("ada", "battery staple")).user_id,
            sessions.end_others(session),
            sessions.end(other),
            handler.events.send("nobody hears it"),
            EventManager.instance().send("nor this"),
            [each["current"] for each in sessions.describe_all(session)],
            handler.wait(None),
            handler.wait(asyncio.sleep(0, "slept")),
            accounts.set_password("ada", "correct horse"),
            [each.user_id for each in accounts.list().accounts],
            sessions.list("ada"),
            accounts.delete("ada"),
            sessions.end_all("ada"),
        ]

    service = await serve({"plain": plain})
    assert await service.result("plain") == [
        *["Ada", {"x": 1, "y": 2}, "ada", 1, None, None, None, [True], None],
        *["slept", None, ["ada"], [], True, 0],
    ]


async def test_built_in_methods_are_called_in_threads(serve: Serve) -> None:
    """A plain method calls the account methods as functions, as the original's own account.update does."""

    def sign_up(handler: Any, parameters: Any) -> Any:
        result = {"greeting": "hello"}
        methods: Any = account
        methods.create.invoke(handler, {"user_id": "ada", "password": "correct horse"})
        result.update(methods.login.invoke(handler, {"user_id": "ada", "password": "correct horse"}))
        return result

    service = await serve({"sign_up": sign_up})
    result = await service.result("sign_up")
    assert (result["greeting"], result["user_id"]) == ("hello", "ada")


async def test_errors_are_raised_in_the_thread(serve: Serve) -> None:
    """With their own types, so that a plain method can handle them, and the client gets their codes."""

    def plain(handler: Any, parameters: Any) -> Any:
        accounts = handler.connection.accounts
        accounts.create("ada", "correct horse")
        with pytest.raises(UserIDExists):
            accounts.create("ada", "correct horse")
        with pytest.raises(InvalidCredentials) as caught:
            handler.create_session("ada", "wrong horse")
        assert caught.value.__context__ is None
        session = handler.create_session()
        with pytest.raises(TypeError):
            handler.session.save(1)
        handler.connection.sessions.end(session)
        session["x"] = 1
        with pytest.raises(InvalidSessionID):
            session.save()
        handler.create_session("eve", "x")

    service = await serve({"plain": plain})
    assert (await service.call("plain"))["error"]["code"] == 1005


async def test_a_timed_out_call_frees_its_thread(serve: Serve) -> None:
    """What its thread waits for is cancelled, once, as a coroutine is; its cleanup may wait again."""
    ended: list[str] = []

    @timeout(0.2)
    def plain(handler: Any, parameters: Any) -> Any:
        try:
            handler.wait(asyncio.sleep(3600))
        except asyncio.CancelledError:
            handler.session.save()
            ended.append(handler.wait(asyncio.sleep(0, "saved")))
            raise

    service = await serve({"plain": anonymous_session(plain), "next": lambda handler, _: "next"}, threads=1)
    assert (await service.call("plain"))["error"]["code"] == 1013
    assert await service.result("next") == "next"
    assert ended == ["saved"]


async def test_a_timed_out_call_ends_at_its_next_wait(serve: Serve) -> None:
    """A thread that is computing when its call ends learns it where it waits next."""
    ended = threading.Event()
    timed_out = threading.Event()

    @timeout(0.1)
    def plain(handler: Any, parameters: Any) -> Any:
        assert timed_out.wait(WATCHDOG)
        try:
            handler.create_session()
        except asyncio.CancelledError:
            ended.set()
            raise

    service = await serve({"plain": plain})
    assert (await service.call("plain"))["error"]["code"] == 1013
    timed_out.set()
    await eventually(ended.is_set)


async def test_a_client_that_leaves_frees_the_thread_of_a_cancellable_method(serve: Serve) -> None:
    """It is cancelled where it waits."""
    started, ended = threading.Event(), threading.Event()

    @cancellable
    def plain(handler: Any, parameters: Any) -> Any:
        started.set()
        try:
            handler.wait(asyncio.sleep(3600))
        except asyncio.CancelledError:
            ended.set()
            raise

    service = await serve({"plain": plain})
    call = asyncio.create_task(service.call("plain"))
    await eventually(started.is_set)
    call.cancel()
    await eventually(ended.is_set)


async def test_no_thread_waits_longer_than_the_service_runs() -> None:
    """Whoever waits when the service closes, or begins to wait after that, is told so: nothing hangs."""
    outcomes: list[str] = []
    closed = threading.Event()

    def work(handler: Handler) -> None:
        for seconds in (3600, 0):
            try:
                handler.wait(asyncio.sleep(seconds))
            except (asyncio.CancelledError, Unavailable) as exc:
                outcomes.append(type(exc).__name__)
            assert closed.wait(WATCHDOG)

    threads: list[threading.Thread] = []

    async def start(handler: Handler, parameters: Parameters) -> None:
        threads.append(threading.Thread(target=work, args=(handler,)))
        threads[0].start()

    from toto_aio.testing import calling  # the service ends with the block

    async with calling() as call:
        await call(start)
        await asyncio.sleep(0.05)  # most likely it waits by now; if it doesn't yet, it is refused
    closed.set()
    await asyncio.to_thread(threads[0].join, WATCHDOG)
    assert not threads[0].is_alive()
    assert outcomes in (["CancelledError", "Unavailable"], ["Unavailable", "Unavailable"])


async def test_a_service_that_ends_while_a_thread_has_a_transaction(tmp_path: Path) -> None:
    """The service ends, and what the thread wrote is rolled back."""
    begun, go_on, ended = (threading.Event() for _ in range(3))

    def write(handler: Any, parameters: Any) -> None:
        try:
            with handler.transaction() as connection:
                handler.wait(connection.execute("create table t (x)"))
                begun.set()
                go_on.wait(WATCHDOG)
                handler.wait(connection.execute("insert into t values (1)"))
        finally:
            ended.set()

    url = f"sqlite:///{tmp_path}/toto.db"
    runner = web.AppRunner(create_app(method_module={"write": write}, database=url), shutdown_timeout=0.1)
    await runner.setup()
    dispatcher = runner.app[LIFESPAN].dispatcher({"write": compile_method("write", write, 60)})
    caller: Any = Caller(runner.app[LIFESPAN].runtime.connection.sessions, None, None)
    call = asyncio.create_task(dispatcher(Call("write", {}), caller, cast(Any, SimpleNamespace())))
    await eventually(begun.is_set)
    async with asyncio.timeout(WATCHDOG):
        await runner.cleanup()
    go_on.set()
    await eventually(ended.is_set)
    with pytest.raises((asyncio.CancelledError, Unavailable)):
        await call
    with closing(sqlite3.connect(tmp_path / "toto.db")) as database:
        assert database.execute("select name from sqlite_master where name = 't'").fetchall() == []


async def test_a_thread_of_the_authors_own(serve: Serve) -> None:
    """A thread that a method has started, or asyncio.to_thread, saves too."""

    @anonymous_session
    async def start(handler: Any, parameters: Any) -> Any:
        def work() -> None:
            handler.session["x"] = 1
            handler.session.save()

        await asyncio.to_thread(work)
        thread = threading.Thread(target=lambda: handler.session.update(lambda state: state.update(y=2)))
        thread.start()
        await asyncio.to_thread(thread.join)
        await handler.session.refresh()
        return handler.session.state

    service = await serve({"start": start})
    assert await service.result("start") == {"x": 1, "y": 2}


async def test_a_foreign_thread_among_several_services() -> None:
    """It isn't guessed which service is meant: the error says what to write."""
    first, second = Threads(1), Threads(1)

    @waits_in_threads
    async def save() -> None:
        """Never begins."""

    try:
        with pytest.raises(RuntimeError, match=r"handler\.wait"):
            await asyncio.to_thread(save)  # type: ignore[unused-coroutine]
    finally:
        await first.close()
        await second.close()


async def test_events_call_plain_functions_in_threads(serve: Serve) -> None:
    """What a plain method registers runs in a thread, where it may save and respond."""

    @asynchronous
    @anonymous_session
    def wait(handler: Any, parameters: Any) -> None:
        def heard(args: Any) -> None:
            handler.session["heard"] = args
            handler.session.save()
            handler.respond([handler.session["heard"], threading.current_thread().name])

        handler.register_event_handler("message", heard, deregister_on_finish=True)
        handler.events.send("message", "hello")

    service = await serve({"wait": wait})
    heard, thread = await service.result("wait")
    assert heard == "hello"
    assert thread.startswith("toto-aio-callback")


@pytest.mark.parametrize(("on_loop", "name"), [(True, "MainThread"), (False, "toto-aio-callback")])
async def test_run_on_main_loop(serve: Serve, on_loop: bool, name: str) -> None:
    """The author says where a plain function runs, of a method's event handler and of any other."""
    seen: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def heard(args: Any) -> None:
        loop.call_soon_threadsafe(seen.put_nowait, threading.current_thread().name)

    @asynchronous
    async def wait(handler: Handler, parameters: Parameters) -> None:
        handler.register_event_handler("message", heard, run_on_main_loop=on_loop)
        handler.events.register_handler("message", heard, run_on_main_loop=on_loop, persist=True)
        await handler.events.send("message")

    service = await serve({"wait": wait})
    call = asyncio.create_task(service.call("wait"))
    threads = [await asyncio.wait_for(seen.get(), WATCHDOG) for _ in range(2)]
    assert [thread.partition("_")[0] for thread in threads] == [name, name]
    call.cancel()


async def test_event_handlers_do_not_wait_for_methods(serve: Serve) -> None:
    """A plain method may block until an event arrives, even if all threads do that."""

    def wait(handler: Handler, parameters: Parameters) -> bool:
        arrived = threading.Event()
        handler.register_event_handler("message", lambda args: arrived.set())
        ready.wait(WATCHDOG)
        return arrived.wait(WATCHDOG)

    async def send(handler: Handler, parameters: Parameters) -> None:
        await handler.events.send("message")

    ready = threading.Barrier(3)
    service = await serve({"wait": wait, "send": send}, threads=2)
    calls = [asyncio.create_task(service.result("wait")) for _ in range(2)]
    await asyncio.to_thread(ready.wait, WATCHDOG)
    await service.result("send")
    assert await asyncio.gather(*calls) == [True, True]


async def test_on_connection_close_of_a_plain_method(serve: Serve) -> None:
    """It runs in a thread as its method does, so that it may save."""
    saved: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    started = threading.Event()

    @asynchronous
    @anonymous_session
    def wait(handler: Any, parameters: Any) -> None:
        started.set()

    def on_connection_close(handler: Any) -> None:
        handler.session["left"] = True
        handler.session.save()
        handler.session.refresh()
        loop.call_soon_threadsafe(saved.put_nowait, handler.session.state)

    service = await serve({"wait": SimpleNamespace(invoke=wait, on_connection_close=on_connection_close)})
    call = asyncio.create_task(service.call("wait"))
    await eventually(started.is_set)
    call.cancel()
    assert await asyncio.wait_for(saved.get(), WATCHDOG) == {"left": True}


async def test_coroutines_of_any_kind_are_waited_for(serve: Serve) -> None:
    """handler.wait takes futures and other awaitables too, as some drivers return them."""

    def plain(handler: Any, parameters: Any) -> Any:
        async def make() -> Any:
            future = asyncio.get_running_loop().create_future()
            future.get_loop().call_soon(future.set_result, "done")
            return future

        return handler.wait(handler.wait(make()))

    service = await serve({"plain": plain})
    assert await service.result("plain") == "done"


async def test_a_save_begun_in_a_thread_keeps_its_context(serve: Serve) -> None:
    """What a plain method calls belongs to its own app, where a process has several."""

    def plain(handler: Handler, parameters: Parameters) -> bool:
        async def which() -> bool:
            return EventManager.instance() is handler.events

        return handler.wait(which())

    first, second = await serve({"plain": plain}), await serve({"plain": plain})
    assert [await first.result("plain"), await second.result("plain")] == [True, True]


def test_it_passes_for_a_coroutine_function() -> None:
    """The type is that of the coroutine function, and so is what inspect finds."""
    assert inspect.iscoroutinefunction(inspect.unwrap(UserSession.save))
    assert UserSession.save.__doc__ is not None
    assert UserSession.save.__qualname__ == "UserSession.save"


def test_outside_of_a_service_a_coroutine_is_a_coroutine() -> None:
    """Without a service in another thread it can be handed to asyncio.run."""

    @waits_in_threads
    async def double(number: int) -> int:
        return 2 * number

    assert asyncio.run(double(2)) == 4
