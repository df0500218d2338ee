"""What makes the way to a store a narrow one, and how much is asked for on either."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much may be asked for at a time, and what makes a way narrow.

    It is one when the files that are being read get less than ``wide`` bytes a second together, for ``window``
    seconds, and one of them spends more than ``waiting`` of that on receiving: where they get more, more requests would
    only wait for each other, and neither a slow disk nor a busy bucket is faster for more of them. On a wide way a
    request is for ``request`` bytes: few spare the bucket, and longer ones can be dear to it (rclone, as a server,
    takes twice the processor time for a file of 100 MB in one). On a narrow way ``ahead`` ranges of ``piece`` bytes are
    under way or kept at most (160 MiB): at 30 MB/s and 20 ms each way, waiting is an eighth of a range's time. With
    fewer files than ``processors`` each may have several threads. ``files`` are under way at first, and as many as
    ``ahead`` where they only wait (node/turns.py).
    """

    wide: float = 250e6
    window: float = 0.5
    waiting: float = 0.5
    request: int = 32 * 1024 * 1024
    piece: int = 8 * 1024 * 1024
    ahead: int = 20
    processors: int = os.cpu_count() or 1
    files: int = min(8, 2 * (os.cpu_count() or 4))


LIMITS = Limits()


class Watch:
    """Whether one file's way is narrow; see :class:`Limits`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began: float | None = None
        self._before = 0
        self._waited = 0.0

    def hears_narrow(self, now: float, waited: float, came: int) -> bool:
        """Hear that some more was received until ``now``, for which the network took ``waited`` seconds.

        ``came`` is how many bytes all files have, all in all.
        """
        if self._began is None:
            self._began, self._before = now, came
            return False
        self._waited += waited
        passed = now - self._began
        if passed < self._limits.window:
            return False
        slow = came - self._before < self._limits.wide * passed
        narrow = slow and self._waited >= self._limits.waiting * passed
        self._began, self._before, self._waited = now, came, 0.0
        return narrow
