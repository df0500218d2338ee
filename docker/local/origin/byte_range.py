"""The Range header of HTTP, as far as download clients use it: one range of bytes."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def byte_range(header: str | None, size: int) -> range | None:
    """Give the bytes that a request wants of a file, or None where it wants the whole.

    ValueError where a file of this size has none of them: status 416. A header that cannot be
    understood, or that asks for several ranges, counts as none (RFC 9110, section 14.2).
    """
    match = _RANGE.fullmatch(header or "")
    first, last = match.groups() if match else ("", "")
    if not (first or last):
        return None
    if first and last and int(last) < int(first):
        return None
    if first:
        wanted = range(int(first), min(int(last) + 1, size) if last else size)
    else:  # the last so many bytes
        wanted = range(max(0, size - int(last)), size)
    if not wanted:
        raise ValueError(f"no such bytes in a file of {size}: {header}")
    return wanted
