"""One model from R2 into the cache: pinned to one version, hashed while it arrives, gone on with where it stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from weightdock.artifact import Digest
from weightdock.cache import Cache
from weightdock.errors import IntegrityError, StoreError
from weightdock.events import Event, Observer, Stage, State
from weightdock.node.direct import BLOCK_BYTES, DirectFile
from weightdock.node.ranges import Ranges
from weightdock.store import Version
from weightdock.store.manifest import Entry
from weightdock.verify import Expectation, VerifiedFile, verify

_COPY_BYTES = 1024 * 1024
_BESIDE_BYTES = 1024 * 1024  # from which on handing a piece to a thread costs less than it saves
_LOOKS = 3


@dataclass(frozen=True)
class Fetch:
    """Where from, where to, and who hears of it."""

    prefix: str
    ranges: Ranges
    cache: Cache
    observe: Observer

    def run(self, entry: Entry) -> VerifiedFile:
        """Make the file that the manifest's ``entry`` describes exist in the cache.

        Raises IntegrityError when the store's bytes are others; then the cache has what it had before. Raises
        StoreError when the store does not give them, or the disk does not take them: a later run goes on from there.
        """
        version = Version(entry.key(self.prefix), entry.size_bytes)
        try:
            leftovers = self.cache.leftovers(entry.sha256)
            try:
                return self._download(entry, version, leftovers)
            except IntegrityError:
                if not leftovers or version.etag is None:  # of another size, whatever the half is
                    raise
            # It may have been what was here that was damaged, and not what the store has.
            self.cache.drop(leftovers)
            return self._download(entry, version, [])
        except StoreError:
            # Where locks lie, another process may have finished meanwhile, and cleared our half away. Its file has its
            # name before it has its receipt, and yet another may be about to replace both: so the file is read.
            for _ in range(_LOOKS):
                finished = self.cache.adopt(entry.model, entry.extension, entry.sha256)
                if finished:
                    return finished
            raise

    def _download(self, entry: Entry, version: Version, leftovers: Sequence[Path]) -> VerifiedFile:
        with self.cache.half(entry.model, entry.sha256) as path:
            with DirectFile(path) as file:
                streamed = self._stream(entry, version, file, leftovers)
            said = Expectation("the manifest", entry.size_bytes, entry.sha256)
            published = self.cache.publish(verify(entry.model, path, [said], streamed=streamed), entry.extension)
        self.cache.drop(list(leftovers))
        return published

    def _stream(self, entry: Entry, version: Version, into: DirectFile, leftovers: Sequence[Path]) -> Digest:
        digest, done = hashlib.sha256(), 0

        def take(piece: memoryview) -> None:
            nonlocal done
            if len(piece) < _BESIDE_BYTES or self.ranges.crowded:
                into.write(piece)
                digest.update(piece)
            else:  # the disk and a processor each have something to do
                writing = disk.submit(into.write, piece)
                digest.update(piece)
                writing.result()
            done += len(piece)
            self.observe(Event(entry.model, Stage.FETCH, State.PROGRESS, done, entry.size_bytes))

        with ThreadPoolExecutor(1, thread_name_prefix="disk") as disk:  # whose thread begins with the first large piece
            if leftovers:  # all but the last block, at most: the store's answer with it names the version
                _copy(leftovers[0], entry.size_bytes - 1, take)
            self.ranges.read(version, done, take)
        return Digest(digest.hexdigest())


def _copy(leftover: Path, most: int, take: Callable[[memoryview], None]) -> None:
    """What an earlier run left, as a copy: where locks lie, its writer may still be at it. In whole blocks."""
    try:
        stream = leftover.open("rb", buffering=0)
    except OSError:
        return  # finished by somebody else, or not for this user
    buffer = memoryview(mmap(-1, _COPY_BYTES))
    with stream:
        while most >= BLOCK_BYTES and (count := stream.readinto(buffer[:most])) >= BLOCK_BYTES:
            whole = count - count % BLOCK_BYTES
            take(buffer[:whole])
            most -= whole
            stream.seek(whole - count, os.SEEK_CUR)
