"""The examples and the README, followed as a newcomer would follow them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import ROOT, copy_hello
from tests.support.running import serving

README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    """The code blocks in a language in a text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def bash(script: str, folder: Path) -> str:
    """The output of a script, in the virtual environment of the tests."""
    finished = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def load(path: Path) -> ModuleType:
    """The module of a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_service_of_the_readme(tmp_path: Path) -> None:
    """The first block creates a service, the second calls it."""
    first, second = blocks("sh")[:2]
    make, command, rest = first.partition("python -m toto_aio serve")
    assert command
    assert rest == "\n"
    assert len(first.splitlines()) <= 15
    bash(make, tmp_path)
    with serving(["-m", "toto_aio", "serve", "--port=0"], tmp_path) as url:
        answer = bash(second.replace("http://127.0.0.1:8888/service", url), tmp_path)
        assert json.loads(answer) == {"result": {"hello": "Ada"}}
        assert (tmp_path / "toto.db").exists()


def test_the_tour_of_the_readme(tmp_path: Path) -> None:
    """The curl lines of the tour, one after the other, against the service of `make run`."""
    copy_hello(tmp_path)
    tour = README[README.index("## A tour") : README.index("## Methods")]
    script = "\necho; echo ---\n".join(blocks("sh", tour))
    with serving(["-m", "toto_aio", "serve", "--port=0"], tmp_path) as url:
        call, account, count, signed, batch = bash(
            script.replace("http://127.0.0.1:8888/service", url), tmp_path
        ).split("---\n")
    assert call.strip() == '{"result":{"hello":"Ada"}}' * 2
    assert json.loads(account)["result"]["user_id"] == "ada"
    assert json.loads(count)["result"] == 1
    head, _, body = signed.strip().replace("\r", "").partition("\n\n")
    assert "x-toto-hmac: " in head
    assert json.loads(body)["result"] == 2
    answers = json.loads(batch)["batch"]
    assert (answers["2"]["result"], answers["3"]["error"]["code"]) == (1, 1001)


def test_the_new_project_of_the_readme(tmp_path: Path) -> None:
    """The call that the README shows is one of the project that it has just made."""
    section = README[README.index("## A new project") : README.index("## A tour")]
    [new] = re.findall(r"`(toto-aio new \w+)`", section)
    [call] = re.findall(r"`(toto-aio call [^`]+)`", section)
    assert "Ada" in bash(f"{new} >&2 && cd {new.split()[-1]} && {call}", tmp_path)


def test_the_options_of_the_readme(tmp_path: Path) -> None:
    """They are of the first service, in the folder that the README leads back to."""
    make = blocks("sh")[0].partition("python -m toto_aio serve")[0]
    [options] = blocks("sh", README[README.index("## Options") : README.index("## Processes")])
    (tmp_path / "first").mkdir()
    (tmp_path / "checkout").mkdir()
    bash(make, tmp_path / "first")
    listed = bash(options.replace("toto_aio serve", "toto_aio methods"), tmp_path / "checkout")
    assert "\nhello " in listed


async def test_the_code_of_the_readme(tmp_path: Path) -> None:
    """Each piece of Python compiles, and uses names that exist."""
    for number, code in enumerate(blocks("python")):
        compile(code, f"README block {number}", "exec")
        for module, names in re.findall(r"^from (toto_aio\S*) import (.+)$", code, re.MULTILINE):
            for name in names.split(", "):
                assert hasattr(importlib.import_module(module), name), (module, name)


def test_accounts(tmp_path: Path) -> None:
    """The client creates an account, counts with signed calls, and is refused after its logout."""
    copy_hello(tmp_path)
    client = ROOT / "examples" / "accounts" / "client.py"
    with serving(["-m", "toto_aio", "serve", "--port=0"], tmp_path) as url:
        finished = subprocess.run(
            [sys.executable, str(client), url], capture_output=True, text=True, timeout=120, check=True
        )
        assert "counted [1, 2, 3]" in finished.stdout
        assert "refused" in finished.stdout
        signing = load(client).Client(url)
        signing.call("account.create", user_id="eve", password="correct horse")
        signing.sign = lambda body: "nonsense"
        with pytest.raises(RuntimeError, match="1008"):
            signing.call("count")
