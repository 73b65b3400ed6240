"""Tests of ``toto-aio new``: each template makes a project that can be tested, served and deployed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from packaging.requirements import Requirement

from tests.conftest import server_module
from tests.support import ROOT, authors, programs
from tests.support.servers import Server, free_port
from toto_aio.cli.new import FOLDER, TEMPLATES, make_project
from toto_aio.settings import SettingsError, read_settings

BIN = Path(sys.executable).parent
NAME = "my-notes"
DEPLOYED = (".service", ".nginx", "-backup.service", "-backup.timer", "-restore.service")
UNITS = (".service", "-backup.service", "-restore.service")
"""The services of a project."""
PLACEHOLDERS = (
    "project_name|serve_command|develop_command|toto_aio_requirement|toto_aio_for_tests|with_processes"
)
SERVICE = {"simple": "/service", "chat": "/service", "embedded": "/api/service"}
WHO = '''
async def invoke(handler, parameters):
    """The address of who asks."""
    return handler.address
'''
TABLES = """
async def invoke(handler, parameters):
    async with handler.transaction() as connection:
        await connection.execute("create table mine (n integer)")
        await connection.execute("insert into mine values (1)")
    return [tuple(row) for row in await handler.connection.db.execute_fetchall("select n from mine")]


async def test_tables(toto_call):
    assert await toto_call(invoke) == [(1,)]
