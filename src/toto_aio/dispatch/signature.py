"""What a typed method takes and gives: all that is derived from methods is read here."""

from __future__ import annotations

import inspect
from typing import Any

from msgspec import NODEFAULT, Struct

NOTHING = inspect.Signature.empty
"""The ``returns`` of a method that does not say what it gives."""


class Parameter(Struct, frozen=True):
    """A parameter of a typed method.

    ``name`` is what clients write, ``attribute`` its name in Python (``class_`` for ``class``). ``type`` is
    resolved, with its ``Annotated``. ``default`` is ``msgspec.NODEFAULT`` if it is required.
    """

    name: str
    attribute: str
    type: Any
    default: Any = NODEFAULT
    description: str = ""
    takes_file: bool = False
    """Whether a file of a form may be its value: ``File``, ``bytes``, or a list of them."""
    by_keyword: bool = False
    """Whether Python passes it by keyword only."""

    @property
    def required(self) -> bool:
        """Whether every call needs it."""
        return self.default is NODEFAULT


class Signature(Struct, frozen=True):
    """What a typed method takes and gives.

    ``parameters`` are in the order of the function, or of the fields of its ``model``: of
    ``invoke(handler, parameters: Note)``, which takes all of them as one ``Note``. ``returns`` is the return
    annotation, resolved, or ``NOTHING``.
    """

    parameters: tuple[Parameter, ...]
    returns: Any = NOTHING
    model: Any = None
    takes_handler: bool = True
