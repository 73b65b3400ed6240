"""Tests of the command line, as an operator types it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from toto_aio import TotoServer
from toto_aio.cli.main import main
from toto_aio.settings import describe_options
from toto_aio.settings.old_options import RENAMED

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TOTO_AIO_")}


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments until it exits."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "COLUMNS": "1000", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which ``toto-aio`` ends for these arguments, without its name."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    line = caught.value.code  # what sys.exit prints on stderr, with status 1
    assert isinstance(line, str)
    assert "\n" not in line
    assert capsys.readouterr() == ("", "")
    assert line.startswith("toto-aio: ")
    return line.removeprefix("toto-aio: ")


def started_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Make this process look like a script that was started with these arguments."""
    monkeypatch.setattr(sys, "argv", ["/srv/run.py", *arguments])
    for name in os.environ.keys() - ENVIRONMENT.keys():
        monkeypatch.delenv(name)


def test_version(tmp_path: Path) -> None:
    """``--version`` prints the version and nothing else."""
    done = run("-m", "toto_aio", "--version", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[-1] == importlib.metadata.version("toto-aio")
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


VERSION = """
import sys
sys.argv = ["toto-aio", "--version"]
from toto_aio.cli.entry import main
main()
print(*sorted({"argparse", "msgspec", "toto_aio.settings"} & sys.modules.keys()))
"""


def test_what_the_version_needs(tmp_path: Path) -> None:
    """It needs no option, and no parser of options."""
    done = run("-c", VERSION, folder=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[1:], done.stderr) == (0, [""], "")


def test_help_names_the_commands(tmp_path: Path) -> None:
    """``--help`` lists the commands."""
    done = run("-m", "toto_aio", "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "serve" in done.stdout


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``toto-aio`` alone prints the help."""
    main([])
    printed = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert printed == capsys.readouterr().out
    assert "serve the methods of a package" in printed


@pytest.mark.parametrize(
    ("command", "options"),
    [("stop", {"--shutdown-timeout", "--pidfile", "--log-file"}), ("status", {"--pidfile"}), ("new", set())],
)
def test_help_of_a_command_with_few_options(
    capsys: pytest.CaptureFixture[str], command: str, options: set[str]
) -> None:
    """It lists its own options only, and an option of others is refused."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    listed = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert listed == {*options, "--help", *(["--template"] if command == "new" else [])}


def test_the_same_options_for_all_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """``stop`` and ``status`` take those of ``start``, too; a wrong one is refused."""
    pidfile = f"--pidfile={tmp_path / 'toto.pid'}"
    for command, status in (("stop", 0), ("status", 3)):
        with pytest.raises(SystemExit) as caught:
            main([command, "--port=1", pidfile])
        assert caught.value.code == status
    capsys.readouterr()
    assert complaint(capsys, "stop", "--port=http", pidfile) == "--port: expected int, not 'http'"


UNNEEDED = """
import sys
from toto_aio.cli.main import main
sys.argv = ["toto-aio"]
for line in ("--version", "", "--help", "serve --help", "stop --help", "serve --prot=1", "serve --port=http",
             "serve missing.toml", "start a:b --database=memory://"):
    try:
        main(line.split())
    except SystemExit as exc:
        pass
import toto_aio
from toto_aio import TotoServer
sys.argv += ["--port=http"]
try:
    TotoServer()
except SystemExit:
    pass
print(*sorted({"aiohttp", "asyncio", "uvloop", "multidict", "bson", "toto_aio.app"} & sys.modules.keys()))
"""


def test_no_server_is_imported(tmp_path: Path) -> None:
    """For the version, for help, and for the line about a wrong option."""
    done = run("-c", UNNEEDED, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "", done.stdout


LAUNCHED = """
import sys
from toto_aio.cli.main import main
sys.argv = ["toto-aio"]
for line in ("stop", "status"):
    try:
        main([line])
    except SystemExit as exc:
        assert exc.code in (0, 3), exc.code
print(*sorted({"aiohttp", "uvloop", "multidict", "bson", "toto_aio.app"} & sys.modules.keys()))
"""


def test_no_aiohttp_is_imported(tmp_path: Path) -> None:
    """For commands that only look for a service: the import is most of what a start costs."""
    done = run("-c", LAUNCHED, folder=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, ""), (done.stdout, done.stderr)


def test_help_lists_every_option(tmp_path: Path) -> None:
    """``serve --help`` has each option with its description and default, in its group."""
    done = run("-m", "toto_aio", "serve", "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    group = ""
    for option in describe_options():
        if option.group != group:
            group = option.group
            del lines[: lines.index(f"{group}:") + 1]
        flag = option.flag
        index = next(index for index, line in enumerate(lines) if line.startswith(flag + " "))
        assert not any(line.endswith(":") for line in lines[:index]), f"{flag} is not in {group}"
        shown = " ".join(lines[index : index + 2]).lower()
        assert " ".join(option.description.split()).lower() in shown
        if option.default not in (None, "", [], {}):
            assert f"(default {option.default})".lower() in shown
    assert list(tmp_path.iterdir()) == []


def test_the_help_of_a_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A script with ``TotoServer`` lists the options as well."""
    started_with(monkeypatch, "--help")
    with pytest.raises(SystemExit) as caught:
        TotoServer()
    assert caught.value.code == 0
    listed = capsys.readouterr().out
    assert all(f"--{option.name.replace('_', '-')}" in listed for option in describe_options())


@pytest.mark.parametrize(
    "arguments",
    [("serve", "--session-tll=5"), ("serve", "--port=nine"), ("serve", "missing.toml"), ("nonsense",)],
    ids=" ".join,
)
def test_a_wrong_option_ends_the_start_with_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The status is not 0, and there is exactly one line, on stderr."""
    done = run("-m", "toto_aio", *arguments, folder=tmp_path)
    assert done.returncode not in (0, None)
    assert done.stdout == ""
    assert done.stderr.startswith("toto-aio: ")
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--session-tll", "--session_tll"])
def test_an_unknown_option_gets_a_suggestion(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    """The error names what was typed, and suggests a similar option."""
    for arguments in ((f"{flag}=5",), (flag, "5"), (flag,)):
        said = complaint(capsys, "serve", *arguments)
        assert said.startswith("--session")
        assert "did you mean session_ttl?" in said


def test_options_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    """The beginning of an option is unknown: a new option never changes what a command means."""
    assert "no such option" in complaint(capsys, "serve", "--por=1")


@pytest.mark.parametrize("name", sorted(RENAMED))
def test_options_of_toto_that_have_another_name(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """An old name gets the new one, with hyphens and with underscores."""
    assert complaint(capsys, "serve", f"--{name}=x").endswith(f": {RENAMED[name]}")
    assert complaint(capsys, "serve", f"--{name.replace('_', '-')}=x").endswith(f": {RENAMED[name]}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--port=70000",), "<= 65535"),
        (("--port", "70000"), "<= 65535"),
        (("--port",), "--port"),
        (("--method-select=body",), "both, url, parameter"),
        (("--method_select=body",), "both, url, parameter"),
        (("--debug=maybe",), "bool"),
        (("--session_ttl=-1",), "> 0"),
        (("one.toml", "two.toml"), "two.toml"),
        (("missing.toml",), "missing.toml: No such file or directory"),
        (("--", "--port"), "--port: No such file or directory"),
    ],
    ids=str,
)
def test_wrong_arguments(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    """A wrong value is reported with what to write instead."""
    assert expected in complaint(capsys, "serve", *arguments)


def test_wrong_variables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not an option, or has a wrong value, also ends the start."""
    monkeypatch.setenv("TOTO_AIO_PORT", "nine")
    assert complaint(capsys, "serve") == "TOTO_AIO_PORT: expected int, not 'nine'"
    monkeypatch.delenv("TOTO_AIO_PORT")
    monkeypatch.setenv("TOTO_AIO_PORTT", "9")
    assert complaint(capsys, "serve") == "TOTO_AIO_PORTT: no such option; did you mean port?"


def test_an_option_in_a_file_is_named_with_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file's options are checked like all others."""
    file = tmp_path / "toto.toml"
    file.write_text("prt = 9000")
    assert complaint(capsys, "serve", str(file)).startswith(f"{file}: prt: no such option")


def test_a_script_reads_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hyphens and underscores are the same, a value may be separate, and a boolean needs none."""
    started_with(
        monkeypatch,
        "--port=1",
        "--session_ttl=2",
        "--anon-session-ttl",
        "3",
        "--debug",
        "--bson_enabled=false",
    )
    settings = TotoServer().settings
    assert (settings.port, settings.session_ttl, settings.anon_session_ttl) == (1, 2, 3)
    assert (settings.debug, settings.bson_enabled, settings.msgpack_enabled) == (True, False, True)
    started_with(monkeypatch, "--debug", "--port", "1", "--account_fields=a_b,c-d", "--root=/a_b-c")
    settings = TotoServer().settings
    assert (settings.debug, settings.port) == (True, 1)
    assert (settings.account_fields, settings.root) == (["a_b", "c-d"], "/a_b-c")


def test_each_source_overrides_the_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keyword arguments, file, environment, command line."""
    file = tmp_path / "toto.toml"
    file.write_text("port = 2\nthreads = 2\nbatch_limit = 2")
    started_with(monkeypatch, "--port=4")
    monkeypatch.setenv("TOTO_AIO_PORT", "3")
    monkeypatch.setenv("TOTO_AIO_THREADS", "3")
    settings = TotoServer(file, port=1, threads=1, batch_limit=1, max_body_size=1).settings
    assert (settings.port, settings.threads, settings.batch_limit, settings.max_body_size) == (4, 3, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        (("--session-tll=5",), {}, "did you mean session_ttl?"),
        (("file.toml",), {}, "file.toml"),
        ((), {"session_tll": 5}, "session_tll: no such option; did you mean session_ttl?"),
        ((), {"port": "9000"}, "port: expected int, not '9000'"),
        ((), {"conf_file": "missing.toml"}, "missing.toml: No such file or directory"),
    ],
    ids=str,
)
def test_a_script_with_a_wrong_option(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    options: dict[str, str],
    expected: str,
) -> None:
    """``TotoServer`` ends the process with one line that begins with the script's name."""
    started_with(monkeypatch, *arguments)
    with pytest.raises(SystemExit) as caught:
        TotoServer(**options)
    line = caught.value.code
    assert isinstance(line, str)
    assert "\n" not in line
    assert line.startswith("run.py: ")
    assert expected in line
    assert capsys.readouterr() == ("", "")


def test_output_that_nobody_reads_on(tmp_path: Path) -> None:
    """A reader that leaves, as ``head`` does, is no error."""
    reader, writer = os.pipe()
    os.close(reader)
    for arguments in (("methods", "--method-module=toto_aio.methods"), ("status",), (), ("--version",)):
        process = subprocess.run(
            [sys.executable, "-m", "toto_aio", *arguments],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
        assert process.stderr == b"", arguments
    os.close(writer)


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    """A full disk is one line, and a status that says so."""
    for arguments in (("methods", "--method-module=toto_aio.methods"), ("--version",)):
        with open("/dev/full", "w") as full:
            process = subprocess.run(
                [sys.executable, "-m", "toto_aio", *arguments],
                cwd=tmp_path,
                env=ENVIRONMENT,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=120,
                check=False,
            )
        expected = 1, "toto-aio: cannot write the output: No space left on device\n"
        assert (process.returncode, process.stderr) == expected, arguments


def test_standard_files_that_are_closed(tmp_path: Path) -> None:
    """They are as if they were /dev/null, so that no other file gets their numbers."""
    for arguments, closed, status, err in (
        ("accounts add ada", "<&-", 2, "toto-aio: there is no password: type it, or write it"),
        ("accounts add ada --no-password", "<&- >&- 2>&-", 0, ""),
        ("accounts list", ">&-", 0, ""),
        ("accounts delete ada", "<&- >&-", 2, "toto-aio: Delete the account 'ada' and end its"),
    ):
        command = ["sh", "-c", f"exec {sys.executable} -m toto_aio {arguments} {closed}"]
        process = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
        )
        assert (process.returncode, process.stdout) == (status, ""), arguments
        assert process.stderr.startswith(err), arguments
        assert process.stderr.count("\n") == bool(err), arguments
