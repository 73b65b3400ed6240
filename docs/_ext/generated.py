"""What is made from the code when the site is built, so that it stands in one place.

A page says where: ``<!-- options -->`` becomes the tables of all options.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from toto_aio.settings import Option, describe_options
from toto_aio.settings.declaration import RENAMED

DOCS = Path(__file__).parent.parent


def setup(app: Any) -> dict[str, bool]:
    """Let Sphinx fill each page that it reads, and read those anew of which a part is made."""
    app.connect("source-read", lambda app, name, source: source.insert(0, fill(source.pop())))
    app.connect(
        "env-get-outdated", lambda app, env, *changes: [name for name in env.found_docs if is_made(name)]
    )
    app.connect("autodoc-process-docstring", lambda app, what, name, thing, options, lines: show_code(lines))
    return {"parallel_read_safe": True}


def fill(page: str) -> str:
    """A page with what is made for it."""
    for name, lines in MADE.items():
        marker = f"<!-- {name} -->"
        if marker in page:
            page = page.replace(marker, "\n".join(lines()))
    return page


def is_made(name: str) -> bool:
    """Whether a part of a page is made."""
    page = (DOCS / f"{name}.md").read_text()
    return any(f"<!-- {made} -->" in page for made in MADE)


def show_code(lines: list[str]) -> None:
    """Let what is indented in a docstring, without a word about it, be code."""
    for number in range(len(lines) - 1, 1, -1):
        before = next((line for line in reversed(lines[:number]) if line), "")
        if lines[number].startswith("    ") and not lines[number - 1] and not before.startswith(" "):
            lines[number:number] = ["::", ""]


def options() -> Iterator[str]:
    """A heading and a table for each group, in the order in which the options are declared."""
    described = list(describe_options())
    for group in dict.fromkeys(option.group for option in described):
        yield from (f"## {group}", "", "| option | value | default | what it is |", "| --- " * 4 + "|")
        yield from (row(option) for option in described if option.group == group)
        yield ""


def row(option: Option) -> str:
    """What is declared of an option."""
    shown = "" if option.default in (None, "", []) else f"`{as_text(option.default)}`"
    cells = (f"`{option.name}`", f"`{option.metavar}`", shown, option.description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def as_text(default: Any) -> str:
    """A default as it is written on a command line."""
    return str(default).lower() if isinstance(default, bool) else f"{default}".removesuffix(".0")


def renamed() -> Iterator[str]:
    """What to write in place of the options of Toto's that have another name."""
    yield from ("| option of Toto's | now |", "| --- | --- |")
    for advice, names in groupby(RENAMED, RENAMED.__getitem__):
        yield f"| {', '.join(f'`{name}`' for name in names)} | {advice} |"


def other_pages() -> Iterator[str]:
    """The pages that the index does not name, so that each is in its table of contents."""
    named = set((DOCS / "index.md").read_text().splitlines())
    return (page.stem for page in sorted(DOCS.glob("*.md")) if page.stem not in {*named, "index"})


MADE = {"options": options, "renamed options": renamed, "other pages": other_pages}
