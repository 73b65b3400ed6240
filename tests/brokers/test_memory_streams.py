"""How much of channels the memory of a process keeps."""

from __future__ import annotations

from tests.support.limits import limits
from toto_aio.brokers import memory_streams
from toto_aio.brokers.memory_streams import MemoryStreams
from toto_aio.channels import Channel, Position

RULES = Channel("room:{room}", history=10)


async def test_what_is_forgotten() -> None:
    """Of too many channels the silent ones are forgotten; names that clients make up push out none."""
    streams = MemoryStreams(lambda name, position, payload: None)
    with limits(memory_streams, MAX_CHANNELS=3):
        kept = [streams.publish_to(f"room:{n}", b"x", RULES, "") for n in range(3)]
        made_up = [streams.read(f"room:new{n}", RULES, None).position for n in range(9)]
        assert [streams.read(f"room:{n}", RULES, kept[n]).payloads for n in (1, 2, 0)] == [[], [], []]
        found = [streams.read(f"room:new{n}", RULES, made_up[n]).payloads for n in (6, 7, 8)]
        assert found == [[], [], []]
        assert streams.read("room:new0", RULES, made_up[0]).payloads is None
        streams.publish_to("room:new8", b"x", RULES, "")
        assert streams.read("room:new8", RULES, made_up[8]).payloads == [b"x"]
        assert streams.read("room:1", RULES, kept[1]).payloads is None
        assert streams.read("room:0", RULES, Position(kept[0].epoch, 0)).payloads == [b"x"]  # type: ignore[union-attr]
