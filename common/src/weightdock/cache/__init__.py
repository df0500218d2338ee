"""The cache of a machine: files that were verified before they got their names.

::

    <WEIGHTDOCK_CACHE>/                 /workspace/data/.cache/models
    ├── timm/convnext_tiny.pth          verified, complete, never written in place
    ├── .receipts/timm/convnext_tiny.pth.json
    │                                   what was verified: size, mtime, inode, sha256; its own mtime is the last use
    ├── .locks/timm-convnext_tiny       empty; whoever holds it fetches the model, the others wait
    ├── .locks/publish-timm-…           empty; held for the moment in which an uploader's file gets its name
    ├── .locks/room                     empty; whoever holds it chooses what goes, and removes it
    ├── .partial/                       one file per download of a node, one folder per download of a loader's
    ├── .uploads/                       uploads in parts that were begun (uploaders only; see store/unfinished.py)
    └── .origin/timm/…                  the framework's own caches (uploaders only; see origins/child.py)

A file comes into being by fsync and rename, so a reader sees all of it or nothing, whatever is killed when. A machine
that loses its power may lose the last names, and fetches those files again. The receipt lets a warm start trust the
file without reading it; a file that changed since has another size, mtime or inode, and its receipt counts for nothing.
Everything is writable by the group, for users of one machine.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from errno import EXDEV
from pathlib import Path

from weightdock.artifact import Digest, ModelId, Provenance, file_name
from weightdock.cache import locks
from weightdock.errors import ConfigurationError, DiskError, StoreError, WeightdockError
from weightdock.shared_files import FILE_MODE, FOLDER_MODE, make_folder, unique, write
from weightdock.verify import Identity, VerifiedFile, identity_of, sha256_of

_ABANDONED_SECONDS = 24 * 3600
"""A download that nobody wrote to for so long is not gone on with."""


class Cache:
    """The cache at ``root``. Makes folders when it writes, so a read-only cache can be read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, model: ModelId, extension: str) -> Path:
        """Where the model's file is, or would be."""
        return self.root / model.framework / file_name(model, extension)

    def find(self, model: ModelId, extension: str) -> VerifiedFile | None:
        """The model's file when it is there and is still what was verified. Reads no more than its receipt."""
        path = self.path(model, extension)
        try:
            receipt = json.loads(self.receipt(path).read_bytes())
            identity = identity_of(path.stat())
            if (receipt["size"], receipt["mtime_ns"], receipt["inode"]) != identity:
                return None
            origin = receipt["provenance"]
            provenance = None if origin is None else Provenance.read(origin)
            return VerifiedFile(model, path, identity[0], Digest(receipt["sha256"]), provenance, identity=identity)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, WeightdockError):
            return None  # no file, no receipt, or a receipt that says nothing: all mean "not verified"

    def was(self, model: ModelId, extension: str) -> Digest | None:
        """The digest that the receipt names, whether or not the file is still what it was written for."""
        try:
            return Digest(json.loads(self.receipt(self.path(model, extension)).read_bytes())["sha256"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, WeightdockError):
            return None

    def adopt(
        self, model: ModelId, extension: str, sha256: Digest, go_on: Callable[[], None] = lambda: None
    ) -> VerifiedFile | None:
        """Read the file that is there; when it has this digest, write it a new receipt.

        For a file that was copied or touched, or whose receipt was lost. None when it is something else, or gone; a
        receipt that says otherwise of what was read is not believed any more. ``go_on`` is called meanwhile, and may
        raise.
        """
        path = self.path(model, extension)
        try:
            before = identity_of(path.stat())
            found = sha256_of(path, go_on)
            if identity_of(path.stat()) != before:
                return None
            if found != sha256:
                if found != self.was(model, extension):
                    self.receipt(path).unlink(missing_ok=True)
                return None
        except OSError:
            return None
        known = self.find(model, extension)
        adopted = VerifiedFile(model, path, before[0], sha256, known.provenance if known else None, identity=before)
        with suppress(OSError):  # a cache that cannot be written is read again
            self._certify(adopted, before)
        return adopted

    @contextmanager
    def partial(self, model: ModelId) -> Iterator[Path]:
        """A new, empty folder for one download, on the cache's own file system; gone afterwards.

        Raises ConfigurationError when the cache cannot be written, or is not on one file system, and DiskError when the
        disk does not take the file.
        """
        from tempfile import mkdtemp  # a sixth of a warm start, which writes nothing

        with self._writable():
            folder = Path(mkdtemp(prefix=f"{model.framework}-{model.name}-", dir=self._home_of(model)))
            folder.chmod(FOLDER_MODE)
        try:
            with self._written(model):
                yield folder
        finally:
            _remove(folder)

    @contextmanager
    def half(self, model: ModelId, sha256: Digest) -> Iterator[Path]:
        """A new, empty file for one download of what has this digest; gone afterwards, when it has got no other name.

        One that is not empty stays when the store, or Ctrl-C, ended the download: see :meth:`leftovers`. Raises as
        :meth:`partial`.
        """
        with self._writable():
            path = self._home_of(model) / f"{sha256}.{unique()}"
            path.touch(exist_ok=False)
            path.chmod(FILE_MODE)  # another user of the group may go on with it
        keep = False
        try:
            # Another model may have the same bytes, and whoever finishes first clears away what others have left.
            with self._written(model), locks.in_use(path):
                yield path
        except (StoreError, KeyboardInterrupt) as error:
            keep = not isinstance(error.__cause__, OSError)  # an OSError is our own disk's
            raise
        finally:
            with suppress(OSError):  # it has its name, or somebody else has cleared it away
                if not (keep and path.stat().st_size):
                    path.unlink()

    def leftovers(self, sha256: Digest) -> list[Path]:
        """What unfinished downloads of the file with this digest have left, longest first.

        Each is a beginning of the file, written by a process that may still run: copy it, and do not write to it.
        """
        found: list[tuple[int, Path]] = []
        with suppress(OSError), os.scandir(self.root / ".partial") as entries:
            for entry in entries:
                if entry.name.startswith(sha256.hex):
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        if status.st_size and time.time() - status.st_mtime < _ABANDONED_SECONDS:
                            found.append((status.st_size, Path(entry.path)))
        return [path for _, path in sorted(found, reverse=True)]

    def drop(self, leftovers: list[Path]) -> None:
        """Remove what is of no more use, but for what somebody is still writing to."""
        for path in leftovers:
            if not locks.leased(path, unknown=False):
                _remove(path)

    def sweep(self) -> None:
        """Remove what downloads that died long ago have left."""
        with suppress(OSError):
            for left in (self.root / ".partial").iterdir():
                newest = max((one.stat().st_mtime for one in (left, *left.glob("*"))), default=0.0)
                if time.time() - newest > _ABANDONED_SECONDS:
                    _remove(left)

    def publish(self, verified: VerifiedFile, extension: str) -> VerifiedFile:
        """Give a verified file its name, and write its receipt. Atomic; its bytes are durable before."""
        path = self.path(verified.model, extension)
        with self._written(verified.model):
            make_folder(path.parent)
            verified.path.chmod(FILE_MODE)
            _sync(verified.path)
            # Before the rename, which keeps all three: afterwards another process's file may stand there.
            identity = identity_of(verified.path.stat())
            try:
                os.replace(verified.path, path)
            except OSError as error:
                if error.errno == EXDEV:  # as between two mounts of one disk, which nothing tells before
                    raise self._apart(path.parent) from error
                raise
            published = verified._replace(path=path, identity=identity)
            self._certify(published, identity)
        return published

    def publish_once(self, verified: VerifiedFile, extension: str) -> VerifiedFile:
        """As :meth:`publish`, but the same file of the same origin stays: another run may be sending it just now."""
        model = verified.model
        lock = self.root / ".locks" / f"publish-{model.framework}-{model.name}"
        with locks.exclusive(lock, f"puts {model} into the cache", lambda: None):
            standing = self.find(model, extension)
            if standing and (standing.sha256, standing.provenance) == (verified.sha256, verified.provenance):
                return standing._replace(verdict=verified.verdict)
            return self.publish(verified, extension)

    def lock(self, model: ModelId, go_on: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Wait until no other process of this machine fetches the model. It saves work; nothing rests on it.

        ``go_on`` is called meanwhile, and may raise.
        """
        lock = self.root / ".locks" / f"{model.framework}-{model.name}"
        return locks.exclusive(lock, f"fetches {model}", go_on)

    def refresh(self, file: VerifiedFile) -> None:
        """Note that the file is used now."""
        with suppress(OSError):  # of a read-only cache
            os.utime(self.receipt(file.path))

    def used(self, file: VerifiedFile) -> bool:
        """Note that the file is used now, and that this process uses it until it ends. False if it was just evicted."""
        self.refresh(file)
        return locks.lease(file.path)

    def receipt(self, path: Path) -> Path:
        """Where the receipt of the file at ``path`` is."""
        return self.root / ".receipts" / path.parent.name / f"{path.name}.json"

    def _certify(self, file: VerifiedFile, identity: Identity) -> None:
        size, mtime_ns, inode = identity
        receipt = {
            "size": size,
            "mtime_ns": mtime_ns,
            "inode": inode,
            "sha256": file.sha256.hex,
            "provenance": file.provenance._asdict() if file.provenance else None,
        }
        final = self.receipt(file.path)
        make_folder(final.parent)
        write(final, json.dumps(receipt), self._home() / f"receipt.{unique()}")

    def _home(self) -> Path:
        """Where everything begins that is not finished."""
        home = self.root / ".partial"
        make_folder(home)
        return home

    def _home_of(self, model: ModelId) -> Path:
        """Where a download of the model begins, if it can get its name from there."""
        home, folder = self._home(), self.root / model.framework
        with suppress(FileNotFoundError):  # which is made with its first file
            if folder.stat().st_dev != home.stat().st_dev:
                raise self._apart(folder)
        return home

    def _apart(self, folder: Path) -> ConfigurationError:
        return ConfigurationError(
            f"{folder} is on another file system than the rest of the cache",
            cause=f"a file that is complete is renamed to there from {self.root / '.partial'}",
            next="mount or link the whole cache there, and not one folder of it: WEIGHTDOCK_CACHE=<a folder there>",
        )

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"the cache {self.root} cannot be written",
                cause=str(error),
                next="WEIGHTDOCK_CACHE=<a folder that this user may write>",
            ) from error

    @contextmanager
    def _written(self, model: ModelId) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DiskError(
                f"the cache {self.root} did not take {model}",
                cause=str(error),
                next="nothing half-written was left; see to the disk (df -h), then run again",
            ) from error


def _remove(left: Path) -> None:
    """A file, or a folder with what is in it; somebody else may have cleared it away already."""
    from shutil import rmtree  # as above

    try:
        left.unlink(missing_ok=True)
    except OSError:
        rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
