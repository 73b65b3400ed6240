"""A pair of functions between bytes and plain data, for one content type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

Steps = Generator[None, None, Any]
"""The decoding of a body, in steps of some milliseconds each; it returns the value."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Decodes and encodes one content type.

    ``decode`` raises ``InvalidParameters`` (status 400) for anything except one complete, valid value within
    the limits of ``toto_aio.codecs.limits``; ``steps`` does the same in steps. ``encode`` accepts what a
    method may return: plain data, dataclasses, dates, UUIDs, sets, rows of a database, generators and more.
    It raises ``EncodingError``, which names the place of what it cannot encode. ``encode_again`` reads no
    generator, for values that are encoded more than once, and ``plain`` makes plain data of a value. ``read``
    decodes what ``encode`` has written, without limits.
    """

    content_type: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    steps: Callable[[bytes], Steps]
    encode_again: Callable[[Any], bytes]
    plain: Callable[[Any], Any]
    read: Callable[[bytes], Any]
    binary: bool = False
    """Whether it has bytes of its own; in JSON they are text, in base64."""


def run(steps: Steps) -> Any:
    """The value of all steps, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class LargeBodies:
    """Decodes the large bodies of an app, one after the other, one step in each turn of the loop.

    However many clients send such bodies at the same time, the others wait for one step.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, steps: Steps) -> Any:
        """The value of all steps. Raises what they raise."""
        async with self._turn:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    value = end.value
                    break
                await asyncio.sleep(0)
        await asyncio.sleep(0)  # what the value is for is a step too
        return value
