"""Seconds that pass only while somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition


class Time:
    """For one thread. ``slept`` is every sleep; ``meanwhile`` is done once, at the beginning of the next one."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.meanwhile: Callable[[], None] | None = None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        do, self.meanwhile = self.meanwhile, None
        if do:
            do()
        self.now += seconds


class SharedTime:
    """For ``workers`` threads: it passes when all of them sleep, up to the next that wakes."""

    def __init__(self, workers: int) -> None:
        self.now = 0.0
        self._workers = workers
        self._changed = Condition()
        self._until: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._changed:
            until = self.now + seconds
            self._until.append(until)
            self._changed.notify_all()
            self._pass()
            self._changed.wait_for(lambda: self.now >= until)

    def wait_for_sleepers(self, count: int) -> None:
        """Return when so many workers sleep."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._until) >= count)

    def leave(self) -> None:
        """A worker has ended, and nobody waits for it."""
        with self._changed:
            self._workers -= 1
            self._pass()

    def _pass(self) -> None:
        if self._until and len(self._until) == self._workers:
            self.now = min(self._until)
            self._until = [until for until in self._until if until > self.now]
            self._changed.notify_all()
