"""A Debian machine in a folder, on which a test runs the commands of docs/deploy.md.

The commands run as written, one after the other, except for what ``Debian`` and ``_COMMANDS`` replace:
paths, ports and addresses are those of the test, which need not be root; nothing is installed; systemd is
``Systemd``.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.support.pages import Block, Reader
from tests.support.servers.systemd import Systemd

BIN = Path(sys.executable).parent
FOLDERS = (
    "etc/systemd/system etc/nginx/sites-available etc/nginx/sites-enabled etc/redis etc/ssl run srv var/lib"
)
"""The folders that exist on a fresh machine, or that the packages create."""
_COMMANDS = """
cd "$PWD"
sudo() { while [[ $1 == --* ]]; do shift; done; "$@"; }
# The packages are those of tests/install_packages.
apt-get() { mkdir --parents $root/etc/postgresql/15/main/conf.d; }
# The domain does not exist: the certificate stays the one of the page, and curl gets its address and issuer.
certbot() { true; }
curl() {
    command curl --cacert $root/etc/ssl/notes/fullchain.pem --resolve notes.example:$tls:127.0.0.1 "$@"
}
# The environment has this toto-aio, and a pip that does nothing.
python3() {
    [ "$*" = "-m venv .venv" ] && mkdir --parents .venv/bin && ln --symbolic --force /bin/true .venv/bin/pip
    ln --symbolic --force $bin/toto-aio $bin/python .venv/bin
}
# "Your own machine" is another folder.
rsync() { local to=${*: -1}; (cd $home && mkdir --parents ${to#*:} && cp --recursive ${*: -2:1}. ${to#*:}); }
nginx() { command $nginx "$@"; }
# A person would run it a moment later.
journalctl() {
    until grep -E 'Serving|restarting|Nothing' $root/journal | tail --lines=1 | grep --quiet Serving; do
        sleep 0.05
    done
    tail --lines ${*: -1} $root/journal
}
"""


class Debian:
    """A machine whose folders are below ``root``, and on which ``reader`` types the commands.

    ``words`` are patterns and their replacements in the test, in order, and ``variables`` are those of the
    shell. ``others`` are services that are not below ``root``, each with what restarts or reloads it.
    """

    def __init__(
        self,
        root: Path,
        reader: Reader,
        words: Mapping[str, str],
        variables: Mapping[str, object],
        others: Mapping[str, Callable[[], None]],
    ) -> None:
        for folder in FOLDERS.split():
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.root = root
        self.systemd = Systemd(root)
        self._reader = reader
        self._words = {**words, r"(?<![\w.])/(etc|run|srv|var)/": rf"{root}/\1/"}
        self._others = others
        known = {**variables, "root": root, "home": reader.folder, "bin": BIN}
        reader.shell("\n".join(f"{name}={shlex.quote(str(value))}" for name, value in known.items()))

    def adapt(self, text: str) -> str:
        """Adapt a text of the page or the project to this machine."""
        for pattern, replacement in self._words.items():
            text = re.sub(pattern, replacement, text)
        return text

    def follow(self, blocks: Iterable[Block]) -> None:
        """Run the commands of blocks. Raises ``AssertionError`` if the output is not what they show."""
        printed: str | None = None
        for block in blocks:
            try:
                if block.language == "sh":
                    printed = "".join(map(self._run, lines(self.adapt(block.code))))
                elif printed is not None:
                    self._reader.expect(self.adapt(block.code), printed)
            except Exception as exc:
                exc.add_note(f"{block.place}:\n{block.code}\n{self.systemd.journal.read_text()[-2000:]}")
                raise

    def _run(self, line: str) -> str:
        words = shlex.split(line)
        if words[:2] != ["sudo", "systemctl"]:
            return self._reader.shell(_COMMANDS + line)
        verb, *names = (word for word in words[2:] if word != "--now")
        for name in names:
            self._do(verb, name)
        return ""

    def _do(self, verb: str, name: str) -> None:
        if name in self._others:
            assert verb in ("restart", "reload")
            self._others[name]()
        elif name.endswith(".timer"):
            assert (self.root / "etc/systemd/system" / name).exists()
        elif verb == "restart":
            self.systemd.stop(name)
            self.systemd.start(name)
        else:
            VERBS[verb](self.systemd, name)


VERBS: dict[str, Callable[[Systemd, str], None]] = {
    "enable": Systemd.start,  # always with --now
    "start": Systemd.start,
    "stop": Systemd.stop,
    "reload": Systemd.reload,
}


def lines(script: str) -> Iterable[str]:
    """The commands of a script, each of which must succeed."""
    whole = re.sub(r"\\\n\s*|(?<=\|)\n\s*", " ", script)
    return (command for line in whole.splitlines() for command in line.split(" && "))
