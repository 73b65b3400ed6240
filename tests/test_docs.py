"""The site builds without a warning, and the code blocks of its pages run; see tests/support/pages.py."""

from __future__ import annotations

import base64
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import toto_aio
from tests.conftest import MOULD, server_module
from tests.support import ROOT
from tests.support.pages import NAME, Block, Reader, blocks
from toto_aio import exceptions
from toto_aio.settings import SettingsError, describe_options
from toto_aio.signing import SCHEMES, SignedRequest, Signer, hmac_sha256, request_message

if TYPE_CHECKING:
    from tests.support.browser import Browser

pytest_plugins = ["tests.support.browser"]

DOCS = ROOT / "docs"
PROTOCOL = DOCS / "protocol.md"
ELSEWHERE = {
    "deploy.md": "tests/server/test_deploy.py",
    "processes.md": "tests/monitoring/test_multiprocess.py",
}
"""Pages whose commands another test runs, if it exists: here only their Python and options are read."""

COLD = ("check.md",)
"""Pages that start new interpreters, so that what others fork is seen to start; see tests/support/warm.py."""
PAGES = [
    pytest.param(page, id=page.name, marks=[pytest.mark.cold] if page.name in COLD else [])
    for page in sorted(DOCS.glob("*.md"))
]


@pytest.fixture
def reader(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Reader]:
    """Someone who follows a page."""
    redis = lambda: str(server_module("redis").fresh_url(request.getfixturevalue("servers")("redis")))  # noqa: E731
    reader = Reader(tmp_path, redis, MOULD.commands if MOULD.is_enabled else None)
    yield reader
    reader.close()


@pytest.mark.timeout(900)  # some pages start twenty programs
@pytest.mark.parametrize("page", PAGES)
def test_a_page(reader: Reader, page: Path) -> None:
    """Anyone who follows a page gets the results that it shows."""
    is_elsewhere = (ROOT / ELSEWHERE.get(page.name, "none")).exists()
    for block in blocks(page):
        if is_elsewhere and block.language not in ("python", "toml"):
            continue
        try:
            reader.follow(block)
        except Exception as exc:
            exc.add_note(f"{block.place}:\n{block.code}")
            raise
    if reader.has_unserved_methods():
        reader.serve_files()


@pytest.mark.parametrize(
    "written",
    [
        [Block("ruby", "puts 1")],
        [Block("json", "{}")],
        [Block("python", "from toto_aio import Nothing")],
        [Block("python", "return 1 +")],
        [Block("toml", "sesion_ttl = 60")],
        [Block("sh", "false")],
        [Block("sh", "echo 1"), Block("json", "2")],
        [Block("pycon", ">>> 1 + 1\n3\n")],
        [Block("python", "# methods/broken.py\nimport nothing"), Block("text", '{"id": 1}  ->  {}')],
        [Block("text", '{"id": 1, "method": "hello"}  ->  {"id": 2}')],
        [Block("http", "GET /service HTTP/1.1"), Block("http", "HTTP/1.1 404 Not Found")],
        [Block("http", "GET /service HTTP/1.1"), Block("http", "HTTP/1.1 200 OK\n\n{}")],
        [Block("http", "GET /service HTTP/1.1"), Block("http", "HTTP/1.1 200 OK\nVary: *\n\n...")],
    ],
    ids=lambda written: written[-1].language,
)
def test_a_wrong_page(reader: Reader, written: list[Block]) -> None:
    """A mistake on a page is found, and so is a block that nothing runs."""
    with pytest.raises((AssertionError, ImportError, SyntaxError, SettingsError)):
        for block in written:
            reader.follow(block)


def test_a_duration(reader: Reader) -> None:
    """The one that a page shows stands for those of a busy machine, and for nothing else."""
    reader.expect("divide in 0.000 s", "divide in 12.345 s")
    with pytest.raises(AssertionError):
        reader.expect("divide in 0.000 s", "divide in a moment")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it, but in a plain theme: the other costs a quarter of all."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*command, "-Dhtml_theme=basic", "-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")],
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


@pytest.mark.timeout(900)  # all pages are built
def test_the_site(site: Path) -> None:
    """It builds without a warning, and has all pages, all options and the names that the package exports."""
    for page in DOCS.glob("*.md"):
        assert (site / f"{page.stem}.html").exists(), page
    options = (site / "options.html").read_text()
    for option in describe_options():
        assert f">{option.name}<" in options, option
    reference = (site / "reference.html").read_text()
    errors = {name: error for name, error in vars(exceptions).items() if isinstance(error, type)}
    names = [f"toto_aio.{name}" for name in toto_aio.__all__ if name not in errors]
    names += [
        f"toto_aio.exceptions.{error.__name__}" for error in errors.values() if issubclass(error, Exception)
    ]
    for name in names:
        assert f'id="{name}"' in reference, name


