"""Requests that are refused so often as a test says."""

from __future__ import annotations

from collections.abc import Callable

from weightdock.store.pace import Pace


class RefusedError(Exception):
    """A store's refusal."""


def patient(_: Exception) -> int:
    """It always passes."""
    return 1_000_000


def once(_: Exception) -> int:
    """It does not pass."""
    return 1


def fine() -> str:
    return "an answer"


class Refusing:
    """Refuses ``times`` times, and then answers. ``asked`` is when it was asked."""

    def __init__(self, times: int, clock: Callable[[], float]) -> None:
        self.errors = [RefusedError(f"refusal {number}") for number in range(1, times + 1)]
        self.asked: list[float] = []
        self._clock = clock

    def __call__(self) -> str:
        self.asked.append(self._clock())
        if len(self.asked) <= len(self.errors):
            raise self.errors[len(self.asked) - 1]
        return "an answer"


def succeed(pace: Pace, times: int) -> None:
    for _ in range(times):
        pace.ask(fine, once)