"""
"""A test that an author adds to a project."""
LIMIT = 60.0
"""Seconds that a project has to serve, or to stop."""


@pytest.fixture(params=sorted(TEMPLATES))
def template(request: pytest.FixtureRequest) -> str:
    """Each template."""
    return str(request.param)


@pytest.fixture
def project(template: str, tmp_path: Path) -> Path:
    """A new project from it."""
    return make(tmp_path, template)


def make(folder: Path, template: str) -> Path:
    """A new project, whose Makefile finds everything installed."""
    with contextlib.chdir(folder):
        make_project(NAME, template)
    (folder / NAME / ".venv").mkdir()
    (folder / NAME / ".venv" / "installed").touch()
    return folder / NAME


def files(folder: Path) -> Iterator[Path]:
    """The files of a project."""
    return (path for path in folder.rglob("*") if path.is_file() and ".venv" not in path.parts)


def test_its_own_tests(project: Path) -> None:
    """`make test` runs them, without a warning; a test of one's own may use tables."""
    (project / "tests" / "test_tables.py").write_text(TABLES)
    done = subprocess.run(
        ["make", f"BIN={BIN}", "test"],
        cwd=project,
        env=authors.environment("-W error -p no:cacheprovider"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^=+ 4 passed in", done.stdout, re.MULTILINE), done.stdout


def test_it_passes_the_check(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be changed before its first day in production."""
    monkeypatch.chdir(project)
    done = subprocess.run([BIN / "toto-aio", "check", "toto.toml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_style(project: Path) -> None:
    """Ruff with its default settings finds nothing, in the layout of a project."""
    for arguments in (["check", "--extend-select=I,B,UP,ASYNC,RUF"], ["format", "--check"]):
        done = subprocess.run(
            [BIN / "ruff", *arguments, "--isolated", "--no-cache", "."],
            cwd=project,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_the_placeholders_of_templates(project: Path) -> None:
    """All of them are replaced, in the text and in the names of files."""
    names = {str(path.relative_to(project)) for path in files(project)}
    common = (
        "Makefile Dockerfile README.md pyproject.toml toto.toml .gitignore .dockerignore methods/__init__.py"
    )
    deploy = ("README.md", *(f"{NAME}{end}" for end in DEPLOYED))
    assert {*common.split(), *(f"deploy/{name}" for name in deploy)} <= names
    for path in files(project):
        text = f"{path} {path.read_text(encoding='utf-8')}"
        assert not re.search(PLACEHOLDERS, text), path
    assert (project / "README.md").read_text().startswith(f"# {NAME}\n")


def test_its_requirements(project: Path) -> None:
    """It requires this version of toto_aio, and only extras that exist."""
    written = tomllib.loads((project / "pyproject.toml").read_text())
    assert written["project"]["name"] == NAME
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    service, others = written["dependency-groups"]["service"], written["dependency-groups"]["dev"]
    for text in (*service, *(entry for entry in others if isinstance(entry, str))):
        requirement = Requirement(text)
        assert requirement.name == "toto-aio"
        assert requirement.url == ROOT.as_uri()  # from where this one was installed
        assert requirement.extras <= set(ours["optional-dependencies"])
    assert {"include-group": "service"} in others


@asynccontextmanager
async def running(
    command: list[str], folder: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that serves, in its own process group, until it is stopped."""
    with (folder.parent / "log").open("w+") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={**programs.ENVIRONMENT, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
            stdout=log,
            stderr=log,
            process_group=0,
        )
        try:
            yield process
        except BaseException as exc:
            log.seek(0)
            exc.add_note(log.read())
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            async with asyncio.timeout(LIMIT):
                await process.wait()


async def get(client: aiohttp.ClientSession, process: asyncio.subprocess.Process, path: str) -> str:
    """The body of a page, once it is served."""
    async with asyncio.timeout(LIMIT):
        while True:
            assert process.returncode is None
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with client.get(path) as response:
                    assert response.status == 200
                    return await response.text()
            await asyncio.sleep(0.05)


async def test_it_runs_at_once(project: Path, template: str) -> None:
    """`make run` serves the page that `new` names, and the calls in the README."""
    port = free_port()
    expected = {
        "simple": '{"result":{"hello":"Ada"}}',
        "chat": "<!doctype html>",
        "embedded": "The application",
    }
    command = ["make", f"BIN={BIN}", "run"]
    async with running(command, project, TOTO_AIO_PORT=str(port)) as process:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            page = await get(client, process, TEMPLATES[template].page)
            assert page.startswith(expected[template])
        readme = (project / "README.md").read_text().replace("127.0.0.1:8888", f"127.0.0.1:{port}")
        for line in re.findall(r"^curl .+", readme, re.MULTILINE):
            said = await asyncio.to_thread(output, [*shlex.split(line), "-s"], project)
            assert ("Not authorized" in said) == ("(the session_id" in line), said
            assert "error" not in said or "Not authorized" in said


def output(command: list[str], folder: Path, **environment: str) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**programs.ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def variables(lines: str, name: str) -> dict[str, str]:
    """The variables that a file sets in the environment."""
    return dict(re.findall(rf"^{name}(\w+)=(\S+)$", lines, re.MULTILINE))


def placed(unit: str, project: Path, redis: str = "") -> str:
    """The unit of a project in another folder, with its own database, socket, environment and Redis."""
    unit = unit.replace("redis://localhost/0", redis).replace("/usr/bin/python3", sys.executable)
    unit = unit.replace(f"/srv/{NAME}/.venv/bin", str(BIN)).replace(f"/srv/{NAME}", str(project))
    return unit.replace(f"/run/{NAME}", str(project.parent)).replace(f"/var/lib/{NAME}", str(project.parent))


async def test_the_unit(project: Path, template: str, servers: Callable[[str], Server]) -> None:
    """systemd accepts it without a message, and its commands serve on the socket, behind a proxy."""
    redis = server_module("redis").fresh_url(servers("redis"))
    unit = placed((project / "deploy" / f"{NAME}.service").read_text(), project, redis)
    for end in ("-backup.service", "-backup.timer", "-restore.service"):
        text = (project / "deploy" / f"{NAME}{end}").read_text()
        (project.parent / f"{NAME}{end}").write_text(placed(text, project))
    (project.parent / f"{NAME}.service").write_text(unit)
    units = sorted(str(path) for path in project.parent.glob(f"{NAME}*.*"))
    assert len(units) == 4
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units]
    assert await asyncio.to_thread(output, verify, project) == ""
    assert ("ExecReload=/bin/kill -HUP $MAINPID\n" in unit) == TEMPLATES[template].has_processes
    (project / "methods" / "who.py").write_text(WHO)
    environment = variables(unit, "Environment=")
    (before,) = re.findall(r"^ExecStartPre=(.+)$", unit, re.MULTILINE)
    checked = await asyncio.to_thread(output, shlex.split(before), project, **environment)
    assert checked.startswith("Nothing unsafe.")
    (command,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    assert shlex.split(command)[0].startswith(str(BIN))
    async with running(shlex.split(command), project, **environment) as process:
        connector = aiohttp.UnixConnector(str(project.parent / "socket"))
        async with aiohttp.ClientSession("http://notes", connector=connector) as client:
            await get(client, process, TEMPLATES[template].page)
            headers = {"x-forwarded-for": "203.0.113.9, 198.51.100.7"}
            async with client.post(f"{SERVICE[template]}/who", json={}, headers=headers) as response:
                assert await response.json() == {"result": "198.51.100.7"}
        assert (project.parent / "toto.db").exists()
        process.terminate()
        async with asyncio.timeout(LIMIT):
            assert await process.wait() == 0


def test_nothing_runs_as_root(project: Path) -> None:
    """Every unit has the service's own user, no way back to root, and writes only to its own folders."""
    for end in UNITS:
        unit = (project / "deploy" / f"{NAME}{end}").read_text()
        settings = dict(re.findall(r"^([A-Z]\w+)=(.*)$", unit, re.MULTILINE))
        expected = {
            "DynamicUser": "yes",
            "User": NAME,
            "Group": "www-data",
            "CapabilityBoundingSet": "",
            "NoNewPrivileges": "yes",
            "PrivateTmp": "yes",
            "ProtectHome": "yes",
            "ProtectSystem": "strict",
            "RestrictSUIDSGID": "yes",
            "StateDirectoryMode": "0700",
        }
        assert {name: settings.get(name) for name in expected} == expected, end
        # A command with one of these in front would be root's.
        assert not re.search(r"^Exec\w+=\S*[+!]", unit, re.MULTILINE), end


def test_backups_run_only_programs_of_the_system(project: Path) -> None:
    """What the user who deploys may change is run by the service alone."""
    for end in ("-backup.service", "-restore.service"):
        unit = (project / "deploy" / f"{NAME}{end}").read_text()
        assert "=/srv" not in unit
        assert set(re.findall(r"^Exec\w+=(\S+)", unit, re.MULTILINE)) <= {"/usr/bin/python3", "/usr/bin/find"}
        assert "PrivateNetwork=yes" in unit


async def test_the_image(project: Path, template: str) -> None:
    """The command of the Dockerfile serves with its environment, and gets the TERM that stops a container."""
    dockerfile = (project / "Dockerfile").read_text()
    environment = variables(dockerfile, "ENV ")
    assert environment.pop("TOTO_AIO_HOST") == "0.0.0.0"  # noqa: S104 # within the container
    assert f"EXPOSE {read_settings({}, project / 'toto.toml').port}\n" in dockerfile
    environment = {name: value.replace("/data", str(project.parent)) for name, value in environment.items()}
    (command,) = re.findall(r"^CMD (.+)$", dockerfile, re.MULTILINE)
    port = free_port()
    async with running(["sh", "-c", command], project, TOTO_AIO_PORT=str(port), **environment) as process:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            await get(client, process, TEMPLATES[template].page)
        assert (project.parent / "toto.db").exists()
        process.terminate()
        async with asyncio.timeout(LIMIT):
            assert await process.wait() == 0


def test_the_example_for_nginx(project: Path) -> None:
    """It names the unit's socket and the service's port, and passes on the headers that the service uses."""
    example = (project / "deploy" / f"{NAME}.nginx").read_text()
    unit = variables((project / "deploy" / f"{NAME}.service").read_text(), "Environment=")
    assert f"server unix:{unit['TOTO_AIO_UNIX_SOCKET']};" in example
    assert f"server 127.0.0.1:{read_settings({}, project / 'toto.toml').port};" in example
    for header in ("Host", "X-Forwarded-For", "X-Forwarded-Proto", "Upgrade", "Connection"):
        assert re.search(rf"^        proxy_set_header {header} \$\w+;$", example, re.MULTILINE), header
    assert example.count("{") == example.count("}")


def test_the_command(tmp_path: Path) -> None:
    """It creates a project and prints what to type next, which works."""
    (tmp_path / NAME).mkdir()
    done = subprocess.run(
        [BIN / "toto-aio", "new", NAME, "--template", "embedded"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"Created {NAME} from the template embedded. Next:\n\n"
        f"    cd {NAME}\n"
        "    make run     # then open http://127.0.0.1:8888/\n"
        "    make test\n"
    )
    makefile = (tmp_path / NAME / "Makefile").read_text()
    assert "\nrun: " in makefile
    assert "\ntest: " in makefile


BAD_NAMES = [
    "",
    ".",
    "..",
    "../notes",
    "a/b",
    "My-notes",
    "1notes",
    "my notes",
    "notes-",
    "-notes",
    "my--notes",
]
BAD_NAMES += ["n\u00f6tes", "my.notes", "a" * 32, "toto-aio", "toto_aio", "root", "notes\n"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_invalid_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """They are refused with what to write instead, and nothing is created."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="write another name of at most 31 lower-case letters"):
        make_project(name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An existing project is left as it is."""
    monkeypatch.chdir(tmp_path)
    make_project("a1-b_2")
    (tmp_path / "a1-b_2" / "README.md").write_text("mine")
    with pytest.raises(
        SettingsError, match=r"a1-b_2: the folder is not empty: write another name, or remove the folder"
    ):
        make_project("a1-b_2", "chat")
    assert (tmp_path / "a1-b_2" / "README.md").read_text() == "mine"
    assert not (tmp_path / "a1-b_2" / "methods" / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["notes", "--template=django"], "--template: write one of simple, chat, embedded, not 'django'"),
        (["notes", "--tempalte=chat"], "--tempalte: no such option; did you mean template?"),
        ([], "the following arguments are required: NAME"),
        (["file"], "file: Not a directory"),
    ],
    ids=str,
)
def test_wrong_arguments(tmp_path: Path, arguments: list[str], expected: str) -> None:
    """One line says what to write instead."""
    (tmp_path / "file").touch()
    done = subprocess.run(
        [BIN / "toto-aio", "new", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"toto-aio: {expected}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_wheel(tmp_path: Path) -> None:
    """It has all files of all templates, also those of mails, and those whose name begins with a dot."""
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "--target=wheel", "--directory=dist"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if "/templates/" in name}
    folders = (FOLDER, ROOT / "src" / "toto_aio" / "mail" / "templates")
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    outside = {path.relative_to(ROOT / "src") for path in files}
    assert inside == {str(path) for path in outside if "__pycache__" not in path.parts}


def test_compiled_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip compiles what it installs; a project has no bytecode."""
    templates = tmp_path / "templates"
    shutil.copytree(FOLDER, templates)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(templates)], check=True)
    assert list(templates.rglob("*.pyc"))
    monkeypatch.setattr("toto_aio.cli.new.FOLDER", templates)
    project = make(tmp_path, "simple")
    assert not list(project.rglob("*.pyc"))
