"""One model from R2 into the cache: pinned to one version, hashed while it arrives, gone on with where it stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from weightdock.artifact import Digest
from weightdock.cache import Cache
from weightdock.errors import IntegrityError, StoreError
from weightdock.events import Event, Observer, Stage, State
from weightdock.node.ranges import Ranges
from weightdock.store import Version
from weightdock.store.manifest import Entry
from weightdock.verify import Expectation, VerifiedFile, verify

_COPY_BYTES = 1024 * 1024
_WRITE_OUT_BYTES = 32 * 1024 * 1024
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
        with self.cache.partial(entry.model, resumable=True) as folder:
            path = folder / entry.sha256.hex
            with path.open("xb", buffering=0) as stream:
                streamed = self._stream(entry, version, stream, leftovers)
            said = Expectation("the manifest", entry.size_bytes, entry.sha256)
            published = self.cache.publish(verify(entry.model, path, [said], streamed=streamed), entry.extension)
        self.cache.drop(list(leftovers))
        return published

    def _stream(self, entry: Entry, version: Version, into: BinaryIO, leftovers: Sequence[Path]) -> Digest:
        digest, done, sent_to_disk = hashlib.sha256(), 0, 0

        def take(piece: bytes) -> None:
            nonlocal done, sent_to_disk
            _write(into, piece)
            digest.update(piece)
            done += len(piece)
            if done - sent_to_disk >= _WRITE_OUT_BYTES:
                _write_out(into, sent_to_disk, done)
                sent_to_disk = done
            self.observe(Event(entry.model, Stage.FETCH, State.PROGRESS, done, entry.size_bytes))

        if leftovers:
            _copy(leftovers[0], entry.size_bytes, take)
        self.ranges.read(version, done, take)
        return Digest(digest.hexdigest())


def _write(into: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:  # a file without a buffer may take less than it is given
        view = view[into.write(view) :]


def _write_out(file: BinaryIO, start: int, end: int) -> None:
    """Let the disk begin, so that the fsync at the end has little left to wait for.

    Linux does so when it is told that pages are not needed, and drops only those that were on the disk already.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)


def _copy(leftover: Path, most: int, take: Callable[[bytes], None]) -> None:
    """What an earlier run left, as a copy: where locks lie, its writer may still be at it."""
    try:
        with leftover.open("rb") as stream:
            while most > 0 and (piece := stream.read(min(_COPY_BYTES, most))):
                most -= len(piece)
                take(piece)
    except FileNotFoundError:
        return  # finished, by somebody else
