"""Take from this process what Python on Windows lacks, then run the driver, with an engine that plays.

``python as_on_windows.py [ARGUMENT…]``. The standard library goes on believing that it is on Linux, so paths, terminals
and pipes are not tried by this: only that no module of the driver's, nor of weightdock's that it imports, asks for what
is not there.
"""

from __future__ import annotations

import os
import pkgutil
import signal
import sys
from importlib import import_module

# https://docs.python.org/3.11/library: what it says is available on Unix only.
_MODULES = ("crypt", "curses", "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
_OF_OS = (
    *("chown", "chroot", "fchdir", "fchmod", "fchown", "lchown", "mkfifo", "mknod", "statvfs", "sync", "uname"),
    *("fork", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getsid", "getuid", "nice", "sysconf"),
    *("killpg", "openpty", "posix_fadvise", "posix_spawn", "pread", "pwrite", "sched_getaffinity", "sendfile"),
    *("setegid", "seteuid", "setgid", "setpgid", "setsid", "setuid", "ttyname", "wait", "wait3", "wait4"),
)
_OF_SIGNAL = (
    *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGUSR1"),
    *("SIGUSR2", "SIGWINCH", "alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "sigwait"),
)


def _take_away() -> None:
    for name in _MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails from now on
    for owner, names in ((os, _OF_OS), (signal, _OF_SIGNAL)):
        for name in names:
            delattr(owner, name)


if __name__ == "__main__":
    _take_away()
    import weightdock_driver
    from support.driver_fakes import TIMM, ULTRALYTICS, FakeEngine, Play, reported, result
    from weightdock import catalogue

    modules = {
        name: import_module(f"weightdock_driver.{name}")
        for _, name, _ in pkgutil.iter_modules(weightdock_driver.__path__)
    }
    every = Play(reported(*(result(str(spec.model)) for spec in catalogue.select())))
    engine = FakeEngine({TIMM: every, ULTRALYTICS: every, "weightdock/node": every})
    vars(modules["engine"])["Engine"] = lambda: engine
    sys.exit(modules["cli"].main(sys.argv[1:]))
