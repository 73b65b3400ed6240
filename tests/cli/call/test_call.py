"""Calls of a running service from the shell: what is sent, what is shown, and how the command ends."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.call.conftest import Done, Run
from tests.support.servers import free_port
from toto_aio.cli.call import progress

ADDED: dict[str, Any] = {
    "title": "x",
    "tags": [],
    "limit": 10,
    "done": False,
    "color": "red",
    "timeout": None,
    "due_date": None,
    "share": 0.5,
    "place": None,
    "path": [],
}
"""What ``notes.add`` gives for a title alone."""


@pytest.mark.parametrize("target", ["url", "."])
def test_typed_parameters(run: Run, urls: Mapping[str, str], target: str, folder: None) -> None:
    """Each is sent as the type that the method asks for, over HTTP and in process."""
    for written, expected in TYPED.items():
        done = run(
            "call", urls["off"] if target == "url" else ".", "notes.add", "--title=x", *written, "--json"
        )
        assert done.status == 0, (written, done)
        assert json.loads(done.out) == {**ADDED, **expected}, written


TYPED: dict[tuple[str, ...], dict[str, Any]] = {
    (): {},
    ("--tags=a,b",): {"tags": ["a", "b"]},
    ("--tags=a", "--tags", "b,c"): {"tags": ["a", "b", "c"]},
    ('--tags=["a,b"]',): {"tags": ["a,b"]},
    ("--tags=",): {"tags": []},
    ("--limit=3", "--share=1e2", "--color=blue"): {"limit": 3, "share": 100.0, "color": "blue"},
    ("--limit", "-3", "--done"): {"limit": -3, "done": True},
    ("--done=no", "--limit", "4"): {"limit": 4},
    ("--due-date=2026-11-30",): {"due_date": "2026-11-30"},
    ("--due_date=null", "--share=null"): {"share": None},
    ('--place={"x": 1}', '--path={"x": 2, "name": "a,b"}', '--path={"x": 3}'): {
        "place": {"x": 1, "name": ""},
        "path": [{"x": 2, "name": "a,b"}, {"x": 3, "name": ""}],
    },
    ("--timeout=3",): {"timeout": 3},
    ('--parameters-json={"limit": 7, "color": "blue"}', "--limit=8"): {"limit": 8, "color": "blue"},
}
"""What is written, and what it changes."""


def test_parameters_of_classic_methods(run: Run, url: str) -> None:
    """They are JSON if they are that, and otherwise text, as a default that is text is."""
    cases: dict[tuple[str, ...], dict[str, Any]] = {
        ("--name=5",): {"name": 5},
        ('--name="5"',): {"name": "5"},
        ("--name=007", "--times=2"): {"name": "007", "times": 2},
        ("--name=[1,", "--greeting=5"): {"name": "[1,", "greeting": "5"},
        ('--name={"a": [null]}',): {"name": {"a": [None]}},
        ("--name=a,b", "--other=1", "--other=x"): {"name": "a,b", "other": [1, "x"]},
        ("--name", "--other", "-1"): {"name": True, "other": -1},
        ("--name=99999999999999999999",): {"name": "99999999999999999999"},
        ("--name=@ada",): {"name": "@ada"},
    }
    for written, expected in cases.items():
        done = run("call", url, "greet", *written, "--json")
        assert json.loads(done.out) == {"greeting": "Hello", "times": 1, **expected}, (written, done)


@pytest.mark.parametrize("target", ["url", "."])
def test_files(
    run: Run, urls: Mapping[str, str], target: str, folder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sent as a form, from a path or the standard input, beside other parameters."""
    where = urls["session"] if target == "url" else "."
    Path("a.png").write_bytes(b"\xff\r\n--x")
    Path("b.txt").write_text("b")
    typed = ("--picture=@a.png", "--raw=@b.txt", "--pages=@b.txt", "--pages=@-", "--tags=t,u", "--width=3")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"typed")))
    done = run("call", where, "notes.photo", *typed, "--json")
    expected = ["a.png", "image/png", "\xff\r\n--x", "b", ["b", "typed"], ["t", "u"], 3]
    assert (done.status, json.loads(done.out or "0")) == (0, expected), done
    done = run("call", where, "files", "--upload=f=b.txt", "--upload=f=b.txt", "--n=1", "--on", "--json")
    assert json.loads(done.out) == [{"n": ["1"], "on": ["true"]}, {"f": [["b.txt", "b"], ["b.txt", "b"]]}], (
        done
    )


