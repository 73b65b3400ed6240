"""Events over Redis: the brokers of several processes on one server, and what happens when it fails."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import uvloop
from redis.asyncio.connection import AbstractConnection

import tests.support.servers.redis
from tests.brokers.test_contract import Inbox
from tests.support.limits import WATCHDOG, limits, publish_limit
from tests.support.servers import Server, free_port, make_certificate
from tests.support.service import eventually
from toto_aio import redis_connection
from toto_aio.brokers import Receiver, open_broker, redis_listener
from toto_aio.brokers import redis as redis_broker
from toto_aio.brokers.redis import CHANNEL, RedisBroker
from toto_aio.exceptions import Unavailable
from toto_aio.settings import SettingsError

KIND = "redis"
"""The kind of server that this module has for itself."""
MARK = b"mark "
"""The prefix of an event that a process sends itself, to know when it has received everything before it."""
MARKS = itertools.count()


@pytest.fixture
def url(servers: Callable[[str], Server]) -> str:
    """The URL of an empty database on the server that all tests share."""
    return tests.support.servers.redis.fresh_url(servers("redis"))


@pytest.fixture
def own_url(own_server: Server) -> str:
    """The URL of an empty database on the module's own server."""
    return tests.support.servers.redis.fresh_url(own_server)


class Process:
    """What one process has: a broker, the events that it received, and its interruptions."""

    def __init__(self, url: str, *, wants: bool = True) -> None:
        self.broker = RedisBroker(url)
        self.inbox = Inbox()
        self.interruptions: asyncio.Queue[None] = asyncio.Queue()
        self.receiver = Receiver(
            self.inbox, lambda: self.interruptions.put_nowait(None), lambda payload: wants
        )

    async def send(self, payload: bytes = b"x", *, broadcast: bool = True) -> None:
        """Publish an event."""
        await self.broker.publish(payload, broadcast=broadcast)

    async def heard(self) -> list[bytes]:
        """The events received, once all that were sent before have arrived and no more do for 0.1 seconds."""
        payloads: list[bytes] = []
        mark = MARK + b"%d" % next(MARKS)
        await self.send(mark)
        async with asyncio.timeout(WATCHDOG):
            while (payload := await self.inbox.payloads.get()) != mark:
                payloads.append(payload)
            await self.broker.check()  # Redis answers it after the claims of events that came before the mark
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.1):
                    payloads.append(await self.inbox.payloads.get())
        return [payload for payload in payloads if not payload.startswith(MARK)]

    async def was_interrupted(self) -> None:
        """Wait until an interruption is reported."""
        async with asyncio.timeout(WATCHDOG):
            await self.interruptions.get()


@asynccontextmanager
async def started(url: str, count: int = 1, **options: Any) -> AsyncIterator[list[Process]]:
    """``count`` processes whose brokers are started."""
    async with AsyncExitStack() as stack:
        processes = [Process(url, **options) for _ in range(count)]
        for process in processes:
            await process.broker.start(process.receiver)
            stack.push_async_callback(process.broker.close)
        yield processes


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Any]:
    """A client with which to inspect Redis itself."""
    async with redis.asyncio.Redis.from_url(url) as connected:
        yield connected


async def connections(url: str) -> list[dict[str, str]]:
    """The connections to this database, except the one that asks."""
    async with client(url) as connected:
        own = str(await connected.client_id())
        every = await connected.client_list()
    number = url.rpartition("/")[2]
    return [each for each in every if each["db"] == number and each["id"] != own]


async def all_are_closed(url: str) -> None:
    """Wait until there is no connection to this database; Redis notices the end of one a little later."""
    async with asyncio.timeout(WATCHDOG):
        while await connections(url):
            await asyncio.sleep(0.02)


async def all_claims_are_taken(url: str) -> None:
    """Wait until no event waits for a process."""
    async with client(url) as connected, asyncio.timeout(WATCHDOG):
        while await connected.keys("toto:claim:*"):
            await asyncio.sleep(0.02)


