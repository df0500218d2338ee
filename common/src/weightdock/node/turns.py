"""How many files a run has under way: few where they keep the processor busy, more where all of them only wait.

More files than a machine has work for take each other's time: Python runs one thread at a time. But of a store that is
far away a small file is hardly more than the wait for its first byte, and a few at a time would be a few of those.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

_WINDOW_SECONDS = 0.1
_BUSY = 0.5  # of one processor; a fill over loopback is at 0.85 and more, and small files 20 ms away are at 0.25


class Turns:
    """Shared by the threads of a run. ``few`` files are under way at first, and ``most`` at most."""

    def __init__(self, few: int, most: int) -> None:
        self.limit = few
        """How many may be under way now."""
        self._most = most
        self._taken = 0
        self._since, self._used = time.monotonic(), time.process_time()
        self._changed = Condition()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait until one more file may be under way."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self.limit)
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._look()
                self._changed.notify(self.limit - self._taken)  # all would wake up one after another, and in vain

    def _look(self) -> None:
        now, used = time.monotonic(), time.process_time()
        passed = now - self._since
        if passed < _WINDOW_SECONDS:
            return
        if used - self._used < _BUSY * passed:
            self.limit = min(2 * self.limit, self._most)
        self._since, self._used = now, used
