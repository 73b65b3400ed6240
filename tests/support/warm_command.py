"""``toto-aio`` as a shell of the tests finds it: asks the mould for a fork, and stands for it.

tests/support/warm.py writes a copy of this into a folder that comes first on the PATH of a shell, as a
program. Beside it are ``mould``, the socket of the mould; ``suits``, the variables that Python reads at its
start, as the mould has them; and ``cold``, a link to the installed program, which takes its place if a fork
could differ. The fork has its files, folder and environment. Its status becomes the one of this program,
which passes on signals; KILL ends both. It imports only what is built in, so it costs 20 ms.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import posix
import sys

NUMBERS = (
    *(_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT),
    *(_signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGWINCH),
)
LARGEST = 100_000
"""Bytes of a request, which the mould takes at once."""
OPEN = ["0", "1", "2", "3"]
"""The open files, with the folder that is read to see them."""


def main() -> None:
    """Ask, pass on signals, and end as the fork ends."""
    here = sys.argv[0].rpartition("/")[0]
    cold = posix.readlink(f"{here}/cold")
    blocked = _signal.pthread_sigmask(_signal.SIG_BLOCK, NUMBERS)
    try:
        connection, pid = asked(here, cold)
    except OSError:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)
        posix.execv(cold, [cold, *sys.argv[1:]])
    for number in NUMBERS:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, lambda number, _: posix.kill(pid, number))
    _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)
    answer = connection.recv(LARGEST)
    if not answer:
        print("the mould of the tests has ended", file=sys.stderr)
        posix._exit(1)
    status = posix.waitstatus_to_exitcode(int(answer))
    if status < 0:
        if -status in NUMBERS:
            _signal.signal(-status, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -status)
    posix._exit(status)


def asked(here: str, cold: str) -> tuple[_socket.socket, int]:
    """A fork's connection and id. Raises ``OSError`` if it must be a new interpreter, or no mould answers."""
    environment = posix.environ
    with open(f"{here}/suits", "rb") as file:
        names, expected = marshal.load(file)  # noqa: S302 of warm.py
    suits = (
        {name: value for name, value in environment.items() if name.startswith(names)} == expected
        and sorted(posix.listdir("/proc/self/fd")) == OPEN
        and not any(map(posix.isatty, range(3)))
    )
    umask = posix.umask(0)
    posix.umask(umask)
    ignored = [int(each) for each in NUMBERS if _signal.getsignal(each) == _signal.SIG_IGN]
    command = [sys.executable, cold, *sys.argv[1:]]
    request = marshal.dumps((command, posix.getcwd(), environment, umask, ignored))
    if not suits or len(request) > LARGEST:
        raise OSError
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    connection.connect(f"{here}/mould")
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    pid = int(connection.recv(LARGEST) or 0)
    if not pid:
        raise OSError
    return connection, pid


if __name__ == "__main__":
    main()
