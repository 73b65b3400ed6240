"""The clock of a process, which notices when it is set."""

from __future__ import annotations

import asyncio

from tests.support.limits import limits
from tests.support.service import eventually
from toto_aio import clock as clocks
from toto_aio.clock import STEP, Clock


class Machine:
    """The clocks of a machine: one can be set, the other not."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0
        self.looks = 0
        self.pause = 0.0

    def clock(self) -> Clock:
        """A process's view of them."""
        return Clock(self.look, lambda: self.steady)

    def look(self) -> float:
        """The time by the clock that can be set."""
        self.looks += 1
        self.steady += self.pause
        return self.wall

    def elapse(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds


def test_a_clock_that_is_set() -> None:
    """It is noticed at the next look, once; time that passes, and small corrections, are not."""
    machine = Machine()
    clock = machine.clock()
    assert (clock.now(), clock.was_set_forward(1e9), clock.set_back) == (1_000_000, False, 0)
    for correction in (0, STEP / 2, -STEP / 2, 0):
        machine.elapse(3600)
        machine.wall += correction
        assert not clock.was_set_forward(1e9)
    machine.wall += 3600
    assert clock.was_set_forward(60)
    assert clock.set_back == 0
    machine.elapse(59)
    assert clock.was_set_forward(60)
    machine.elapse(2)
    assert not clock.was_set_forward(60)
    machine.wall -= 3600
    returned = clock.now()
    machine.elapse(100)
    assert (clock.now(), clock.set_back) == (returned + 100, returned)


def test_a_process_that_was_paused() -> None:
    """Both clocks went on between two looks, or between the two halves of one."""
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.pause = STEP + 5
    assert clock.now() == 1_000_000
    machine.pause = 0.0
    machine.wall += STEP + 5
    clock.now()
    assert (clock.was_set_forward(1e9), clock.set_back) == (False, 0)


async def test_the_watch() -> None:
    """A clock that is set twice while nobody asks for the time is noticed."""
    machine = Machine()
    clock = machine.clock()
    with limits(clocks, WATCH_INTERVAL=0.001):
        watching = asyncio.create_task(clock.watch())
        for change in (0, 3600, -3600):
            machine.wall += change
            seen = machine.looks
            await eventually(lambda: machine.looks > seen)  # noqa: B023
        watching.cancel()
    assert clock.was_set_forward(1)
    assert clock.set_back == 1_000_000
