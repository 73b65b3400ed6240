"""Channels in Redis: a publication is numbered, kept and sent in one step.

A channel with a history has a hash (its epoch, the last number, and the run of the server that counts) and a
stream, whose ids are the numbers. Both are in the slot of the channel's name. A server that was restarted or
that took over may lack the last writes of the one before, and would hand out their numbers again. So an epoch
belongs to one run of one server, until that is restarted or was a replica for a while. Each command names the
run that its connection knows. If the channel knows another one, the script asks the server which of them it
is, as what a connection knows may be old; if neither, a new epoch begins.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from typing import Any

from toto_aio.brokers import Receiver
from toto_aio.brokers.redis_followed import FollowedChannels
from toto_aio.brokers.streams import COUNT_TTL, NEW_TTL, REPEAT_TTL, Kept, Stretch, complete
from toto_aio.channels import Channel, Position
from toto_aio.redis_connection import RedisLink
from toto_aio.redis_script import Script
from toto_aio.redis_target import RedisTarget

logger = logging.getLogger(__name__)

RUN = """
local function run_of_server(known, given)
  if not known or known == given then return given end
  local id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
  return string.sub(id, 1, 31) .. ':' .. string.sub(replid, 1, 31)
end
"""
"""The run that a channel has now, from the one in its hash and that of the connection; as ``read_run_id``."""
PUBLISH_KEPT = Script(
    RUN
    + """-- keys: count, history, result of an idempotency key; arguments: channel, payload,
-- publications to keep, milliseconds to keep them, the count and the result, a new epoch, the run
if KEYS[3] then
  local known = redis.call('GET', KEYS[3])
  if known then return known end
end
local known = redis.call('HMGET', KEYS[1], 'epoch', 'run')
local epoch, run = known[1], run_of_server(known[2], ARGV[8])
if known[2] ~= run then
  epoch = ARGV[7]
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'run', run)
end
local number = redis.call('HINCRBY', KEYS[1], 'last', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], number .. '-1', 'd', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local position = epoch .. ':' .. number
redis.call('PUBLISH', ARGV[1], position .. ':' .. ARGV[2])
if KEYS[3] then redis.call('SET', KEYS[3], position, 'PX', ARGV[6]) end
return position
"""
)
PUBLISH_ONCE = Script("""-- key: an idempotency key; arguments: channel, payload, milliseconds
if redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[3]) then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return false
""")
READ = Script(
    RUN
    + """-- keys: count, history; arguments: epoch and number since when, the most that are kept,
-- milliseconds to keep the count, and if nothing was published, a new epoch, the run; or so many of the
-- oldest or the newest
local known = redis.call('HMGET', KEYS[1], 'epoch', 'run', 'last')
local epoch, run, last = known[1], run_of_server(known[2], ARGV[7]), known[3]
if known[2] ~= run then
  epoch, last = ARGV[6], '0'
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'run', run, 'last', 0)
end
local life = last == '0' and ARGV[5] or ARGV[4]
if redis.call('PTTL', KEYS[1]) < 0.9 * life then -- new; or quiet, but followed: its epoch must not end
  redis.call('PEXPIRE', KEYS[1], life)
end
if ARGV[1] == 'oldest' then
  return {epoch, last, redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[2])}
elseif ARGV[1] == 'newest' then
  return {epoch, last, redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[2])}
