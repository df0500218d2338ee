"""What a driver that was killed left on the engine: found by its labels, removed by the next run on the same host."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def _here() -> str:
    """The host's name, and on Linux what tells machines and containers apart that share it.

    That is the machine's id, as a digest since it is nobody else's business, and the namespace of the pids, whose
    number alone is the same on every machine.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):  # of a container, perhaps
        parts.append(hashlib.sha256(Path("/etc/machine-id").read_bytes()).hexdigest()[:12])
    with suppress(OSError):  # no Linux
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(parts)


HOST = _here()


def is_abandoned(driver: str, alive: Callable[[int], bool] | None = None, host: str = HOST) -> bool:
    """Whether ``driver``, a label's ``HOST:pid``, was a process of this host and is no more.

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
