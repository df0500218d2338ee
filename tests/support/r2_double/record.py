"""Every request that came, as a test can ask for it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from threading import Lock

from support.r2_double.request import Cost, Operation, Request

_OF_INTEREST = (
    "content-length",
    "content-md5",
    "content-encoding",
    "expect",
    "if-match",
    "if-none-match",
    "range",
    "transfer-encoding",
    "user-agent",
)
_SECRET = ("x-amz-security-token",)


@dataclass
class Entry:
    """One request. ``status`` is 0 while, or because, it had no answer; times are monotonic seconds."""

    number: int
    operation: Operation
    method: str
    key: str
    query: str
    part: int | None
    cost: Cost
    headers: dict[str, str]
    began: float
    ended: float | None = None
    status: int = 0
    code: str = ""
    refused_by: str = ""
    faults: list[str] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0
    error: str = ""

    def as_json(self) -> dict[str, object]:
        """What travels from a double that runs as a process of its own."""
        return asdict(self)


class Record:
    """The requests in the order in which they came. An entry is complete once its client has the whole answer."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._lock = Lock()
        self._entries = list(entries)

    def begin(self, request: Request) -> Entry:
        """Note a request that has come."""
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in _OF_INTEREST or (name.startswith("x-amz-") and name not in _SECRET)
        }
        with self._lock:
            entry = Entry(
                number=len(self._entries) + 1,
                operation=request.operation,
                method=request.method,
                key=request.key,
                query=request.query,
                part=request.part,
                cost=request.cost,
                headers=headers,
                began=time.monotonic(),
            )
            self._entries.append(entry)
        return entry

    def entries(self, *operations: str, key: str = "") -> list[Entry]:
        """Those of these operations (all, if none is named) whose key ends with ``key``."""
        with self._lock:
            found = list(self._entries)
        return [one for one in found if (not operations or one.operation in operations) and one.key.endswith(key)]

    def operations(self) -> list[str]:
        """The operations' names, in their order: what a test compares whole."""
        return [str(entry.operation) for entry in self.entries()]

    def billed(self, cost: str) -> int:
        """How many operations of class ``A`` or ``B`` R2 would charge for: all but those it answers with 401."""
        return sum(entry.cost == cost and entry.status != 401 for entry in self.entries())

    def peak(self, *operations: str) -> int:
        """The largest number of requests that were under way at once."""
        edges = []
        for entry in self.entries(*operations):
            edges.append((entry.began, 1))
            if entry.ended is not None:
                edges.append((entry.ended, -1))
        highest = now = 0
        for _, step in sorted(edges):  # at the same instant an end sorts before a beginning
            now += step
            highest = max(highest, now)
        return highest

    def clear(self) -> None:
        """Forget what was."""
        with self._lock:
            self._entries.clear()