end
local missed = tonumber(last) - tonumber(ARGV[2])
if epoch ~= ARGV[1] or missed < 1 or missed > tonumber(ARGV[3]) then return {epoch, last, {}} end
return {epoch, last, redis.call('XRANGE', KEYS[2], ARGV[2] .. '-2', '+')}
"""
)
CHANNEL = "toto:channel:"
"""What pub/sub channels begin with, before the number of the database: pub/sub does not separate them."""
COUNT, HISTORY, RESULT = "toto:count:", "toto:history:", "toto:published:"
"""What the keys of a channel begin with."""

ENDS = ("oldest", "newest")
"""What ``READ`` is asked for in place of an epoch, which never is one of these."""


class RedisStreams:
    """The channels of one process in Redis."""

    def __init__(
        self,
        target: RedisTarget,
        link: RedisLink,
        followed: FollowedChannels,
        receiver: Receiver,
    ) -> None:
        self._link = link
        self._prefix = target.prefix
        self._channel = channel_prefix(target)
        self._followed = followed
        self._publish = receiver.published
        self._tell = {b"+": receiver.joined, b"-": receiver.left}
        self._epochs = map(f"{secrets.token_urlsafe(9)}-{{:x}}".format, itertools.count())
        """New epochs, of which few are needed: a publication brings one, in case that it is the first."""

    async def follow(self, name: str) -> None:
        """As ``Streams.follow``. Raises one of ``ERRORS``, as all of these do."""
        await self._followed.add(self._channel + name)

    def unfollow(self, name: str) -> None:
        """As ``Streams.unfollow``."""
        self._followed.remove(self._channel + name)

    async def publish_to(self, name: str, payload: bytes, rules: Channel, key: str) -> Position | None:
        """As ``Streams.publish_to``."""
        channel = self._channel + name
        results = [f"{self._key(RESULT, name)}:{key}"] if key else []
        if not rules.history:
            if key:
                once = (channel, b"::" + payload, _ms(REPEAT_TTL))
                await PUBLISH_ONCE.run(self._link.call, 1, *results, *once)
            else:
                await self._link.call("PUBLISH", channel, b"::" + payload)
            return None
        keys = [self._key(COUNT, name), self._key(HISTORY, name), *results]
        lifetimes = (_ms(rules.ttl), _ms(rules.ttl + COUNT_TTL), _ms(REPEAT_TTL))
        arguments = (channel, payload, rules.history, *lifetimes, next(self._epochs))
        reply = await PUBLISH_KEPT.run(self._link.call_in_run, len(keys), *keys, *arguments)
        return _position(reply)

    async def read(self, name: str, rules: Channel, since: Position | None) -> Stretch:
        """As ``Streams.read``."""
        epoch, offset = ("", 0) if since is None else (since.epoch, since.offset)
        if epoch in ENDS:
            epoch = ""
        return complete(since, *await self._read(name, rules, epoch, offset))

    async def kept(self, name: str, rules: Channel, limit: int, *, newest: bool) -> Kept:
        """As ``Streams.kept``."""
        return Kept(*await self._read(name, rules, ENDS[newest], limit))

    async def _read(
        self, name: str, rules: Channel, *place: str | int
    ) -> tuple[Position, list[tuple[int, bytes]]]:
        keys = (2, self._key(COUNT, name), self._key(HISTORY, name))
        lifetimes = (_ms(rules.ttl + COUNT_TTL), _ms(NEW_TTL))
        command = (*keys, *place, rules.history, *lifetimes)
        try:
            reply = await READ.run(self._link.call_in_run, *command, next(self._epochs))
        except ConnectionError:  # maybe only this connection has ended
            # The first one may have begun its epoch in a run that has ended since: another must not begin it.
            reply = await READ.run(self._link.call_in_run, *command, next(self._epochs))
        epoch, last, found = reply
        entries = [(int(number.partition(b"-")[0]), payload) for number, (_, payload) in found]
        return Position(epoch.decode(), int(last)), entries

    def hear(self, channel: bytes, message: bytes) -> None:
        """Take a message of pub/sub: position and payload, or who has come or gone."""
        try:
            epoch, number, payload = message.split(b":", 2)
            if (tell := self._tell.get(epoch)) is not None:
                tell(self._name(channel), payload)
                return
            position = Position(epoch.decode(), int(number)) if epoch else None
        except ValueError:
            logger.error("dropped a publication that cannot be read: %.100r", message)
            return
        self._publish(self._name(channel), position, payload)

    def _name(self, channel: bytes) -> str:
        return channel.decode().removeprefix(self._channel)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}{{{name}}}"


def channel_prefix(target: RedisTarget) -> str:
    """What the names of pub/sub channels begin with."""
    return f"{target.prefix}{CHANNEL}{target.database}:"


def _position(reply: Any) -> Position:
    epoch, _, number = reply.decode().rpartition(":")
    return Position(epoch, int(number))


def _ms(seconds: float) -> int:
    return max(int(seconds * 1000), 1)
