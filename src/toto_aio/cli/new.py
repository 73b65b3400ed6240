"""``toto-aio new``: a project that runs at once, made of the files below ``templates``.

A template is plain files, over those of ``templates/common``. In their text and their names the words of
``_words`` stand for what is the project's own; they are identifiers, so that a template is valid Python. A
line that begins with ``WITH_PROCESSES`` is for projects that ``toto-aio serve`` serves.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toto_aio.settings import SettingsError

FOLDER = Path(__file__).with_name("templates")
COMMON = "common"
"""The folder of what all projects have."""
NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
NAME_LIMIT = 31
"""Characters of a name: it becomes that of a Linux user, under whom systemd runs the service."""
WITH_PROCESSES = "with_processes "
TAKEN = {"root", "toto-aio", "toto_aio"}
"""Names that are somebody else's to systemd or pip."""


@dataclass(frozen=True, slots=True)
class Template:
    """What the files of a template do not say: its description, where to look first, and what serves it."""

    description: str
    page: str
    requirement: str = "toto-aio[redis]"
    serve: str = "toto-aio serve toto.toml"
    work: str = "toto-aio serve toto.toml --autoreload"
    """The same for who works on it."""

    @property
    def has_processes(self) -> bool:
        """Whether it may be served by several, whose events travel through Redis."""
        return self.serve.startswith("toto-aio serve")


TEMPLATES = {
    "simple": Template("methods, accounts, a counter in the session", "/service/hello?name=Ada"),
    "chat": Template("a page that talks by WebSocket and long polling", "/service/page"),
    "embedded": Template(
        "an aiohttp application with the service in it",
        "/",
        "toto-aio",
        serve="python service.py",
        work="python service.py",
    ),
}


def make_project(name: str, template: str = "simple") -> str:
    """Make the project in a new folder ``name``; says what to type next. Raises ``SettingsError``."""
    if template not in TEMPLATES:
        raise SettingsError(f"--template: write one of {', '.join(TEMPLATES)}, not {template!r}")
    if not NAME.fullmatch(name) or len(name) > NAME_LIMIT or name in TAKEN:
        raise SettingsError(
            f"{name}: write another name, at most {NAME_LIMIT} small letters, digits and hyphens, as my-notes"
        )
    folder = Path(name)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise SettingsError(f"{name}: the folder is not empty: write another name, or remove it")
        _write(folder, template, _words(name, TEMPLATES[template]))
    except OSError as exc:
        raise SettingsError(f"{exc.filename or name}: {exc.strerror}") from exc
    return (
        f"Made {name} from the template {template}. Next:\n\n"
        f"    cd {name}\n"
        f"    make run     # then see http://127.0.0.1:8888{TEMPLATES[template].page}\n"
        "    make test"
    )


def _words(name: str, template: Template) -> dict[str, str]:
    """What stands for what, in the text and the names of the files."""
    version = importlib.metadata.version("toto-aio").partition("+")[0]
    return {
        "project_name": name,
        "serve_command": template.serve,
        "work_command": template.work,
        "toto_aio_requirement": f"{template.requirement}>={version}",
    }


def _write(folder: Path, template: str, words: dict[str, str]) -> None:
    wanted = re.compile("|".join(words))
    for part in (COMMON, template):
        for source in _files(FOLDER / part):
            name = str(source.relative_to(FOLDER / part))
            path = folder / wanted.sub(lambda found: words[found[0]], name)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(_lines(source, TEMPLATES[template].has_processes))
            path.write_text(wanted.sub(lambda found: words[found[0]], text), encoding="utf-8")


def _lines(source: Path, has_processes: bool) -> Iterator[str]:
    for line in source.read_text(encoding="utf-8").splitlines(keepends=True):
        if has_processes or not line.startswith(WITH_PROCESSES):
            yield line.removeprefix(WITH_PROCESSES)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a template; pip compiles those of Python where it installs them."""
    return (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
