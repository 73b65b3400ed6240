"""The format of accounts and sessions in Redis, and the scripts that change them.

A script touches one key, so that it can run in a cluster. Numbers that it writes into a session's header are
passed as bytes, and numbers that it compares as text.
"""

from __future__ import annotations

import struct

import msgspec

from toto_aio.codecs import encode_json
from toto_aio.codecs.json_codec import read_json
from toto_aio.models import Account, Session
from toto_aio.redis_script import Script

ACCOUNT, SESSION, INDEX, COUNTER = "toto:account:", "toto:session:", "toto:sessions:", "toto:counter:"
ACCOUNTS = "toto:accounts"
HEAD = 4096
"""Bytes that have everything of a session except its state: the service limits each of its fields."""

REPLACE = Script("""-- an account: the expected value, the new value
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
""")
SAVE = Script("""-- a session: its version, the next version, the state, now
local value = redis.call('GET', KEYS[1])
if not value or value:sub(1, 8) ~= ARGV[1] then return 0 end
if struct.unpack('>d', value, 9) <= tonumber(ARGV[4]) then return 0 end
local start = 36 + struct.unpack('>I4', value, 33)
redis.call('SET', KEYS[1], ARGV[2] .. value:sub(9, start) .. ARGV[3], 'KEEPTTL')
return 1
""")
TOUCH = Script("""-- a session: now, expires and seen as in its header, the TTL (ms)
local expires = redis.call('GETRANGE', KEYS[1], 8, 15)
if expires == '' or struct.unpack('>d', expires) <= tonumber(ARGV[1]) then return 0 end
redis.call('SETRANGE', KEYS[1], 8, ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")
REMOVE = Script("""-- a session
local value = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return value
""")
ADD_TO_INDEX = Script("""-- an index: the key of a session, when it expires, the index's TTL (ms), now
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known or tonumber(known) < tonumber(ARGV[2]) then redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
""")
INCREMENT = Script("""-- a counter: the increment, the TTL (ms)
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
if count + tonumber(ARGV[1]) < 0 then return count end
count = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return count
""")


def pack_account(account: Account) -> bytes:
    """Encode an account as a JSON array of its version, its password hash and its custom fields."""
    return encode_json([account.version, account.password, account.values])


def unpack_account(user_id: str, value: bytes) -> Account:
    """Decode an account."""
    version, password, values = read_json(value)
    return Account(user_id, password, values, version)


def pack_session(session: Session) -> bytes:
    """Encode a session: a header of fixed length, the fields that never change as MessagePack, the state."""
    fixed = msgspec.msgpack.encode((session.user_id, session.signing_key, session.address, session.agent))
    times = session.expires, session.seen, session.created
    return b"".join((_HEADER.pack(session.version, *times, len(fixed)), fixed, session.state))


def unpack_session(key: str, value: bytes, *, with_state: bool = True) -> Session:
    """Decode a session, or the ``HEAD`` of one without its state."""
    version, expires, seen, created, length = _HEADER.unpack_from(value)
    start = _HEADER.size + length
    user_id, signing_key, address, agent = _fixed.decode(value[_HEADER.size : start])
    state = value[start:] if with_state else b""
    return Session(key, user_id, created, expires, state, version, signing_key, seen, address, agent)


def pack_version(version: int) -> bytes:
    """Encode a version as in the header of a session."""
    return struct.pack(">Q", version)


def pack_times(expires: float, seen: float) -> bytes:
    """Encode the two times as in the header of a session."""
    return struct.pack(">dd", expires, seen)


_HEADER = struct.Struct(">QdddI")
_fixed = msgspec.msgpack.Decoder(tuple[str, bytes, str, str])