# Several processes


async def test_every_process_hears_an_event(url: str) -> None:
    """Every process, including the sender, receives all events, in the order of each sender."""
    async with started(url, 3) as processes:
        for number in range(20):
            for process in processes:
                await process.send(b"%d" % number)
        for process in processes:
            heard = await process.inbox.take(60)
            assert heard[::3] == [b"%d" % number for number in range(20)]


async def test_databases_do_not_share_events(servers: Callable[[str], Server], url: str) -> None:
    """Pub/sub does not separate databases, but the name of the channel has the number of the database."""
    other_url = tests.support.servers.redis.fresh_url(servers("redis"))
    async with started(url) as [one], started(other_url) as [other]:
        await one.send(b"one")
        await other.send(b"other", broadcast=False)
        assert await one.heard() == [b"one"]
        assert await other.heard() == [b"other"]


async def test_exactly_one_gets_it(url: str) -> None:
    """Exactly one process receives each event, and no key is left afterwards."""
    async with started(url, 4) as processes:
        sent = [b"%d" % number for number in range(100)]
        await asyncio.gather(*(processes[0].send(payload, broadcast=False) for payload in sent))
        heard = await asyncio.gather(*(process.heard() for process in processes))
        assert sorted(payload for payloads in heard for payload in payloads) == sorted(sent)
        async with client(url) as connected:
            assert await connected.keys() == []


async def test_a_process_that_waits_for_it_gets_it(url: str) -> None:
    """A process in which nobody waits for an event takes none from a process in which somebody does."""
    async with started(url, 3, wants=False) as others, started(url) as [waiting]:
        for number in range(20):
            await others[0].send(b"%d" % number, broadcast=False)
        assert await waiting.heard() == [b"%d" % number for number in range(20)]
        assert await others[0].heard() == []


async def test_all_stop_while_it_is_on_its_way(url: str) -> None:
    """An event that was sent before its sender stopped to take any is that one's, if nobody else takes it."""
    async with started(url, 2) as processes:
        sender, other = processes
        sending = asyncio.create_task(sender.send(b"on its way", broadcast=False))
        await asyncio.gather(*(process.broker.stop_taking() for process in processes))
        await sending
        assert (sender.inbox.payloads.get_nowait(), other.inbox.payloads.empty()) == (b"on its way", True)
        await all_claims_are_taken(url)


async def test_a_late_event_is_not_delivered_again(url: str) -> None:
    """A process that receives an event after the claim has expired does not deliver it a second time."""
    async with started(url, 2) as [one, other], client(url) as connected:
        pubsub = connected.pubsub()
        await pubsub.subscribe(f"{CHANNEL}{url.rpartition('/')[2]}")
        await one.send(b"x", broadcast=False)
        assert len(await one.heard() + await other.heard()) == 1
        message = None
        while message is None or message["type"] != "message":
            message = await pubsub.get_message(timeout=1)
        await connected.publish(message["channel"], message["data"])
        assert await one.heard() + await other.heard() == []
        await pubsub.aclose()


async def test_an_event_that_nobody_takes_leaves_nothing(url: str) -> None:
    """The key of the claim expires."""
    async with started(url, wants=False) as [process], client(url) as connected:
        await process.send(broadcast=False)
        [key] = await connected.keys()
        assert key.startswith(b"toto:claim:")
        assert 0 < await connected.ttl(key) <= 60


async def test_two_connections_under_load(url: str) -> None:
    """One connection listens and one sends, however many events are in progress."""
    async with started(url) as [process]:
        await asyncio.gather(*(process.send(broadcast=bool(n % 2)) for n in range(500)))
        assert len(await process.inbox.take(500)) == 500
        assert sorted(each["sub"] for each in await connections(url)) == ["0", "2"]
        tasks = [task for task in asyncio.all_tasks() if task.get_name() == "toto-aio events"]
        assert len(tasks) == 1
    await all_are_closed(url)


