"""A Sphinx extension that generates parts of pages from the code, so that nothing is written twice.

A page marks the place: ``<!-- options -->`` is replaced by the tables of all options. What stands before
``<!-- /options -->`` is committed too, for those who read the page in the repository: ``make docs`` writes it
anew, by running this module, and a test compares it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from toto_aio.settings import Option, describe_options
from toto_aio.settings.old_options import RENAMED, VALUES

DOCS = Path(__file__).parent.parent


def setup(app: Any) -> dict[str, bool]:
    """Fill in each page when Sphinx reads it, and have Sphinx reread the pages with generated parts."""
    app.connect("source-read", lambda app, name, source: source.insert(0, fill(source.pop())))
    app.connect(
        "env-get-outdated", lambda app, env, *changes: [name for name in env.found_docs if is_made(name)]
    )
    app.connect("autodoc-process-docstring", lambda app, what, name, thing, options, lines: show_code(lines))
    return {"parallel_read_safe": True}


def fill(page: str) -> str:
    """A page with its generated parts."""
    for name, lines in MADE.items():
        if f"<!-- {name} -->" in page:
            made = "\n".join(lines())
            page = re.sub(rf"<!-- {name} -->(.*?<!-- /{name} -->)?", lambda _: made, page, flags=re.DOTALL)  # noqa: B023
    return page


def committed(page: str) -> str:
    """A page with the parts that are committed, as the code is now."""
    for name, lines in MADE.items():
        opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
        if closing in page:
            made = "\n".join([opening, "", *lines(), "", closing]).replace("\n\n\n", "\n\n")
            page = re.sub(f"{opening}.*?{closing}", lambda _: made, page, flags=re.DOTALL)  # noqa: B023
    return page


def is_made(name: str) -> bool:
    """Whether a page has generated parts."""
    page = (DOCS / f"{name}.md").read_text()
    return any(f"<!-- {made} -->" in page for made in MADE)


def show_code(lines: list[str]) -> None:
    """Mark indented paragraphs of a docstring as code, as nothing else in it does."""
    for number in range(len(lines) - 1, 1, -1):
        before = next((line for line in reversed(lines[:number]) if line), "")
        if lines[number].startswith("    ") and not lines[number - 1] and not before.startswith(" "):
            lines[number:number] = ["::", ""]


def options() -> Iterator[str]:
    """A heading and a table for each group, in the order in which the options are declared."""
    described = list(describe_options())
    for group in dict.fromkeys(option.group for option in described):
        yield from (f"## {group}", "", "| option | value | default | description |", "| --- " * 4 + "|")
        yield from (row(option) for option in described if option.group == group)
        yield ""


def row(option: Option) -> str:
    """The row of an option in its table."""
    shown = "" if option.default in (None, "", [], {}) else f"`{as_text(option.default)}`"
    cells = (f"`{option.name}`", f"`{option.metavar}`", shown, option.description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def as_text(default: Any) -> str:
    """A default in the form that a command line takes."""
    return str(default).lower() if isinstance(default, bool) else f"{default}".removesuffix(".0")


def renamed() -> Iterator[str]:
    """A table of the options of Toto that have another name now."""
    yield from ("| option in Toto | now |", "| --- | --- |")
    for advice, names in groupby(RENAMED, RENAMED.__getitem__):
        yield f"| {', '.join(f'`{name}`' for name in names)} | {advice} |"
    for name, values in VALUES.items():
        for value, now in ((value, now) for value, now in values.items() if now):
            yield f"| `{name}={as_text(value)}` | {now if isinstance(now, str) else as_taken(now)} |"


def as_taken(options: Mapping[str, Any]) -> str:
    """The options that are taken for one of Toto's."""
    return ", ".join(f"taken as `{name}={as_text(value)}`" for name, value in options.items())


def other_pages() -> Iterator[str]:
    """The pages that the index does not list, so that every page is in the table of contents."""
    named = set((DOCS / "index.md").read_text().splitlines())
    return (page.stem for page in sorted(DOCS.glob("*.md")) if page.stem not in {*named, "index"})


MADE = {"options": options, "renamed options": renamed, "other pages": other_pages}

if __name__ == "__main__":
    for each in DOCS.glob("*.md"):
        before = each.read_text()
        if (after := committed(before)) != before:
            each.write_text(after)
