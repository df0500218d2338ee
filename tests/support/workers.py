"""Threads of a test that may wait for ever when the code is wrong: then the test fails, and goes on without them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from time import monotonic

SECONDS = 10
"""After this long a thread waits in vain."""


def at_work(work: Callable[[int], None], workers: int) -> None:
    """Do ``work(0)``, ``work(1)``, … at once. Raises the first error of any, and TimeoutError when one does not end."""
    errors: list[Exception] = []

    def one(number: int) -> None:
        try:
            work(number)
        except Exception as error:  # noqa: BLE001  # whatever it was, the test's own thread raises it
            errors.append(error)

    threads = [Thread(target=one, args=(number,), daemon=True) for number in range(workers)]
    until = monotonic() + SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, until - monotonic()))
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError(f"a thread was still waiting after {SECONDS} seconds")