def test_wrong_command_lines(run: Run, url: str, folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ends with status 2 and says what to write."""
    Path("wrong.json").write_text("[1]")
    for written, said in {
        ("call",): "write what to call",
        ("call", "--bad", url): "--bad: no such option of this command; parameters follow the method",
        ("call", url, "notes.add", "x"): "'x': write --NAME=x",
        ("call", "localhost/service", "x"): "localhost/service: ",
        ("call", "ftp://h/s", "x"): "write http://HOST/service",
        ("call", "localhost:8888/service", "x"): "write http://localhost:8888/service",
        ("call", "example.org/service", "x"): "write http://example.org/service",
        ("call", "[::1]:80/service", "x"): "write http://[::1]:80/service",
        ("call", "missing.toml", "x"): "missing.toml: No such file or directory\n",
        ("call", "service:make", "x"): "application; write a file that has the options of its service",
        ("client", "python", "service:make"): "takes no application",
        ("client", "python", "localhost:8888/service"): "write http://localhost:8888/service",
        ("login", "localhost:8888/service", "ada"): "write http://localhost:8888/service",
        ("call", ".", "--method-module=m", "greet"): "into the environment, as TOTO_AIO_METHOD_MODULE",
        ("call", ".", "notes.add", "--method-module=m"): "--method-module was taken for a parameter; write",
        ("call", "http://ada:secret@h/s", "x"): "toto-aio login http://h/s USER",
        ("call", f"{url}?a=1", "x"): "without what follows ? or #",
        ("call", url, "wait", "--timeout=soon"): "--timeout: write seconds",
        ("call", url, "greet", "--signing=rot13"): "--signing: write one of",
        ("call", ".", "greet", "--signing=off"): "a call in process is not signed",
        ("call", url, "greet", "--user=ada"): f"toto-aio login {url} ada",
        ("call", url, "greet", "--json=1"): "--json: write it without a value",
        ("call", url, "greet", "--user"): "--user: write --user=NAME",
        ("call", url, "greet", "--parameters-json=@wrong.json"): "write a JSON object",
        ("call", url, "greet", "--parameters-json={"): "--parameters-json: not JSON",
        ("call", url, "greet", "--parameters-json=@missing"): "missing: No such file or directory",
        ("call", url, "notes.photo", "--picture=@missing"): "missing: No such file or directory",
        ("call", url, "notes.photo", "--picture=@.", "--picture=x"): "write @FILE each time",
        ("call", url, "notes.photo", "--picture=@."): ".: Is a directory",
        (
            "call",
            url,
            "notes.photo",
            "--picture=@-",
            "-",
        ): "the standard input can be read for one thing only",
        ("call", url, "files", "--upload=f"): "--upload: write --upload=NAME=FILE",
        (
            "call",
            url,
            "notes.photo",
            "--picture=@wrong.json",
            '--place={"x":1}',
        ): "--place: files are sent with",
    }.items():
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
        done = run(*written)
        assert (done.status, done.out) == (2, ""), (written, done)
        assert said in done.err, (written, done)
        assert "secret" not in done.err


def test_every_problem(run: Run, url: str, folder: None) -> None:
    """Of wrong parameters each has a line that names its option, or is JSON; the status is 2."""
    wrong = ("--limit=many", "--titel=x", '--path={"y": 1}', "--title=x", "--title=y")
    for target in (url, "."):
        done = run("call", target, "notes.add", *wrong)
        assert (done.status, done.out) == (2, ""), done
        assert done.err.splitlines() == [
            "toto-aio: --title: expected str, got array",
            "toto-aio: --limit: expected int, got str",
            "toto-aio: --path[0].x is missing",
            "toto-aio: --titel is unknown, did you mean --title?",
        ]
    done = run("call", url, "notes.add", "--titel=x", "--json")
    error = json.loads(done.out)["error"]
    assert (done.status, done.err, error["code"]) == (2, "", 1003)
    assert [each["path"] for each in error["problems"]] == ["title", "titel"]
    assert run("call", url, "fails.parameters").err == "toto-aio: 1003: \\x1b[2Jno\n"


def test_exit_statuses(run: Run, urls: Mapping[str, str]) -> None:
    """Each kind of failure has a status of its own, whatever HTTP status the service gives it."""
    nowhere = f"http://127.0.0.1:{free_port()}/service"
    for method, status, said in [
        ("broken", 1, "1000: Internal error "),
        ("fails.parameters", 2, "1003: "),
        ("notes.mine", 3, "log in: toto-aio login "),
        ("note.add", 4, "did you mean notes.add?"),
        ("nothing.similar", 4, "toto-aio: list the methods: toto-aio call http://"),
        ("fails.unavailable", 5, "1011: "),
        ("fails.busy", 5, "1012: "),
        ("fails.late", 5, "1013: "),
    ]:
        for name in ("off", "hidden"):
            done = run("call", urls[name], method)
            assert (done.status, done.out) == (status, ""), (method, name, done)
            assert name == "hidden" or said in done.err, (method, done)
    done = run("call", urls["off"], "wait", "--timeout=0.2")
    assert (done.status, done.err) == (
        5,
        "toto-aio: no response in time; the call may have been carried out\n",
    )
    assert run("call", nowhere, "greet").status == 6
    assert json.loads(run("call", nowhere, "greet", "--json").out)["error"]["code"] is None
    done = run("call", urls["off"].replace("/service", "/nowhere"), "greet")
    assert (done.status, "404" in done.err) == (7, True)


def test_what_is_shown(run: Run, url: str) -> None:
    """A table, lines or text for people, none of which commands the terminal, and JSON for programs."""
    done = run("call", url, "notes.listed")
    assert done.out == "TITLE          TAGS  DONE\nMilk           a, b\n\\x1b[31mBread        true\n"
    assert json.loads(run("call", url, "notes.listed", "--json").out)[1]["title"] == "\x1b[31mBread"
    lines = run("call", url, "notes.add", "--title=x", "--tags=a,b").out.splitlines()
    assert lines[:4] == ["title: x", "tags: a, b", "limit: 10", "done: false"]
    assert '"name": "n"' in run("call", url, "greet", '--name={"name": "n"}').out
    assert run("call", url, "move").out == "/elsewhere\n"
    assert run("call", url, "visit").out == "1\n"


def test_bytes(run: Run, url: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A method's own bytes are written as they are, and as base64 in JSON."""
    from toto_aio.cli.main import main

    main(["call", url, "picture"])
    assert capfdbinary.readouterr().out == b"\x89PNG\xff"
    done = run("call", url, "picture", "--json")
    assert json.loads(done.out) == {"content_type": "application/octet-stream", "body": "iVBOR/8="}


def test_help(run: Run, urls: Mapping[str, str], folder: None) -> None:
    """The command, a service and a method say what can be written; in process it is the same."""
    own = run("call", "--help").out
    assert "usage: toto-aio call SERVICE" in own
    assert "--parameters-json=JSON" in own
    shown: list[Done] = []
    for target in (urls["off"], "."):
        listed = run("call", target).out.splitlines()
        assert listed[0].split() == ["METHOD", "PARAMETERS", "WHAT", "IT", "DOES"]
        [line] = [line for line in listed if line.startswith("notes.add ")]
        assert 'title, tags=[], limit=10, done=false, color="red"' in line
        assert line.endswith("Add a note")
        assert any(line.endswith("Keep a picture") for line in listed)
        shown.append(run("call", target, "notes.add", "--help"))
    text = " ".join(shown[0].out.split())
    assert shown[0].out.replace(urls["off"], ".") == shown[1].out
    for part in (
        r"--title=TEXT [--NAME=VALUE ...]",
        "Its title is short.",
        "What it is called (1 to 20 characters)",
        "--tags=TEXT,...",
        "--color=blue|red",
        "--due-date=DATE",
        "--limit=INTEGER (default 10)",
    ):
        assert part in text, part
    described = json.loads(run("call", ".", "greet", "--help", "--json").out)
    assert [each["name"] for each in described["parameters"]] == ["name", "greeting", "times"]
    assert "It is for users who have logged in" in run("call", ".", "notes.mine", "-h").out
    assert run("call", ".", "notes.ad", "--help").err.splitlines()[1] == "toto-aio: did you mean notes.add?"
    done = run("call", ".", "library.add", "--method-module=library.methods")
    assert (done.status, "list the methods: toto-aio call .\n" in done.err) == (4, True)
    assert "--method-module was taken for a parameter" in done.err


def test_without_a_document(run: Run, urls: Mapping[str, str]) -> None:
    """A service may hide what its methods take: they can be called, and typed parameters are read as JSON."""
    hidden = urls["hidden"]
    assert json.loads(run("call", hidden, "notes.add", "--title=x", "--limit=3", "--json").out)["limit"] == 3
    for arguments in (("call", hidden), ("call", hidden, "notes.add", "--help")):
        done = run(*arguments)
        assert (done.status, "no openapi.json for you" in done.err) == (2, True)


def test_progress(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a line shows that a call is running, and disappears."""
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr(progress, "PATIENCE", 0)
    run("call", url, "wait", "--timeout=1")
    assert re.search(r"\r\x1b\[K[|/\\-] 0 s\r", written.getvalue())
    assert written.getvalue().endswith(
        "\r\x1b[Ktoto-aio: no response in time; the call may have been carried out\n"
    )
