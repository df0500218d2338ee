"""The cache of a machine: files that were verified before they got their names.

::

    <WEIGHTDOCK_CACHE>/                 /workspace/data/.cache/models
    ├── timm/convnext_tiny.pth          verified, complete, never written in place
    ├── .receipts/timm/convnext_tiny.pth.json
    │                                   what was verified: size, mtime, inode, sha256
    ├── .partial/                       one folder or file per download, unique names
    └── .origin/timm/…                  the framework's own caches (uploaders only; see origins/child.py)

A file comes into being by fsync and rename, so a reader sees all of it or nothing, whatever is killed when. The
receipt lets a warm start trust the file without reading it; a file that changed since has another size, mtime or
inode, and its receipt counts for nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from weightdock.artifact import Digest, ModelId, Provenance, file_name
from weightdock.errors import ConfigurationError, StoreError, WeightdockError
from weightdock.verify import VerifiedFile


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
            receipt = json.loads(self._receipt(path).read_bytes())
            status = path.stat()
            if (receipt["size"], receipt["mtime_ns"], receipt["inode"]) != _identity(status):
                return None
            origin = receipt["provenance"]
            provenance = None if origin is None else Provenance(**origin)
            return VerifiedFile(model, path, status.st_size, Digest(receipt["sha256"]), provenance)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, WeightdockError):
            return None  # no file, no receipt, or a receipt that says nothing: all mean "not verified"

    @contextmanager
    def partial(self, model: ModelId) -> Iterator[Path]:
        """A new, empty folder for one download, on the cache's own file system; gone afterwards.

        Raises ConfigurationError when the cache cannot be written, StoreError when the disk does not take the file.
        """
        home = self.root / ".partial"
        try:
            home.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{model.framework}-{model.name}-", dir=home))
        except OSError as error:
            raise ConfigurationError(
                f"the cache {self.root} cannot be written",
                cause=str(error),
                next="WEIGHTDOCK_CACHE=<a folder that this user may write>",
            ) from error
        try:
            with self._written(model):
                yield folder
        finally:
            shutil.rmtree(folder)

    def publish(self, verified: VerifiedFile, extension: str) -> VerifiedFile:
        """Give a verified file of :meth:`partial` its name, and write its receipt. Atomic and durable."""
        path = self.path(verified.model, extension)
        with self._written(verified.model):
            path.parent.mkdir(parents=True, exist_ok=True)
            _sync(verified.path)
            # Before the rename, which keeps all three: afterwards another process's file may stand there.
            size, mtime_ns, inode = _identity(verified.path.stat())
            os.replace(verified.path, path)
            _sync(path.parent)
            receipt = {
                "size": size,
                "mtime_ns": mtime_ns,
                "inode": inode,
                "sha256": verified.sha256.hex,
                "provenance": asdict(verified.provenance) if verified.provenance else None,
            }
            # Written beside the download, whose folder goes whatever happens.
            temporary = verified.path.with_name("receipt.json")
            temporary.write_text(json.dumps(receipt), encoding="utf-8")
            self._receipt(path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, self._receipt(path))
        return replace(verified, path=path)

    def _receipt(self, path: Path) -> Path:
        return self.root / ".receipts" / path.parent.name / f"{path.name}.json"

    @contextmanager
    def _written(self, model: ModelId) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the cache {self.root} did not take {model}",
                cause=str(error),
                next="nothing half-written was left; see to the disk (df -h), then run again",
            ) from error


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
