"""``toto-aio new``: a project that runs immediately, made from the files in ``templates``.

A template consists of plain files, added to those of ``templates/common``. The placeholders of
``_placeholders`` are replaced in their text and names; they are identifiers, so a template is valid Python. A
line that begins with ``WITH_PROCESSES`` is only for projects that are served by ``toto-aio serve``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toto_aio.cli.origin import requirement
from toto_aio.settings import SettingsError

FOLDER = Path(__file__).with_name("templates")
COMMON = "common"
"""The folder of the files that all projects have."""
NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
NAME_LIMIT = 31
"""Maximum characters of a name: systemd runs the service as a Linux user of that name."""
WITH_PROCESSES = "with_processes "
RESERVED = {"root", "toto-aio", "toto_aio"}
"""Names that mean something else to systemd or pip."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template: description, first page to open, extras, and commands that serve it."""

    description: str
    page: str
    extras: str = "redis"
    serve: str = "toto-aio serve toto.toml"
    develop: str = "toto-aio serve toto.toml --autoreload"
    """The command during development."""

    @property
    def has_processes(self) -> bool:
        """Whether several processes may serve it, with events that travel through Redis."""
        return self.serve.startswith("toto-aio serve")


TEMPLATES = {
    "simple": Template("methods, accounts, and a counter in the session", "/service/hello?name=Ada"),
    "chat": Template("a page with rooms, which keep what was said and know who is there", "/service/page"),
    "embedded": Template(
        "an aiohttp application that embeds the service",
        "/",
        "",
        serve="python service.py",
        develop="python service.py",
    ),
}


def make_project(name: str, template: str = "simple") -> str:
    """Create the project in a new folder ``name``; returns what to type next. Raises ``SettingsError``."""
    if template not in TEMPLATES:
        raise SettingsError(f"--template: write one of {', '.join(TEMPLATES)}, not {template!r}")
    if not NAME.fullmatch(name) or len(name) > NAME_LIMIT or name in RESERVED:
        raise SettingsError(
            f"{name}: write another name of at most {NAME_LIMIT} lower-case letters, digits and hyphens, "
            "such as my-notes"
        )
    folder = Path(name)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise SettingsError(f"{name}: the folder is not empty: write another name, or remove the folder")
        _write(folder, template, _placeholders(name, TEMPLATES[template]))
    except OSError as exc:
        raise SettingsError(f"{exc.filename or name}: {exc.strerror}") from exc
    return (
        f"Created {name} from the template {template}. Next:\n\n"
        f"    cd {name}\n"
        f"    make run     # then open http://127.0.0.1:8888{TEMPLATES[template].page}\n"
        "    make test"
    )


def _placeholders(name: str, template: Template) -> dict[str, str]:
    """The placeholders in the text and names of the files, and what replaces them."""
    return {
        "project_name": name,
        "serve_command": template.serve,
        "develop_command": template.develop,
        "toto_aio_requirement": requirement(template.extras),
        "toto_aio_for_tests": requirement("autoreload,testing"),
    }


def _write(folder: Path, template: str, values: dict[str, str]) -> None:
    placeholder = re.compile("|".join(values))
    for part in (COMMON, template):
        for source in _files(FOLDER / part):
            name = str(source.relative_to(FOLDER / part))
            path = folder / placeholder.sub(lambda match: values[match[0]], name)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(_lines(source, TEMPLATES[template].has_processes))
            path.write_text(placeholder.sub(lambda match: values[match[0]], text), encoding="utf-8")


def _lines(source: Path, has_processes: bool) -> Iterator[str]:
    for line in source.read_text(encoding="utf-8").splitlines(keepends=True):
        if has_processes or not line.startswith(WITH_PROCESSES):
            yield line.removeprefix(WITH_PROCESSES)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a template, without the bytecode that pip compiles when it installs them."""
    return (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
