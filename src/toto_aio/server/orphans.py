"""The end of a worker whose master was killed, whatever the worker is doing.

Usually a thread notices that the master has ended (``shutdown.py``). It needs the GIL, which a C function may
keep for hours: the search for a regular expression, for example, in a text that somebody chose for it. Such a
process would keep the listening socket, and the service could not be started again. Only a signal ends it.
"""

from __future__ import annotations

import ctypes
import signal
from typing import Any

PR_SET_PDEATHSIG = 1
"""The kernel sends a signal when the parent ends (prctl(2))."""
SIG_IGN = 1


def end_with_master() -> None:
    """Have the kernel end this process half a minute after its master, unless ``survive_master`` is called.

    To be called early: a process that stands still while it starts has the listening socket, too.
    """
    libc = _libc()
    number = _orphan_signal()
    # The handler is alarm(2) itself, as one in Python would wait for the GIL. Its argument, the number of the
    # signal, is then the number of seconds until SIGALRM, which ends a process that does not handle it.
    libc.signal(number, ctypes.cast(libc.alarm, ctypes.c_void_p))
    libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number))


def survive_master() -> None:
    """Call off that end: Python still runs here, and ends the process itself."""
    _libc().signal(_orphan_signal(), SIG_IGN)  # the kernel sends it after the end of the channel
    signal.alarm(0)


def _libc() -> Any:
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    return libc


def _orphan_signal() -> int:
    return signal.SIGRTMIN  # 34 on Linux with glibc, and so 34 s
