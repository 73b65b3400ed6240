"""``toto-aio completion``: a script for the shell, and what the script asks for at each press of Tab."""

from __future__ import annotations

import asyncio
import io
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout

from toto_aio.settings import SettingsError

HARMLESS = re.compile(r"[\w.,:/@%+=~-]+", re.ASCII)
"""What may be put into a command line: names in the document of a stranger are not to be run by the shell."""
SEPARATORS = re.compile(r"[();<>|&]+")

Commands = Mapping[str, Callable[[], Sequence[str]]]
"""The commands, with what gives the options of each."""


def script(shell: str) -> str:
    """The script for a shell. Raises ``SettingsError``."""
    if shell not in SCRIPTS:
        raise SettingsError(f"completion: write one of {', '.join(SCRIPTS)}, not {shell!r}")
    return SCRIPTS[shell]


def completions(line: str, commands: Commands, breaks: str = "") -> list[str]:
    """What the last word of a line may become, sorted.

    bash replaces only what follows the last of its ``breaks`` in the word, so this is what it gets.
    """
    words = _words(line)
    if not words:
        return []
    *before, word = words[1:]
    found = {each for each in _candidates(before, word, commands) if each.startswith(word)}
    cut = max((word.rfind(each) for each in breaks if not each.isspace()), default=-1) + 1
    return sorted(each[cut:] for each in found if HARMLESS.fullmatch(each))


def _words(line: str) -> list[str]:
    """The words of the last command of a line; the last one may be empty, as nothing of it is typed yet."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # within quotation marks
        return []
    if not line or line[-1].isspace():
        words.append("")
    for place in reversed(range(len(words))):
        if SEPARATORS.fullmatch(words[place]):
            words = words[place + 1 :]
            break
    return words if len(words) > 1 else []


def _candidates(before: Sequence[str], word: str, commands: Commands) -> Iterable[str]:
    if not before:
        return commands
    if before[0] == "call":
        try:
            from toto_aio.cli.call.offered import offered  # here, as the other commands need no client

            with redirect_stdout(io.StringIO()):  # what the author's modules print
                return asyncio.run(offered(before[1:], word))
        except (Exception, SystemExit):
            return []
    if before[0] == "accounts":
        from toto_aio.cli.accounts.command import words_after

        return words_after(before[1:])
    if before[0] in ("login", "logout") and not word.startswith("-"):
        from toto_aio.cli.call.kept import known_urls

        return known_urls()
    return commands[before[0]]() if before[0] in commands else ()


SCRIPTS: Mapping[str, str] = {
    "bash": """\
_toto_aio() {
    mapfile -t COMPREPLY < <("$1" completion bash --line="${COMP_LINE:0:COMP_POINT}" \\
        --breaks="$COMP_WORDBREAKS" 2>/dev/null)
    case "${COMPREPLY[0]}" in
        *=|*/) compopt -o nospace ;;
    esac
}
complete -F _toto_aio toto-aio
""",
    "zsh": """\
#compdef toto-aio
_toto_aio() {
    local -a found
    found=("${(@f)$(toto-aio completion zsh --line="$LBUFFER" 2>/dev/null)}")
    compadd -S '' -- ${(M)found:#*[=/]}
    compadd -- ${found:#*[=/]}
}
if [ "$funcstack[1]" = "_toto_aio" ]; then
    _toto_aio "$@"
else
    compdef _toto_aio toto-aio
fi
""",
    "fish": """\
complete -c toto-aio -f -a '(toto-aio completion fish --line=(commandline -cp | string collect) 2>/dev/null)'
""",
}
"""What each shell runs when it starts."""