async def test_cancelled_senders(url: str) -> None:
    """Wherever some senders are cancelled, the others send, and each event arrives at most once."""
    async with started(url) as [process]:
        for steps in range(12):
            tasks = [
                asyncio.create_task(process.send(b"%d %d" % (steps, n), broadcast=bool(n % 3)))
                for n in range(10)
            ]
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert set(outcomes[1::2]) == {None}
        heard = await process.heard()
        assert len(set(heard)) == len(heard)
        assert {b"%d %d" % (steps, n) for steps in range(12) for n in range(1, 10, 2)} <= set(heard)
        async with asyncio.timeout(WATCHDOG):
            while len(await connections(url)) > 2:  # Redis notices the end of one a little later
                await asyncio.sleep(0.02)


async def test_foreign_messages(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A message that is not an event is logged and dropped."""
    async with started(url) as [process], client(url) as connected:
        for message in (b"", b"strange", b"1", b"1abc", b"1" + b"\xff" * 40):
            await connected.publish(f"{CHANNEL}{url.rpartition('/')[2]}", message)
        await process.send(b"sound")
        assert await process.heard() == [b"sound"]
        assert "dropped an event that cannot be read: b'strange'" in caplog.text


async def test_a_receiver_that_fails(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """An event that cannot be delivered does not stop the others."""

    def fail(payload: bytes) -> None:
        if payload == b"bad":
            raise ValueError(payload)
        inbox(payload)

    broker, inbox = RedisBroker(url), Inbox()
    await broker.start(Receiver(fail))
    for payload in (b"bad", b"good"):
        for broadcast in (True, False):
            await broker.publish(payload, broadcast=broadcast)
    assert await inbox.take(2) == [b"good", b"good"]
    assert caplog.text.count("ValueError: b'bad'") == 2
    await broker.close()


async def test_uvloop(url: str) -> None:
    """All of it works on the event loop of ``serve``, which has different transports."""

    async def work() -> None:
        async with started(url, 2) as [one, other]:
            await one.send(b"x" * 2**20)
            await other.send(b"y")
            assert await one.inbox.take(2) == await other.inbox.take(2) == [b"x" * 2**20, b"y"]
            await one.send(b"z", broadcast=False)
            assert len(await one.heard() + await other.heard()) == 1

    await asyncio.to_thread(uvloop.run, work())


# A server that fails


async def test_no_server() -> None:
    """The start fails immediately, with an error that shows no password."""
    broker = open_broker(f"redis://ada:s3cr%40t@127.0.0.1:{free_port()}/0")
    assert broker is not None
    with pytest.raises(
        Unavailable, match=r"^1011: Cannot open the events redis://[\w.]+:\d+[/\w]*: .*connecting"
    ):
        await broker.start(Receiver(Inbox()))
    with pytest.raises(Unavailable):
        await broker.publish(b"x", broadcast=True)
    await broker.close()


@pytest.mark.parametrize("steps", range(0, 20, 2))
async def test_a_start_that_is_cancelled(url: str, steps: int) -> None:
    """Wherever it is cancelled, it leaves no connection behind."""
    process = Process(url)
    starting = asyncio.create_task(process.broker.start(process.receiver))
    for _ in range(steps):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await process.broker.close()
    await all_are_closed(url)


async def test_a_start_while_the_server_is_frozen(own_server: Server, own_url: str) -> None:
    """The start fails within its limit."""
    own_server.freeze()
    try:
        with limits(redis_connection, CONNECT_LIMIT=0.3):
            async with asyncio.timeout(WATCHDOG):
                with pytest.raises(Unavailable, match="no answer"):
                    async with started(own_url):
                        pass
    finally:
        own_server.thaw()


def test_the_delay_between_attempts_to_reconnect() -> None:
    """A broker tries to reconnect within a second, however long Redis was away."""
    assert redis_listener.MIN_RECONNECT_DELAY < redis_listener.MAX_RECONNECT_DELAY < 1


async def test_a_restart(own_server: Server, own_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """After a restart of Redis all receive events again, and have reported and logged the interruption."""
    async with started(own_url, 3) as processes:
        for end in (own_server.kill, own_server.stop):
            caplog.clear()
            end()
            await eventually(lambda: len(caplog.records) == 3)
            await asyncio.sleep(0.4)  # in which they try to reconnect
            own_server.start()
            await asyncio.gather(*(process.was_interrupted() for process in processes))
            await processes[0].send(b"again")
            for process in processes:
                assert await process.inbox.take(1) == [b"again"]
                assert process.interruptions.empty()
            lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
            assert len(lines) == 6
            assert sum(", reconnecting: " in line for line in lines) == 3
            assert sum("reconnected to " in line for line in lines) == 3


async def test_sending_while_the_server_is_away(own_server: Server, own_url: str) -> None:
    """Sending fails within the limit; an event sent just before Redis is back goes out then, once."""
    async with started(own_url, 2) as [one, other]:
        own_server.kill()
        with publish_limit(0.4):
            async with asyncio.timeout(WATCHDOG):
                sends = (one.send(broadcast=bool(n % 2)) for n in range(50))
                outcomes = await asyncio.gather(*sends, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        sending = asyncio.create_task(one.send(b"in time"))
        own_server.start()
        await sending
        await other.was_interrupted()
        assert [payload for payload in await one.heard() if payload != b"in time"] == []


async def test_sending_while_the_server_is_frozen(own_server: Server, own_url: str) -> None:
    """Sending fails within the limit, and nothing arrives twice; once thawed, the server serves again."""
    async with started(own_url, 2) as [one, other]:
        with publish_limit(0.4):
            own_server.freeze()
            try:
                for _ in range(2):
                    async with asyncio.timeout(WATCHDOG):
                        sends = (one.send(b"%d" % n, broadcast=bool(n % 2)) for n in range(50))
                        outcomes = await asyncio.gather(*sends, return_exceptions=True)
                    assert {type(outcome) for outcome in outcomes} == {Unavailable}
            finally:
                own_server.thaw()
        await send_until_sent(one, b"last")
        assert b"last" in await other.heard()
        heard = await one.heard()
        assert b"last" in heard
        # Each was sent twice here, and Redis may have received both.
        assert all(heard.count(payload) <= 2 for payload in heard)


async def test_a_server_that_is_silent(
    own_server: Server, own_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A silent connection is checked with a PING, and replaced if there is no answer."""
    monkeypatch.setattr(redis_listener, "HEARTBEAT", 0.05)
    monkeypatch.setattr(redis_connection, "OPERATION_LIMIT", 3)  # of the connection that listens
    async with started(own_url) as [process]:
        await asyncio.sleep(0.5)
        assert process.interruptions.empty()
        assert caplog.records == []
        own_server.freeze()
        try:
            with limits(redis_connection, OPERATION_LIMIT=0.2, CONNECT_LIMIT=0.2):
                await eventually(lambda: bool(caplog.records))
                await asyncio.sleep(0.7)  # in which it tries to reconnect
            assert len(caplog.records) == 1
            # No PING may be in progress at the end: redis-py sends it with asyncio.wait_for, which
            # can swallow a cancellation before Python 3.12, see https://github.com/python/cpython/issues/86296
            monkeypatch.setattr(redis_listener, "HEARTBEAT", 10)
        finally:
            own_server.thaw()
        await process.was_interrupted()
        await process.send()
        assert await process.heard() == [b"x"]


async def test_a_connection_that_is_cut(url: str) -> None:
    """Either of the two connections is opened again."""
    async with started(url) as [process], client(url) as connected:
        for each in await connections(url):
            await connected.client_kill(each["addr"])
            if each["sub"] != "0":
                await process.was_interrupted()
            await send_until_sent(process, b"x")
            assert await process.heard() == [b"x"]


async def send_until_sent(process: Process, payload: bytes) -> None:
    """Send an event; send it again if the connection turns out to have just been cut."""
    async with asyncio.timeout(WATCHDOG):
        while True:
            try:
                return await process.send(payload)
            except Unavailable:
                await asyncio.sleep(0.02)


async def test_pending_events_are_limited(
    own_server: Server, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While too many events wait for Redis, new ones are refused; afterwards they are accepted again."""
    monkeypatch.setattr(redis_broker, "MAX_PENDING", 10 * (redis_broker.OVERHEAD + 100))
    async with started(own_url) as [process]:
        await asyncio.gather(*(process.send(bytes(100)) for _ in range(10)))
        with publish_limit(0.3):
            own_server.freeze()
            try:
                waiting = [asyncio.create_task(process.send(bytes(100))) for _ in range(11)]
                await asyncio.sleep(0)
                with pytest.raises(Unavailable, match="Too many events"):
                    await process.send()
                assert not any(task.done() for task in waiting)
                await asyncio.gather(*waiting, return_exceptions=True)
            finally:
                own_server.thaw()
        await send_until_sent(process, b"")


async def test_closing_while_the_server_is_away(own_server: Server, own_url: str) -> None:
    """Closing does not wait for an answer, and a task that is sending gets an error."""
    for away, back in ((own_server.freeze, own_server.thaw), (own_server.kill, own_server.start)):
        process = Process(own_url)
        await process.broker.start(process.receiver)
        away()
        try:
            await asyncio.sleep(0.05)
            sending = asyncio.create_task(process.send())
            await asyncio.sleep(0.01)
            async with asyncio.timeout(WATCHDOG):
                await process.broker.close()
                [outcome] = await asyncio.gather(sending, return_exceptions=True)
            assert isinstance(outcome, Unavailable)
        finally:
            back()


# URLs


async def test_users_who_are_refused(tmp_path: Path) -> None:
    """The error of the start includes the error of Redis."""
    acl = tmp_path / "users.acl"
    users = (
        "default on nopass ~* &* +@all",
        "ada on >s3cret ~* resetchannels +@all",
        "eve on >s3cret ~toto:* &toto:* +@all",
    )
    acl.write_text("".join(f"user {user}\n" for user in users))
    with tests.support.servers.redis.server(aclfile=str(acl)) as server:
        for user, reason in (("ada:wrong", "username-password"), ("ada:s3cret", "permissions")):
            with pytest.raises(Unavailable, match=reason) as refused:
                async with started(f"redis://{user}@127.0.0.1:{server.port}/0"):
                    pass
            assert "s3cret" not in str(refused.value)
        async with started(f"redis://eve:s3cret@127.0.0.1:{server.port}/0") as [process]:
            await process.send(broadcast=False)
            assert await process.heard() == [b"x"]


async def test_tls(tmp_path: Path) -> None:
    """``rediss://`` verifies the server's certificate with the authority that the URL names."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make_certificate(certificate, key)
    options = {"tls_port": str(free_port()), "tls_auth_clients": "no"}
    files = {"tls_cert_file": str(certificate), "tls_key_file": str(key)}
    with tests.support.servers.redis.server(**options, **files):
        url = f"rediss://localhost:{options['tls_port']}/1"
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            async with started(url):
                pass
        async with started(f"{url}?ssl_ca_certs={certificate}") as [process]:
            await process.send()
            assert await process.heard() == [b"x"]


async def test_a_unix_socket(servers: Callable[[str], Server], url: str) -> None:
    """A Unix socket carries the same events as the network."""
    path = servers("redis").directory / "socket"
    async with started(url) as [one], started(f"unix://{path}?db={url.rpartition('/')[2]}") as [other]:
        await one.send(b"one")
        await other.send(b"other")
        assert await one.heard() == await other.heard() == [b"one", b"other"]


@pytest.mark.parametrize(
    "url",
    [
        *("redis://:s3cret@host/a", "redis://host:port/0", "redis://:s3cret@host/0?proto=3"),
        *("unix://", "unix", "unix:///", "unix://:s3cret@host/socket", "unix:///socket?db=s3cret"),
        "unix:///socket?socket_timeout=1&password=s3cret",
    ],
)
def test_urls_that_are_not_understood(url: str) -> None:
    """The error says what to write, and shows no password."""
    with pytest.raises(SettingsError, match=r"^events: cannot open .* write (redis|unix)://") as refused:
        open_broker(url)
    assert "s3cr" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis", "redis://", "redis://localhost", "redis://localhost:6379/0"])
def test_short_urls(url: str) -> None:
    """The defaults are localhost, port 6379 and database 0."""
    assert isinstance(open_broker(url), RedisBroker)


async def test_a_ready_client(own_url: str) -> None:
    """The broker listens on the channel of the client's database, and leaves the client open."""
    async with redis.asyncio.Redis.from_url(own_url, decode_responses=True) as client:
        broker, other = open_broker(client), open_broker(own_url)
        assert broker is not None
        assert other is not None
        arrived: asyncio.Queue[bytes] = asyncio.Queue()
        await broker.start(Receiver(arrived.put_nowait))
        await other.start(Receiver(lambda payload: None))
        for sender in (broker, other):
            await sender.publish(b"\xff payload", broadcast=True)
            assert await asyncio.wait_for(arrived.get(), WATCHDOG) == b"\xff payload"
        await broker.close()
        await other.close()
        assert await client.ping()


def test_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    for name in ("brokers.redis", "redis_target"):
        monkeypatch.delitem(sys.modules, f"toto_aio.{name}")
    with pytest.raises(SettingsError) as refused:
        open_broker("redis://localhost")
    assert str(refused.value) == "Redis needs a driver: pip install 'toto-aio[redis]'"


async def test_a_close_during_a_heartbeat(
    own_server: Server, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, although redis-py may swallow the cancellation of a PING before Python 3.12."""
    monkeypatch.setattr(redis_listener, "HEARTBEAT", 0.001)
    for attempt in range(30):
        broker = RedisBroker(own_url)
        await broker.start(Receiver(lambda payload: None))
        await asyncio.sleep(0.004 + attempt / 10000)
        await asyncio.wait_for(broker.close(), WATCHDOG)


async def test_a_connection_that_is_back_during_a_close(url: str) -> None:
    """Nobody is told that events were missed, and nothing fails."""
    async with started(url) as [process]:
        process.broker._own.add(b"on its way")
        closing, process.broker._receiver = process.broker._receiver, None
        process.broker._interrupted()
        assert (process.interruptions.empty(), process.broker._own) == (True, set())
        process.broker._receiver = closing


async def test_a_close_while_it_connects_again(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends in whichever turn of the loop it comes, although redis-py may swallow the cancellation."""
    for turns in range(8):
        await _close_while_it_connects(own_url, turns, monkeypatch)
    await all_are_closed(own_url)


async def _close_while_it_connects(url: str, turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close a broker so many turns after it has begun to subscribe again."""
    process = Process(url)
    await process.broker.start(process.receiver)
    closings: list[asyncio.Task[None]] = []
    send = AbstractConnection.send_command

    async def close() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await process.broker.close()

    async def sending(self: AbstractConnection, *command: Any, **options: Any) -> None:
        if command[0] == "SUBSCRIBE":
            closings.append(asyncio.create_task(close()))
        await send(self, *command, **options)

    with monkeypatch.context() as patched:
        patched.setattr(AbstractConnection, "send_command", sending)
        async with client(url) as connected:
            await connected.client_kill_filter(_type="pubsub")
        await eventually(lambda: bool(closings))
        done, _ = await asyncio.wait(closings, timeout=WATCHDOG)
    assert done, f"a close after {turns} turns does not end"
