"""``toto-aio contract`` writes what clients rely on, and ``toto-aio check --contract`` compares it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from toto_aio.codecs.json_codec import JSON
from toto_aio.contract.compare import Change, changes
from toto_aio.contract.file import read_contract, write_contract
from toto_aio.contract.interface import Interface, read_interface
from toto_aio.contract.openapi import openapi
from toto_aio.registry import find_functions
from toto_aio.settings import Settings, SettingsError
from toto_aio.settings.urls import root_path


def describe(settings: Settings) -> str:
    """The contract of the service, for version control.

    Raises ``SettingsError``, or what the import of a module raises.
    """
    return write_contract(_interface(settings))


def compare(settings: Settings, file: str) -> list[Change]:
    """What has changed since a file was written. Raises the same."""
    try:
        old = read_contract(Path(file).read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError(f"{file}: {exc.strerror}: write it with toto-aio contract -o {file}") from exc
    except ValueError as exc:
        raise SettingsError(f"{file}: not a contract: {exc}") from exc
    # As it would be read from the file, so that nothing but the contract counts.
    return changes(old, read_contract(describe(settings)))


def report(found: list[Change]) -> str:
    """The changes as text."""
    if not found:
        return "Nothing has changed for clients."
    broken = sum(change.breaks for change in found)
    total = f"{broken} of {len(found)} changes break old clients" if broken else "Nothing breaks old clients"
    return "\n".join([*map(str, found), f"{total}."])


def _interface(settings: Settings) -> Interface:
    settings = msgspec.structs.replace(settings, method_select="both")  # which says what each method gives
    functions = find_functions(settings.method_module, settings.method_timeout)
    return read_interface(msgspec.json.decode(JSON.encode(openapi(functions, settings, root_path(settings)))))
