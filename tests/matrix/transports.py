"""What a way in to a service is: each makes the same calls, and says what it can't carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.matrix.cases import Case, Own
from tests.matrix.forms import Form

Message = dict[str, Any]
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a call: a ``result``, an ``error`` or ``own`` bytes.

    ``status``, ``wait``, the seconds of ``Retry-After``, and ``deprecated``, whether a header says so, are
    None where a transport has none.
    """

    result: Any = None
    error: Message | None = None
    own: Own | None = None
    status: int | None = None
    wait: int | None = None
    deprecated: bool | None = None


class Transport(Protocol):
    """A way in, of one codec.

    ``alone``: each call has a response of its own, for bytes of a method's own. ``seen`` is what a classic
    method is given for parameters.
    """

    name: str
    form: Form
    alone: bool

    def carries(self, case: Case) -> bool:
        """Whether the transport can say what the call is."""
        ...

    def seen(self, parameters: Parameters) -> Any:
        """What a classic method is given."""
        ...

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        """The outcomes of calls, all of them by someone who shows this session."""
        ...


class Row:
    """What most transports have in common: objects with names, and one call after the other."""

    alone = True
    lacks: frozenset[str] = frozenset()

    def __init__(self, name: str, form: Form) -> None:
        self.name = f"{name}, {form.name}"
        self.form = form

    def carries(self, case: Case) -> bool:
        return not case.needs & self.lacks

    def seen(self, parameters: Parameters) -> Any:
        return dict(parameters)

    async def send(self, calls: Sequence[tuple[str, Parameters]], session: str | None) -> list[Outcome]:
        return [await self.call(method, self.form.write(parameters), session) for method, parameters in calls]

    async def call(self, method: str, parameters: Any, session: str | None) -> Outcome:
        raise NotImplementedError
