"""``toto-aio call``: reads the command line, calls, and shows what the call gives."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Protocol

from toto_aio.cli.call.document import Described, Document
from toto_aio.cli.call.failures import NOT_FOUND, FailedError, failures_shown, refused
from toto_aio.cli.call.help import command_help, method_help, method_list
from toto_aio.cli.call.idempotency import require_idempotent
from toto_aio.cli.call.line import (
    Given,
    Line,
    Options,
    UsageError,
    of_the_service,
    option_of,
    read_head,
    read_rest,
)
from toto_aio.cli.call.outcome import Outcome, show
from toto_aio.cli.call.parameters import Parameters, read_parameters
from toto_aio.cli.call.progress import progress
from toto_aio.cli.call.values import is_boolean
from toto_aio.exceptions import InvalidParameters, MethodNotFound
from toto_aio.settings.options import OPTIONS

NO_DOCUMENT = "the service has no openapi.json for you, which would say what its methods take"
NOTHING = Document(None)


class Target(Protocol):
    """A service that can be called."""

    async def document(self) -> Document | None:
        """What its methods take; None if nobody knows."""

    async def call(self, method: str, parameters: Parameters, document: Document | None) -> Outcome:
        """What a call gives."""


def call(arguments: Sequence[str]) -> None:
    """Run the command, and end the program with the status of its failure, if it fails."""
    with failures_shown(as_json="--json" in arguments):
        line = read_head(arguments)
        if line.target is None:
            if not line.options.has("help"):
                raise UsageError("write what to call: toto-aio call SERVICE METHOD, or toto-aio call --help")
            sys.stdout.write(command_help())
            return
        asyncio.run(_run(line, line.target))


async def _run(line: Line, name: str) -> None:
    early = read_rest(line, lenient=True).options
    target = target_of(name, early)
    async with progress():
        document = await target.document()
    if line.method is None:
        if document is None:
            raise UsageError(f"{NO_DOCUMENT}: write the method that you want to call")
        print(method_list(document, as_json=early.has("json")))
        return
    method = None if document is None else document.methods.get(line.method)
    given = _given(line, method, document or NOTHING)
    if given.options.has("help"):
        _show_help(name, line.method, method, document, given.options)
        return
    require_idempotent(method, given.options)
    target = target_of(name, given.options)
    parameters = read_parameters(given, method, document or NOTHING)
    size = sum(len(each.data) for files in parameters.files.values() for each in files)
    async with progress(size):
        try:
            outcome = await target.call(line.method, parameters, document)
        except MethodNotFound as exc:
            raise refused(exc, _near(name, line.method, document), *_misplaced(name, given, method)) from exc
        except InvalidParameters as exc:
            raise refused(exc, *_misplaced(name, given, method)) from exc
    show(outcome, as_json=given.options.has("json"))


def target_of(name: str, options: Options) -> Target:
    """The service of that name: a URL, a dot, or a file. Raises ``UsageError`` and ``SettingsError``."""
    if "://" in name:
        from toto_aio.cli.call.remote import Remote

        return Remote(name, options)
    from toto_aio.cli.call.local import Local

    return Local(name, options)


def _given(line: Line, method: Described | None, document: Document) -> Given:
    parameters = () if method is None else method.parameters
    names = {each.name for each in parameters}
    booleans = {each.name for each in parameters if is_boolean(each.schema, document)}
    return read_rest(line, names, booleans)


def _show_help(
    target: str, name: str, method: Described | None, document: Document | None, options: Options
) -> None:
    if document is None:
        raise UsageError(NO_DOCUMENT)
    if method is None:
        lines = [f"there is no method {name!r}", *filter(None, [_near(target, name, document)])]
        raise FailedError(NOT_FOUND, lines, {"code": MethodNotFound.CODE, "value": lines[0]})
    text = method_help(target, method, document, as_json=options.has("json"))
    print(text.rstrip("\n"))


def _near(target: str, name: str, document: Document | None) -> str:
    """The method that was probably meant, or how to see all."""
    if document is None:
        return ""
    near = get_close_matches(name, sorted(document.methods), 1)
    return f"did you mean {near[0]}?" if near else f"list the methods: toto-aio call {target}"


def _misplaced(target: str, given: Given, method: Described | None) -> Iterator[str]:
    """What to write instead of options of a service in this process, which were taken for parameters."""
    for name in given.parameters if "://" not in target else ():
        if name in OPTIONS and (method is None or method.parameter(name) is None):
            yield f"{option_of(name)} was taken for a parameter; {of_the_service(name)}"
