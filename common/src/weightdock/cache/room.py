"""Room for what is to come: the disk's, and below a cap what was used longest ago goes first.

A file is spared while a process that resolved it lives (see locks.py), while it is linked into another place too
(removing it would free nothing), and when a glob of WEIGHTDOCK_PINNED names it. What this cannot know: who got a path
from the command line and reads it later, and who reads the cache from another machine or through another kernel. On
Linux such a reader keeps an open file even so, and is at worst made to fetch it again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from weightdock.cache import Cache
from weightdock.cache.locks import exclusive, leased, remove
from weightdock.errors import DiskError
from weightdock.events import megabytes

_log = logging.getLogger("weightdock")

_SPARE_BYTES = 64 * 1024 * 1024
"""Of a disk, left to everybody else."""


@dataclass(frozen=True)
class _Kept:
    path: Path
    size_bytes: int
    last_used_ns: int


@dataclass(frozen=True)
class Room:
    """What a cache may hold. ``cap_bytes`` None is no cap; ``pinned`` are globs of ``framework/name``."""

    cache: Cache
    cap_bytes: int | None = None
    pinned: tuple[str, ...] = ()

    def make(self, coming: Mapping[Path, int], wanted: Collection[Path]) -> None:
        """See that the files that are ``coming``, of so many bytes, fit, evicting what is not ``wanted``.

        Raises DiskError when they cannot.
        """
        if self.cap_bytes is None:
            self._look_at_disk(coming, 0)
            return
        # One at a time: while another looks whether a file is leased, it has the lock of one who uses it.
        with exclusive(self.cache.root / ".locks" / "room", f"makes room in {self.cache.root}", lambda: None):
            chosen = self._choose(coming, self.cap_bytes, wanted)
            self._look_at_disk(coming, sum(one.size_bytes for one in chosen))  # or they would go in vain
            self._evict(chosen)

    def _look_at_disk(self, coming: Mapping[Path, int], freed_bytes: int) -> None:
        needed_bytes = sum(coming.values())
        # By access, to which what may not be looked at is not there, and is no error: who writes there says so.
        existing = next(one for one in (self.cache.root, *self.cache.root.parents) if os.access(one, os.F_OK))
        disk = os.statvfs(existing)
        free = disk.f_bavail * disk.f_frsize + freed_bytes
        are_free = "are free or could be" if freed_bytes else "are free"
        if needed_bytes and needed_bytes + _SPARE_BYTES > free:
            raise DiskError(
                f"the disk of {self.cache.root} has no room",
                cause=f"{megabytes(needed_bytes)} are to come, {megabytes(free)} {are_free}, and "
                f"{megabytes(_SPARE_BYTES)} must stay free",
                next="make room, or name another disk: WEIGHTDOCK_CACHE=<a folder there>",
            )

    def _choose(self, coming: Mapping[Path, int], cap_bytes: int, wanted: Collection[Path]) -> list[_Kept]:
        kept = [one for one in self._kept() if one.path not in coming]  # what comes takes its place
        over = sum(one.size_bytes for one in kept) + sum(coming.values()) - cap_bytes
        chosen: list[_Kept] = []
        for one in sorted(kept, key=lambda one: one.last_used_ns):
            if over <= 0:
                break
            if one.path not in wanted and not self._is_spared(one.path):
                chosen.append(one)
                over -= one.size_bytes
        if over > 0 and coming:  # then evicting would cost, and not help
            raise DiskError(
                f"the cache {self.cache.root} has no room under its cap",
                cause=f"of {megabytes(cap_bytes)} it lacks {megabytes(over)}; what is used, pinned or asked for stays",
                next="raise WEIGHTDOCK_CACHE_BYTES, or ask for fewer models",
            )
        if over > 0:
            _log.warning(
                "warning: the cache is %s over WEIGHTDOCK_CACHE_BYTES: what was asked for stays", megabytes(over)
            )
        return chosen

    def _evict(self, chosen: Sequence[_Kept]) -> None:
        for one in chosen:
            # The receipt last: a file without one is counted for nothing, and would stay for ever. And not that of a
            # file that another process has put there since.
            with suppress(OSError):
                if remove(one.path) and not one.path.exists():
                    self.cache.receipt(one.path).unlink()
                    gone = one.path.relative_to(self.cache.root), megabytes(one.size_bytes)
                    _log.warning("removed %s, %s, from the cache: WEIGHTDOCK_CACHE_BYTES", *gone)

    def _kept(self) -> Sequence[_Kept]:
        found = []
        for receipt in (self.cache.root / ".receipts").glob("*/*.json"):
            path = self.cache.root / receipt.parent.name / receipt.name.removesuffix(".json")
            with suppress(OSError):
                found.append(_Kept(path, path.stat().st_size, receipt.stat().st_mtime_ns))
        return found

    def _is_spared(self, path: Path) -> bool:
        name = f"{path.parent.name}/{path.stem}"
        if any(fnmatchcase(name, glob) or fnmatchcase(path.stem, glob) for glob in self.pinned):
            return True
        with suppress(FileNotFoundError):  # which another process evicted just now
            return path.stat().st_nlink > 1 or leased(path, unknown=True)
        return False
