"""What a driver that was killed left on the engine: found by its labels, removed by the next run on the same host."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def _here() -> str:
    """The host's name and, on Linux, the namespace of its pids: containers may share the one without the other."""
    try:
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # no Linux
        return socket.gethostname()


HOST = _here()


def is_abandoned(driver: str, alive: Callable[[int], bool] | None = None, host: str = HOST) -> bool:
    """Whether ``driver``, a label's ``host/namespace:pid``, was a process of this host and is no more.

    Of another host's drivers nothing can be known here, so what they made is theirs to remove.
    """
    where, _, pid = driver.rpartition(":")
    return where == host and pid.isascii() and pid.isdigit() and not (alive or is_alive)(int(pid))


def is_alive(pid: int) -> bool:
    """Whether a process of this host has this number now. In doubt it is alive."""
    if sys.platform == "win32":
        # There os.kill(pid, 0) would send Ctrl-C.
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # another user's
    return True
