"""Failures on demand, for tests: `serve.py --faults FILE`, read again for each request.

    {"yolo11n.pt": {"status": 404},                             another status, and no file
     "yolo11n-seg.pt": {"truncate_at": 1000},                   all bytes promised, the connection
                                                                closed after so many
     "resolve/main/model.safetensors": {"short": 1000},         a shorter file, honestly announced
     "yolo11n-pose.pt": {"flip_byte_at": 4096},                 one byte changed
     "sam2_t.pt": {"delay_seconds": 3, "method": "GET"}}        late, and only for one method

A key is the end of a request's path; the longest that fits counts. Offsets are bytes of the file,
also in the answer to a Range request: who resumes a truncated download meets the same end again.
The digests that the APIs and headers give stay those of the true file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; by default nothing."""

    status: int | None = None
    truncate_at: int | None = None
    short: int | None = None
    flip_byte_at: int | None = None
    delay_seconds: float = 0.0
    method: str | None = None


def read(file: Path | None, method: str, path: str) -> Fault:
    """Find the fault of one request; TypeError where FILE names a fault that does not exist.

    A file that is not there means that nothing fails: a test ends a failure by removing it.
    """
    try:
        known = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except FileNotFoundError:
        return Fault()
    for suffix in sorted(known, key=len, reverse=True):
        fault = Fault(**known[suffix])
        if path.partition("?")[0].endswith(suffix) and fault.method in (None, method):
            return fault
    return Fault()
