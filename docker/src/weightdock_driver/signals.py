"""Ctrl-C and friends as messages, so that no exception can fall between making a container and removing it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # SIGHUP: the terminal or the ssh session is gone; Windows has none


class Stopped(Exception):  # noqa: N818  # an order that was followed, not an error
    """The run was told to stop, and nothing of it runs. Its exit code is the shell's for the signal."""

    def __init__(self, by: signal.Signals, done: str = "removed everything") -> None:
        super().__init__(f"stopped by {by.name}")
        self.by = by
        self._done = done

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.by

    def __str__(self) -> str:
        return (
            f"stopped by {self.by.name}; {self._done}\n"
            "nothing half-written is visible, and the same command again goes on where this one stopped"
        )


@contextmanager
def delivered_to(put: Callable[[signal.Signals], None]) -> Iterator[None]:
    """While inside, a signal calls ``put`` and does nothing else. ``put`` must be reentrant, as SimpleQueue's is.

    A signal that is ignored (``nohup``, a shell's background job) stays ignored. Main thread only.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        put(signal.Signals(number))

    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [signal.signal(number, handle) for number in caught]
    try:
        yield
    finally:
        for number, handler in zip(caught, before, strict=True):
            # None is a handler that was not set from Python: the default is the nearest thing that can be set.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
