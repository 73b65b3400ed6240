"""Sessions that are kept from one command to the next, in every scheme of signatures."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.call.conftest import SCHEMES, Run, served
from tests.support.authenticator import SECRET_KEY, App
from toto_aio.cli.call import kept
from toto_aio.methods import account
from toto_aio.methods.account import totp

PASSWORD = "correct horse"


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard input has the password."""
    stdin(monkeypatch, f"{PASSWORD}\n")


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Make this the standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def files(tmp_path: Path) -> list[Path]:
    """The files of sessions."""
    return sorted((tmp_path / "state" / "toto-aio" / "sessions").glob("*"))


def test_every_scheme(
    run: Run, urls: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login keeps a session for one service; calls use it and are signed; logout ends and forgets it."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a")
    for scheme in SCHEMES:
        url = urls[scheme]
        explicit = (f"--signing={scheme}",) if scheme == "user_id" else ()
        stdin(monkeypatch, f"{PASSWORD}\n")
        done = run("login", url, f"{scheme}-ada", "--create", *explicit)
        assert done == (0, "", f"Logged in to {url} as {scheme}-ada\n"), done
        assert run("call", f"{url}/", "notes.mine") == (0, f"{scheme}-ada\n", "")
        assert run("call", url, "notes.photo", "--picture=@a.txt", "--json").status == 0
        assert [kept.load(url).signing for _ in "1"] == [scheme]  # type: ignore[union-attr]
    assert len(files(tmp_path)) == len(SCHEMES)
    for scheme in SCHEMES:
        url = urls[scheme]
        stolen = kept.load(url)
        assert run("logout", url) == (0, "", f"Logged out of {url}\n")
        done = run("call", url, "notes.mine")
        assert (done.status, f"log in: toto-aio login {url} USER" in done.err) == (3, True)
        assert run("logout", url) == (0, "", f"Not logged in to {url}\n")
        assert stolen is not None
        kept.keep(url, stolen.credentials, stolen.signing)
        done = run("call", url, "notes.mine")
        assert (done.status, f"log in again: toto-aio login {url} {scheme}-ada" in done.err) == (3, True), (
            done
        )
        assert run("logout", url).status == 0, scheme
    assert files(tmp_path) == []


def test_who_can_read_it(run: Run, url: str, types: None, tmp_path: Path) -> None:
    """Only its owner; a file that others can read, is a link or is no session, is refused."""
    run("login", url, "bob", "--create")
    [path] = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert PASSWORD not in path.read_text()
    path.chmod(0o640)
    done = run("call", url, "notes.mine")
    assert (done.status, f"{path}: others can read or change it: chmod 600" in done.err) == (2, True)
    path.chmod(0o600)
    assert run("call", url, "notes.mine").out == "bob\n"
    other = tmp_path / "other"
    path.rename(other)
    path.symlink_to(other)
    assert run("call", url, "notes.mine").status == 2
    path.unlink()
    path.write_text("{}")
    path.chmod(0o600)
    assert "not a session: remove it, and log in again" in run("call", url, "notes.mine").err
    path.write_text(other.read_text().replace(url, "http://elsewhere/service"))
    assert run("call", url, "notes.mine").status == 3


