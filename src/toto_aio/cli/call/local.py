"""The service of this folder, which is called in process: nothing has to run, and nothing listens."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from toto_aio.cli.call.document import Described, Document
from toto_aio.cli.call.failures import FAILED, FailedError, refused
from toto_aio.cli.call.idempotency import key_of
from toto_aio.cli.call.line import ADDRESS, Options, UsageError
from toto_aio.cli.call.outcome import Bytes, Outcome, Redirected, Result
from toto_aio.cli.call.parameters import Parameters
from toto_aio.cli.call.values import kinds_of
from toto_aio.codecs import codecs_with
from toto_aio.codecs.json_codec import JSON
from toto_aio.contract.openapi import openapi
from toto_aio.dispatch.answers import RawAnswer, Redirect
from toto_aio.exceptions import InternalError, NotAuthorized, TotoException
from toto_aio.failures import describe_failure
from toto_aio.importer import import_from_here, load_encoders
from toto_aio.models import File
from toto_aio.registry import functions_of
from toto_aio.settings import SettingsError, read_settings
from toto_aio.settings.command_line import require_no_application
from toto_aio.settings.urls import root_path

DEFAULT_FILE = "toto.toml"


class Local:
    """The service whose options are in a file: ``toto.toml`` of this folder, if ``target`` is a dot."""

    def __init__(self, target: str, options: Options) -> None:
        if options.has("signing"):
            raise UsageError("--signing: a call in process is not signed")
        self._settings = read_settings({}, _file_of(target), os.environ)
        self._user = options.values.get("user")
        self._options = options
        self._timeout = options.timeout
        import_from_here()

    async def document(self) -> Document:
        """What the methods take. Nothing is opened for it."""
        with _of_the_author("the methods cannot be described"):
            functions = functions_of(self._settings)
            # As a client would get it: what the document has of the author's is plain data then.
            # So that it says what each method gives.
            settings = msgspec.structs.replace(self._settings, method_select="both")
            document = JSON.encode(openapi(functions, settings, root_path(settings)))
        return Document(msgspec.json.decode(document))

    async def call(self, method: str, parameters: Parameters, document: Document | None) -> Outcome:
        """What a call gives. Raises ``TotoException``, ``TimeoutError`` and ``FailedError``."""
        described = None if document is None else document.methods.get(method)
        is_typed = described is not None and any(each.takes_file for each in described.parameters)
        takes_form = parameters.files and not is_typed
        given = _as_form(parameters) if takes_form else _as_json(parameters, described, document)
        from toto_aio.in_process import open_service  # here, as help and completion open nothing

        key = key_of(self._options)
        codec = codecs_with(load_encoders(self._settings.encoders))[JSON.content_type]
        async with asyncio.timeout(self._timeout):
            with _of_the_author(f"{method} failed"):
                async with open_service(self._settings) as service:
                    try:
                        result = await service.call(method, given, user_id=self._user, idempotency_key=key)
                    except LookupError as exc:
                        if self._user is None or await service.accounts.get(self._user) is not None:
                            raise
                        raise UsageError(f"--user: there is no account {self._user!r}") from exc
                    except NotAuthorized as exc:
                        raise refused(
                            exc, "" if self._user else "write --user=NAME to call as a user"
                        ) from exc
                    if isinstance(result, RawAnswer):
                        return Bytes(result.body, result.content_type)
                    if isinstance(result, Redirect):
                        return Redirected(result.url, result.status)
                    return Result(msgspec.json.decode(codec.encode(result)))


def _file_of(target: str) -> str | None:
    """The file with the options of a service. Raises ``SettingsError`` and ``UsageError``."""
    if target == ".":
        return DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None
    require_no_application(target, "write a file that has the options of its service")
    if ADDRESS.match(target) and not Path(target).exists():
        raise UsageError(f"{target}: no such file; if this is the URL of a service, write http://{target}")
    return target


@contextmanager
def _of_the_author(doing: str) -> Iterator[None]:
    """Describe an exception of the author's code by its traceback."""
    try:
        yield
    except (TotoException, SettingsError, UsageError, FailedError, TimeoutError):
        raise
    except Exception as exc:
        error = {"code": InternalError.CODE, "value": f"{type(exc).__name__}: {exc}"}
        raise FailedError(FAILED, [describe_failure(exc, doing).rstrip("\n")], error) from exc


def _as_form(parameters: Parameters) -> dict[str, Any]:
    """What a classic method receives of a form with files."""
    arguments = {
        name: [str(each).lower() if isinstance(each, bool) else str(each) for each in _listed(value)]
        for name, value in parameters.values.items()
    }
    files = {
        name: [{"filename": each.name, "content_type": each.content_type, "body": each.data} for each in sent]
        for name, sent in parameters.files.items()
    }
    return {"arguments": arguments, "files": files}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _as_json(parameters: Parameters, method: Described | None, document: Document | None) -> dict[str, Any]:
    """The parameters of a typed method, with its files as JSON has them."""
    values = dict(parameters.values)
    for name, sent in parameters.files.items():
        known = None if method is None else method.parameter(name)
        kinds = [] if known is None or document is None else kinds_of(known.schema, document)
        lists = [each for each in kinds if each.get("type") == "array"]
        items = kinds_of(lists[0].get("items"), document) if lists and document is not None else kinds
        is_text = any(each.get("type") == "string" for each in items)
        written = [_base64(each) if is_text else _file(each) for each in sent]
        values[name] = written if lists or len(written) > 1 else written[0]
    return values


def _base64(file: File) -> str:
    return base64.b64encode(file.data).decode()


def _file(file: File) -> dict[str, str]:
    return {"name": file.name, "content_type": file.content_type, "data": _base64(file)}
