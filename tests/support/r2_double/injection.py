"""Which requests a fault is laid on, and how many it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from support.r2_double.fault import Fault
from support.r2_double.hooks import Pause
from support.r2_double.request import Request


@dataclass(frozen=True)
class When:
    """The requests that match all that is given, from the ``nth`` on, so many ``times`` (None: for ever).

    ``operation`` is S3's name, ``key`` how the key ends. ``predicate`` is not for a double in another process.
    """

    operation: str = ""
    method: str = ""
    key: str = ""
    part: int | None = None
    nth: int = 1
    times: int | None = 1
    predicate: Callable[[Request], bool] | None = None

    def matches(self, request: Request) -> bool:
        """Whether this request is one to count."""
        return (
            self.operation in ("", request.operation)
            and self.method in ("", request.method)
            and request.key.endswith(self.key)
            and self.part in (None, request.part)
            and (self.predicate is None or self.predicate(request))
        )


class Injection:
    """A fault in place. ``struck`` is how many requests it was laid on."""

    def __init__(self, number: int, fault: Fault, when: When) -> None:
        self.number = number
        self.fault = fault
        self.when = when
        self.struck = 0
        self._matched = 0

    def lay_on(self, request: Request) -> bool:
        """Whether this request has to suffer it."""
        if not self.when.matches(request):
            return False
        self._matched += 1
        times = self.when.times
        strikes = self._matched >= self.when.nth and (times is None or self._matched < self.when.nth + times)
        self.struck += strikes
        return strikes

    @property
    def arrived(self) -> bool:
        """Whether a request stands still at a :class:`Pause`."""
        return isinstance(self.fault, Pause) and self.fault.arrived.is_set()

    def release(self) -> None:
        """Let the request at a :class:`Pause` go on."""
        if isinstance(self.fault, Pause):
            self.fault.released.set()


class Injections:
    """All faults in place; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._number = 0
        self._placed: list[Injection] = []

    def place(self, fault: Fault, when: When) -> Injection:
        """From the next request on."""
        with self._lock:
            self._number += 1
            injection = Injection(self._number, fault, when)
            self._placed.append(injection)
        return injection

    def on(self, request: Request) -> list[Fault]:
        """What this request has to suffer."""
        with self._lock:
            return [injection.fault for injection in self._placed if injection.lay_on(request)]

    def placed(self) -> list[Injection]:
        """Those that are in place."""
        with self._lock:
            return list(self._placed)

    def clear(self) -> None:
        """Take all away, and let go whom they hold."""
        with self._lock:
            placed, self._placed = self._placed, []
        for injection in placed:
            injection.release()
