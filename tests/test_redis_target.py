"""What Redis URLs and ready clients stand for: parts of a server, what Sentinel names, clusters, sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster, Sentinel

from tests.brokers.test_contract import Inbox
from tests.support.limits import WATCHDOG, limits
from tests.support.servers import Server, free_port, redis, redis_cluster, redis_sentinel
from tests.support.servers.redis_cluster import Cluster
from tests.support.servers.redis_sentinel import NAME, Watched
from tests.support.service import eventually
from tests.support.stores import make_session, once_available, opened, operations
from toto_aio import redis_connection, redis_target
from toto_aio.brokers import Broker, Receiver, open_broker, redis_listener
from toto_aio.cli.redis_facts import ask
from toto_aio.exceptions import Unavailable, UserIDExists
from toto_aio.models import Account
from toto_aio.stores import open_store


@asynccontextmanager
async def listening(events: Any) -> AsyncIterator[tuple[Broker, Inbox]]:
    """A broker, and what it hears."""
    broker, inbox = open_broker(events), Inbox()
    assert broker is not None
    await broker.start(Receiver(inbox))
    try:
        yield broker, inbox
    finally:
        await broker.close()


async def until_it_works(work: Callable[[], Awaitable[Any]]) -> Any:
    """The result of what is tried until it is available."""
    async with asyncio.timeout(WATCHDOG):
        while True:
            try:
                return await work()
            except Unavailable:
                await asyncio.sleep(0.05)


async def hears(one: tuple[Broker, Inbox], other: tuple[Broker, Inbox]) -> None:
    """Assert that two brokers hear each other, and that one of them gets what is sent to one."""
    for number, (sender, _) in enumerate((one, other)):
        payload = b"for all %d" % number
        await sender.publish(payload, broadcast=True)
        for _, inbox in (one, other):
            while (heard := (await inbox.take(1))[0]) != payload:
                assert heard.startswith(b"for "), heard
    await one[0].publish(b"for one", broadcast=False)
    await one[0].publish(b"end", broadcast=True)
    inboxes = [inbox.payloads for _, inbox in (one, other)]
    await eventually(lambda: sum(each.qsize() for each in inboxes) >= 3)
    await asyncio.sleep(0.05)  # in which more could come
    arrived = [each.get_nowait() for each in inboxes for _ in range(each.qsize())]
    assert sorted(arrived) == [b"end", b"end", b"for one"]


def slots_of(client: Any) -> Any:
    """Who has which slots, as a server of a cluster tells it."""
    return client.execute_command("CLUSTER", "SLOTS")


def client_of(url: str) -> Any:
    """A client with which to ask Redis itself."""
    return Redis.from_url(url)


# A prefix


async def test_a_prefix_separates_services(servers: Callable[[str], Server]) -> None:
    """Services with different prefixes in one database share no account, session, counter, event or claim."""
    url = redis.fresh_url(servers("redis"))
    urls = [f"{url}?prefix=blog", f"{url}?prefix=shop", url]
    async with client_of(url) as admin:
        for number, each in enumerate(urls):
            async with opened(each) as store, listening(each) as (broker, inbox):
                for operation in operations(store).values():
                    await operation()
                await store.sweep()
                with pytest.raises(UserIDExists):
                    await store.add_account(Account("eve", None))
                await store.add_session(make_session("anonymous", ""))
                await store.add_session(make_session(f"only {number}"))
                assert [session.key for session in await store.list_sessions("")] == ["anonymous"]
                assert [session.key for session in await store.list_sessions("ada")] == [f"only {number}"]
                assert (await store.get_counter("a"))[0] == 1
                async with listening(urls[number - 1]) as (stranger, _):
                    await stranger.publish(b"strange", broadcast=True)
                    await stranger.publish(b"strange", broadcast=False)
                await broker.publish(b"own", broadcast=False)
                assert await inbox.take(1) == [b"own"]
                assert await inbox.stays_empty()
        keys = {str(key, "utf-8") for key in await admin.execute_command("KEYS", "*")}
        begin = {key.partition("toto:")[0] for key in keys}
        assert begin == {"blog:", "shop:", ""}
        kept = [key for key in keys if ":claim:" not in key]  # of an event that a stranger did not take
        counts = [sum(key.startswith(f"{prefix}toto:") for key in kept) for prefix in sorted(begin)]
        assert counts == [counts[0]] * 3


async def test_a_user_of_redis_for_one_prefix(servers: Callable[[str], Server], tmp_path: Any) -> None:
    """A user that Redis permits the keys and channels of a prefix can be the service's, and no other's."""
    url = redis.fresh_url(servers("redis"))
    async with client_of(url) as admin:
        await admin.execute_command(
            "ACL", "SETUSER", "prefixed", "on", ">x", "resetchannels", "~blog:*", "&blog:*", "+@all"
        )
        own = url.replace("://", "://prefixed:x@") + "?prefix=blog"
        async with opened(own) as store, listening(own) as (broker, inbox):
            for operation in operations(store).values():
                await operation()
            await broker.publish(b"x", broadcast=False)
            assert await inbox.take(1) == [b"x"]
        with pytest.raises(Unavailable, match="permission"):
            async with listening(own.partition("?")[0]):
                pass
        await admin.execute_command("ACL", "DELUSER", "prefixed")


# Sockets


async def test_a_socket(servers: Callable[[str], Server]) -> None:
    """A socket serves accounts, sessions and events; the checks ask over it, too."""
    server = servers("redis")
    url = redis.fresh_url(server)
    number = url.rpartition("/")[2]
    for scheme in ("unix", "redis+unix"):
        socket = f"{scheme}://{server.directory}/socket?db={number}&prefix={scheme.partition('+')[2] or 'a'}"
        async with opened(socket) as store, listening(socket) as one, listening(socket) as other:
            for operation in operations(store).values():
                await operation()
            await hears(one, other)
            assert await store.db.ping()
        assert (await ask("session_store", socket)).options["appendonly"] == "yes"
    absent = f"unix://{server.directory}/absent"
    with pytest.raises(Unavailable, match=f"Cannot open the database {absent}: "):
        async with opened(absent):
            pass


# Sentinel


async def test_sentinel(servers: Callable[[str], Any]) -> None:
    """The primary that Sentinel names serves everything, by URL and by a ready client, through a failover."""
    watched: Watched = servers("redis_sentinel")
    url = redis_sentinel.fresh_url(watched)
    several = url.replace("://", f"://127.0.0.1:{free_port()},")  # one of which does not answer
    sentinel = Sentinel([("127.0.0.1", watched.sentinel.port)])  # type: ignore[no-untyped-call]
    client = sentinel.master_for(NAME, db=int(url.rpartition("/")[2]))
    assert (await ask("database", several)).options["appendonly"] == "yes"
    async with (
        opened(several) as store,
        opened(client) as same,
        listening(url) as one,
        listening(client) as other,
    ):
        assert same.db is client
        await store.add_account(Account("ada", None))
        await store.add_session(make_session("k"))
        assert await same.get_account("ada") == Account("ada", None)
        assert await same.db.get("toto:session:k") == await store.db.get("toto:session:k") is not None
        await hears(one, other)
        await watched.fail_over()
        assert await until_it_works(lambda: store.increment("a", 60)) == 1
        assert await until_it_works(lambda: same.increment("a", 60)) == 2
        assert await store.get_session("k") == make_session("k")
        for broker, _ in (one, other):
            await until_it_works(broker.check)
        await hears(one, other)
        async with Redis(port=watched.primary().port, db=int(url.rpartition("/")[2])) as admin:
            assert await admin.get("toto:counter:a") == b"2"
    await client.aclose()
    await sentinel.aclose()


async def test_a_sentinel_that_is_frozen_or_knows_nothing(servers: Callable[[str], Any]) -> None:
    """The next one is asked; a name that none of them knows is an error that says so."""
    watched: Watched = servers("redis_sentinel")
    url = redis_sentinel.fresh_url(watched)
    with redis.server() as frozen, limits(redis_target, SENTINEL_LIMIT=0.3):
        frozen.freeze()
        several = url.replace("://", f"://127.0.0.1:{frozen.port},")
        async with opened(await once_available(lambda: open_store(several))) as store:
            assert await store.increment("a", 60) == 1
        frozen.thaw()
    with pytest.raises(Unavailable, match=r"no Sentinel that answers names a primary$"):
        async with opened(url.replace(NAME, "another")):
            pass
    with pytest.raises(Unavailable, match=r"Cannot open the events redis\+sentinel://127.* names a primary$"):
        async with listening(f"redis+sentinel://127.0.0.1:{free_port()}/{NAME}"):
            pass


# Clusters


async def test_a_cluster(servers: Callable[[str], Any]) -> None:
    """A cluster serves everything, by URL and by a ready client; the keys are spread over its servers."""
    cluster: Cluster = servers("redis_cluster")
    async with RedisCluster(port=cluster.primaries[0].port, host="127.0.0.1") as client:
        await client.flushall()
        url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{cluster.primaries[1].port}"
        async with (
            opened(url) as store,
            opened(client) as same,
            listening(url) as one,
            listening(client) as two,
        ):
            assert same.db is client
            sessions = [make_session(f"k{number}") for number in range(50)]
            await asyncio.gather(*map(store.add_session, sessions))
            assert len(await same.list_sessions("ada")) == 50
            await store.add_session(make_session("anonymous", ""))
            assert [session.key for session in await same.list_sessions("")] == ["anonymous"]
            assert await store.remove_sessions("ada", keep="k7") == 49
            await store.sweep()
            await hears(one, two)
            assert await store.db.get("toto:session:k7") == await client.get("toto:session:k7") is not None
            sizes = [await client.dbsize(target_nodes=node) for node in client.get_primaries()]
            assert min(sizes) > 0
    assert (await ask("database", url)).options["maxmemory-policy"] == "noeviction"


async def test_a_slot_that_moves(servers: Callable[[str], Any]) -> None:
    """While a slot is on its way, and when it has arrived, commands reach the server that has the key."""
    cluster: Cluster = servers("redis_cluster")
    clients = {client.connection_pool.connection_kwargs["port"]: client for client in cluster.clients()}
    url = redis_cluster.fresh_url(cluster)
    key = f"{url.partition('=')[2]}:toto:counter:a"
    asked = next(iter(clients.values()))
    slot = asked.execute_command("CLUSTER", "KEYSLOT", key)
    # A failover may have come before, and made the replica the primary.
    owners = [(range(first, last + 1), port) for first, last, (_, port, *_), *_ in slots_of(asked)]
    home = next(port for slots, port in owners if slot in slots)
    port = next(port for _, port in owners if port != home)
    source, target = clients[home], clients[port]
    ids = [str(client.execute_command("CLUSTER", "MYID"), "utf-8") for client in (source, target)]
    async with opened(url) as store:
        assert await store.increment("a", 60) == 1
        target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        source.execute_command("MIGRATE", "127.0.0.1", port, key, 0, 5000)
        assert await asyncio.gather(*(store.increment("a", 60) for _ in range(5))) == [2, 3, 4, 5, 6]
        assert (await store.get_counter("a"))[0] == 6
        for client in (target, source):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        assert await asyncio.gather(*(store.increment("a", 60) for _ in range(5))) == [7, 8, 9, 10, 11]
        async with opened(url) as fresh:
            assert await fresh.increment("a", 60) == 12
    for client in clients.values():
        client.close()


async def test_a_failover_in_a_cluster(servers: Callable[[str], Any]) -> None:
    """When a replica takes over, it is found, and what was written is there."""
    cluster: Cluster = servers("redis_cluster")
    url = redis_cluster.fresh_url(cluster)
    clients = cluster.clients()
    async with opened(url) as store, listening(url) as one, listening(url) as two:
        keys = [f"k{number}" for number in range(20)]
        for key in keys:
            await store.add_session(make_session(key))
        clients[2].execute_command("CLUSTER", "FAILOVER")
        async with asyncio.timeout(3 * WATCHDOG):
            while clients[2].execute_command("ROLE")[0] != b"master" or (
                clients[0].execute_command("ROLE")[0] != b"slave"
            ):
                await asyncio.sleep(0.05)
        for key in keys:
            assert await until_it_works(partial(store.get_session, key)) == make_session(key)
            assert await until_it_works(partial(store.touch_session, key, 4e9, 0.0)) is True
        for broker, _ in (one, two):
            await until_it_works(broker.check)
        await hears(one, two)
    for client in clients:
        client.close()


async def test_a_cluster_that_is_away() -> None:
    """The start says which, and a store that was closed stays closed."""
    url = f"redis+cluster://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=r"Cannot open the database redis\+cluster://127.0.0.1:\d+: "):
        async with opened(url):
            pass
    broker = open_broker(url)
    assert broker is not None
    for _ in range(2):  # a start that is repeated fails for the same reason
        with pytest.raises(
            Unavailable, match=r"Cannot open the events redis\+cluster://127.0.0.1:\d+: .*Connect call"
        ):
            await broker.start(Receiver(lambda payload: None))


# A server that was the primary


async def test_events_are_not_sent_to_a_replica(caplog: pytest.LogCaptureFixture) -> None:
    """A process whose server becomes a replica says so, and is not ready until that is over."""
    with (
        redis.server(**redis.REPLICATES_AT_ONCE) as server,
        redis.server() as successor,
        limits(redis_connection, ROLE_INTERVAL=0.05),
        limits(redis_listener, HEARTBEAT=0.05),
    ):
        url = f"redis://127.0.0.1:{server.port}/0"
        async with Redis(port=server.port) as admin, listening(url) as (broker, inbox):
            await admin.replicaof("127.0.0.1", str(successor.port))
            async with asyncio.timeout(WATCHDOG):
                while "lost the connection to redis://" not in caplog.text:
                    await asyncio.sleep(0.02)
            with pytest.raises(Unavailable):
                await broker.check()
            with pytest.raises(Unavailable, match="this Redis is a replica, not the primary"):
                async with listening(url):
                    pass
            assert inbox.payloads.empty()
            await admin.replicaof("NO", "ONE")
            await until_it_works(broker.check)
            await broker.publish(b"x", broadcast=True)
            assert await inbox.take(1) == [b"x"]


async def test_a_process_that_hears_another_server_than_it_sends_to(
    servers: Callable[[str], Server], caplog: pytest.LogCaptureFixture
) -> None:
    """It does not hear its own echo, and connects again: what was sent meanwhile counts as missed."""
    with redis.server() as abandoned, limits(redis_listener, HEARTBEAT=0.1, ECHO_LIMIT=0.5):
        ports, forwards = [abandoned.port], []

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            forwards.append(asyncio.current_task())
            upstream, sink = await asyncio.open_connection("127.0.0.1", ports[0])
            await asyncio.gather(pump(reader, sink), pump(upstream, writer))

        async with await asyncio.start_server(forward, "127.0.0.1", 0) as name:
            url = f"redis://127.0.0.1:{name.sockets[0].getsockname()[1]}/0"
            missed = asyncio.Event()
            broker, inbox = open_broker(url), Inbox()
            assert broker is not None
            await broker.start(Receiver(inbox, missed.set))
            ports[0] = servers("redis").port  # the name leads to another server from now on
            async with Redis(port=abandoned.port) as admin:
                await admin.client_kill_filter(_type="normal", skipme=True)
            async with asyncio.timeout(WATCHDOG):
                await missed.wait()
            await until_it_works(lambda: broker.publish(b"x", broadcast=True))
            assert await inbox.take(1) == [b"x"]
            assert "connected to another server than the one that events are sent to" in caplog.text
            await broker.close()
            await asyncio.gather(*filter(None, forwards))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward what arrives, until either end is closed."""
    try:
        while data := await reader.read(2**16):
            writer.write(data)
    except OSError:
        pass
    writer.close()


async def test_a_store_leaves_a_server_that_became_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it only reads, which no server refuses, it connects again to what the name stands for."""
    with redis.server() as server, limits(redis_connection, ROLE_INTERVAL=0.05):
        url = f"redis://127.0.0.1:{server.port}/0"
        async with Redis(port=server.port, db=1) as admin, opened(url) as store:
            await store.add_session(make_session("k"))

            async def ids() -> set[str]:
                return {each["id"] for each in await admin.client_list() if each["db"] == "0"}

            before = await ids()
            await admin.replicaof("127.0.0.1", str(free_port()))
            async with asyncio.timeout(WATCHDOG):
                while before & await ids():
                    await asyncio.sleep(0.02)
            assert await store.get_session("k") == make_session("k")
