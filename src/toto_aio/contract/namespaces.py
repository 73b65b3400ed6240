"""The names of methods as a tree: ``notes.add`` is ``add`` in ``notes``."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from toto_aio.contract.interface import Operation


class Namespace(Struct):
    """A package of methods, a method, or both: ``notes`` is both if there is a method ``notes.add`` too."""

    method: Operation | None = None
    below: dict[str, Namespace] = field(default_factory=dict)


def namespace_of(methods: Iterable[Operation]) -> Namespace:
    """The tree of these methods."""
    root = Namespace()
    for method in methods:
        at = root
        for part in method.name.split("."):
            at = at.below.setdefault(part, Namespace())
        at.method = method
    return root