def test_what_a_login_refuses(
    run: Run, urls: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password, none, a service that signs with a key, a password in the URL; nothing is kept."""
    stdin(monkeypatch, PASSWORD)
    assert run("login", urls["session"], "eve", "--create", "--signing=session").status == 0
    run("logout", urls["session"])
    for text, arguments, status, said in [
        ("wrong horse", (urls["session"], "eve"), 3, "1005: Invalid user ID or password"),
        ("", (urls["off"], "eve"), 2, "there is no password"),
        (PASSWORD, (urls["session"], "eve", "--signing=off"), 2, "write --signing=session"),
        (PASSWORD, (urls["off"], "eve", "--signing=rot13"), 2, "write one of"),
        (PASSWORD, (".", "eve"), 2, "write http://HOST/service"),
        (PASSWORD, ("http://127.0.0.1:1/service", "eve"), 6, "127.0.0.1"),
    ]:
        stdin(monkeypatch, text)
        done = run("login", *arguments)
        assert (done.status, done.out) == (status, ""), (arguments, done)
        assert said in done.err, (arguments, done)
        assert PASSWORD not in done.err
    assert files(tmp_path) == []


def test_a_terminal(run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the password is asked for, twice for a new account."""
    answers = iter([PASSWORD, "another horse", PASSWORD, PASSWORD, PASSWORD])
    stdin(monkeypatch, "")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    assert "the two passwords differ" in run("login", url, "tty", "--create").err
    assert run("login", url, "tty", "--create").status == 0
    assert run("login", url, "tty").status == 0
    assert list(answers) == []


def test_a_second_factor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code is the second line of the standard input, or is typed."""
    methods = {f"account.{name}": getattr(account, name) for name in ("create", "login", "logout")}
    methods["account.totp"] = totp
    with served(here={"methods": methods, "signing": "session", "secret_key": [SECRET_KEY]}) as urls:
        url = urls["here"]
        stdin(monkeypatch, PASSWORD)
        assert run("login", url, "ada", "--create").status == 0
        app = App(json.loads(run("call", url, "account.totp.enrol", "--json").out)["uri"])
        made = run("call", url, "account.totp.confirm", f"--code={app.code()}", "--json")
        codes = json.loads(made.out)["recovery_codes"]
        assert run("logout", url).status == 0
        stdin(monkeypatch, f"{PASSWORD}\n{codes[0]}\n")
        assert run("login", url, "ada") == (0, "", f"Logged in to {url} as ada\n")
        stdin(monkeypatch, f"{PASSWORD}\n")
        done = run("login", url, "ada")
        assert (done.status, "the account has a second factor" in done.err) == (2, True), done
        stdin(monkeypatch, f"{PASSWORD}\n{app.wrong}\n")
        assert run("login", url, "ada").status != 0
        stdin(monkeypatch, "")
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("getpass.getpass", lambda prompt: PASSWORD)
        monkeypatch.setattr("builtins.input", lambda prompt: codes[1])
        assert run("login", url, "ada").status == 0


def test_calls_that_change_the_session(
    run: Run, urls: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of the password replaces the kept session; an anonymous one is not kept."""
    url = urls["session"]
    assert run("call", url, "visit").status == 0
    assert files(tmp_path) == []
    stdin(monkeypatch, PASSWORD)
    run("login", url, "changing", "--create")
    before = kept.load(url)
    passwords = {"password": PASSWORD, "new_password": "battery staple"}
    stdin(monkeypatch, json.dumps(passwords))
    assert run("call", url, "account.update", "-").status == 0
    after = kept.load(url)
    assert before is not None
    assert after is not None
    assert after.session_id != before.session_id
    assert run("call", url, "notes.mine").out == "changing\n"
    assert run("call", url, "account.logout").status == 0
    assert files(tmp_path) == []


def test_a_user_in_process(run: Run, folder: None) -> None:
    """In process --user needs no password, and the account has to exist; without it nobody calls."""
    made = run("call", ".", "account.create", "--user-id=ada", f"--password={PASSWORD}")
    assert made.status == 0
    assert run("call", ".", "notes.mine", "--user=ada") == (0, "ada\n", "")
    assert run("call", ".", "notes.mine", "--user=bob").err == "toto-aio: --user: there is no account 'bob'\n"
    done = run("call", ".", "notes.mine")
    assert (done.status, "write --user=NAME to call as a user" in done.err) == (3, True)


def test_failures_in_process(run: Run, folder: None) -> None:
    """The author sees the traceback, without the lines of the framework; JSON has its last line."""
    done = run("call", ".", "broken")
    assert (done.status, done.err.splitlines()[-1]) == (1, "KeyError: 'x'")
    assert "dispatcher.py" not in done.err
    assert json.loads(run("call", ".", "broken", "--json").out)["error"] == {
        "code": 1000,
        "value": "KeyError: 'x'",
    }
    Path("toto.toml").write_text("prt = 1")
    assert run("call", ".", "greet").status == 2
    Path("other.toml").write_text('method_module = "no_such_package"')
    assert "there is no module 'no_such_package'" in run("call", "other.toml", "greet").err
