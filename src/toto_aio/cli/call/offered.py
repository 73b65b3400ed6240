"""What a shell offers behind ``toto-aio call``: services, methods, their parameters, and values of these."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from toto_aio.cli.call.command import target_of
from toto_aio.cli.call.document import Described, Document, Parameter
from toto_aio.cli.call.kept import known_urls
from toto_aio.cli.call.line import MAY_BE_BARE, OWN, Options, option_of, parameter_name, read_head, read_rest
from toto_aio.cli.call.values import choices, is_boolean

PATIENCE = "3"
"""Seconds that a service may take to say what its methods take."""


async def offered(before: Sequence[str], word: str) -> Iterable[str]:
    """What may follow in ``toto-aio call``. Raises whatever keeps a service from saying it."""
    line = read_head(before)
    own = [
        f"--{name}=" if value and name not in MAY_BE_BARE else f"--{name}" for name, (value, _) in OWN.items()
    ]
    if line.method is None and word.startswith("-"):
        return own
    if line.target is None:
        return [".", *known_urls()]
    given = read_rest(line, lenient=True)
    options = Options({"timeout": PATIENCE, **given.options.values})
    document = await target_of(line.target, options).document()
    if document is None:
        return own
    if line.method is None:
        return document.methods
    method = document.methods.get(line.method)
    if method is None:
        return own
    name, equals, _ = word.partition("=")
    parameter = method.parameter(parameter_name(name.lstrip("-"), {each.name for each in method.parameters}))
    if equals and parameter is not None:
        return _values(name, word, parameter, document)
    return [*_options(method, document, given.parameters), *own]


def _options(method: Described, document: Document, written: Iterable[str]) -> list[str]:
    """The options of the parameters that are not written yet."""
    left = [each for each in method.parameters if each.name not in set(written)]
    return [option_of(each.name) + ("" if is_boolean(each.schema, document) else "=") for each in left]


def _values(option: str, word: str, parameter: Parameter, document: Document) -> list[str]:
    """The values of a parameter, if there are few; of a file, the paths."""
    text = word.removeprefix(f"{option}=")
    if parameter.takes_file and text.startswith("@"):
        return [f"{option}=@{path}" for path in _paths(text[1:])]
    done, comma, _ = text.rpartition(",")
    return [f"{option}={done}{comma}{each}" for each in choices(parameter.schema, document)]


def _paths(begun: str) -> list[str]:
    folder, _, _ = begun.rpartition("/")
    prefix = f"{folder}/" if "/" in begun else ""
    with os.scandir(Path(prefix or ".").expanduser()) as entries:
        return [f"{prefix}{each.name}{'/' if each.is_dir() else ''}" for each in entries]