@pytest.mark.parametrize("page", ["options.md", "migration.md"])
def test_what_is_generated(page: str) -> None:
    """The tables of options in the repository are those of the code; if not, run `make docs`."""
    text = (DOCS / page).read_text()
    names = runpy.run_path(str(DOCS / "_ext" / "generated.py"))
    assert names["committed"](text) == text
    assert names["fill"](text).count("| --- |") == text.count("| --- |")


def test_the_map_of_the_architecture() -> None:
    """It has each package and each module at the top level, once."""
    rows = re.findall(r"^\| `([\w/]+(?:\.py|/))` \|", (DOCS / "architecture.md").read_text(), re.MULTILINE)
    source = ROOT / "src" / "toto_aio"
    packages = {path.parent for path in source.rglob("__init__.py") if "templates" not in path.parts}
    nested = {source / "methods" / "account"}  # a group of methods
    named = [f"{path.relative_to(source)}/" for path in packages - nested - {source}]
    assert sorted(rows) == sorted([*named, *(path.name for path in source.glob("*.py"))])


def test_the_layers_of_the_architecture() -> None:
    """They are those that import-linter checks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [contract] = project["tool"]["importlinter"]["contracts"]
    diagram = next(block.code for block in blocks(DOCS / "architecture.md") if "__main__" in block.code)
    drawn = [re.split("  +", line.strip())[0].split(", ") for line in diagram.splitlines()]
    assert drawn == [re.split(r" [|:] ", layer) for layer in contract["layers"]]


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_the_files_that_a_page_names(page: str) -> None:
    """They exist, below the project or the package."""
    named = re.findall(r"`([\w./-]+(?:\.(?:py|md|toml)|/))`", (ROOT / page).read_text())
    assert named
    for name in set(named) - {"dist/"}:
        assert (ROOT / name).exists() or (ROOT / "src" / "toto_aio" / name).exists(), name


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_the_classes_and_tables_that_a_page_names(page: str) -> None:
    """The code has names like these."""
    named = re.findall(r"`([A-Z]\w+)`", (ROOT / page).read_text())
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    words = set(
        re.findall(r"\w+", "\n".join(path.read_text() for path in files if path.name != "test_docs.py"))
    )
    assert named
    assert not set(named) - words


def test_the_codes_of_the_protocol() -> None:
    """The table has every error, with its value and its statuses."""
    row = r"^\| (\d{4}) \| (\d+)[^|]*\| (\d+)[^|]*\| ([^|]*)"
    rows = re.findall(row, PROTOCOL.read_text(), re.MULTILINE)
    coded = {error.CODE: error for error in exceptions.CodedException.__subclasses__()}
    assert [int(code) for code, *_ in rows] == sorted(coded)
    for code, status, true_status, value in rows:
        error = coded[int(code)]()
        statuses = error.status, exceptions.http_status(error)
        assert (int(status), int(true_status)) == statuses, code
        if code not in ("1001", "1003", "1016"):  # whose values differ
            assert value.startswith(f"`{error.value}"), code


def test_the_worked_example_of_the_protocol(reader: Reader) -> None:
    """Its signatures are the ones that the service makes and accepts at the stated time."""
    for block in blocks(PROTOCOL):
        if block.language == "pycon":
            reader.follow(block)
    names = SimpleNamespace(**reader.names)
    signer = Signer(names.session_id, "ada", base64.b64decode(names.key))
    request = SignedRequest(
        names.body,
        names.request_hmac.decode(),
        "POST",
        "/service",
        "application/json",
        names.session_id,
        names.timestamp,
        names.nonce,
    )
    assert hmac_sha256(signer.key, request_message(request)) == names.request_hmac
    scheme = SCHEMES["session"]
    assert scheme is not None
    assert scheme.sign(request, signer, names.answer) == names.answer_hmac.decode()


async def test_the_chat_of_the_tutorial(reader: Reader, browser: Browser) -> None:
    """Two of its pages chat: each logs in, and sees what the other writes, as text."""
    for block in blocks(DOCS / "tutorial.md"):
        if NAME.fullmatch(block.code.partition("\n")[0]):
            reader.follow(block)
    reader.serve("python service.py " + str(port := reader.port("8001")), port)
    pages = {name: await browser.open(f"http://127.0.0.1:{port}/chat/") for name in ("ada", "grace")}
    for name, page in pages.items():
        await page.run(ENTER, name=name)
    await pages["ada"].run(
        "(element('text').value = text, element('say').requestSubmit())", text="hello <b>you</b>"
    )
    for page in pages.values():
        await page.run("until(() => element('said').children.length)".replace("until", UNTIL))
        assert await page.run("element('said').textContent") == "ada: hello <b>you</b>"


UNTIL = """((done) => new Promise((yes) => {
    const look = () => done() ? yes() : setTimeout(look, 20);
    look();
}))"""
ENTER = f"""(element("user").value = name, element("password").value = "correct horse",
    {UNTIL}(() => socket.readyState === 1).then(() => element("enter").requestSubmit()),
    {UNTIL}(() => element("enter").hidden))"""
