"""How fast a process may ask: all of its workers slow down together, and speed up again together.

R2 answers 429 above one write a second per key, and 5xx when a bucket is overloaded: then every worker that goes on
at its old pace makes it worse (https://developers.cloudflare.com/r2/platform/limits/). So one :class:`Pace` is shared
by all requests of a process. A refusal makes all of them wait, twice as long each time, with jitter; a success lets
them go faster. A budget of retries bounds what one run may ask for in vain.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_Answer = TypeVar("_Answer")

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 20.0
ATTEMPTS = 8
"""Of one request, the first included."""

BUDGET = 60
"""Retries that a process has; a tenth of one comes back with each success."""

SLOTS = 16
"""From far away it is their number that counts; beyond, small files would lose over loopback what they gain there."""

_TENTHS = 10  # the budget is counted in tenths of a retry, which add up exactly


class Pace:
    """Shared by the workers of a process. ``slots`` is how many files and parts may be on their way to the store."""

    def __init__(
        self,
        slots: int = SLOTS,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._clock = clock
        self._changed = threading.Condition()
        self._not_before = 0.0
        self._pause = 0.0
        self._budget = BUDGET * _TENTHS
        self._limit = self._most = slots
        self._in_flight = 0
        self._calm = 0  # successes since the limit last changed

    def ask(self, request: Callable[[], _Answer], passing: Callable[[Exception], int]) -> _Answer:
        """The answer to ``request``, asked again after refusals that pass.

        ``passing`` says how often an error may be met for one request: 1 means that it will not pass. Raises the
        last error when that, or the budget, is used up, and after :meth:`stop`.
        """
        attempt = 0
        self._wait(0.0)
        while True:
            attempt += 1
            try:
                answer = request()
            except Exception as error:
                pause = None if attempt >= passing(error) else self._slow_down(attempt)
                if pause is None:
                    raise
                self._wait(self._clock() + pause)
                if self._stopped.is_set():
                    raise
            else:
                self._speed_up()
                return answer

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait until one more file or part may be in flight. Raises KeyboardInterrupt after :meth:`stop`."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped.is_set() or self._in_flight < self._limit)
            self.go_on()
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify()

    def stop(self) -> None:
        """Let nothing more be in flight than is, nothing that is refused be asked again, and nobody wait."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()

    def go_on(self) -> None:
        """Raise KeyboardInterrupt after :meth:`stop`."""
        if self._stopped.is_set():
            raise KeyboardInterrupt

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return self._limit

    def _wait(self, until: float) -> None:
        while (left := max(self._not_before, until) - self._clock()) > 0 and not self._stopped.is_set():
            self._sleep(left)

    def _slow_down(self, attempt: int) -> float | None:
        """Make everybody wait; how long this request does, which the successes of others do not shorten.

        None when the budget is used up.
        """
        with self._changed:
            if self._stopped.is_set() or self._budget < _TENTHS:
                return None
            self._budget -= _TENTHS
            self._calm = 0
            # Refusals that were under way when the first one came belong to the same overload: they count once.
            if self._clock() >= self._not_before:
                self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                self._limit = max(1, self._limit // 2)
            jitter = random.uniform(0.5, 1.5)  # noqa: S311  # no secret
            self._not_before = max(self._not_before, self._clock() + self._pause * jitter)
            own = min(FIRST_PAUSE_SECONDS * float(2 ** (attempt - 1)), LONGEST_PAUSE_SECONDS)
            return max(self._pause, own) * jitter

    def _speed_up(self) -> None:
        with self._changed:
            self._pause = self._pause / 2 if self._pause > FIRST_PAUSE_SECONDS else 0.0
            self._budget = min(self._budget + 1, BUDGET * _TENTHS)
            self._calm += 1
            if self._calm >= self._limit and self._limit < self._most:
                self._limit, self._calm = self._limit + 1, 0
                self._changed.notify()
