"""Files on disk with their digests: what the makers write and what the server hands out.

    ROOT/
      github/ultralytics/assets/v8.4.0/yolo11n.pt                a release's assets, by tag
      github/ultralytics/assets/v8.4.0/yolo11n.pt.sha256         `sha256sum` format, beside its file
      hf/timm/convnext_tiny.in12k_ft_in1k/model.safetensors      a hub repository's files

The sidecar is written before the file takes its name, so a file that can be seen always has its
digest: the server never hashes, and a maker that was killed leaves nothing that a later run would
take for finished.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SIDECAR = ".sha256"


@dataclass(frozen=True)
class Item:
    """One finished file. `size` is in bytes, `sha256` is 64 lower-case hex digits."""

    path: Path
    size: int
    sha256: str


def find(path: Path) -> Item | None:
    """Give the finished file at `path`, or None where there is none."""
    try:
        digest = path.with_name(path.name + _SIDECAR).read_text(encoding="ascii")[:64]
        return Item(path, path.stat().st_size, digest) if path.is_file() else None
    except OSError:
        return None


def items(folder: Path) -> list[Item]:
    """List the finished files of one folder, by name; empty where there is no such folder."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    found = (find(folder / name) for name in names if not name.startswith("."))
    return [item for item in found if item is not None]


def publish(path: Path, write: Callable[[Path], None]) -> Item:
    """Let `write` fill a hidden file, then give it its digest and its name, in that order.

    Call it under `exclusive`: the hidden name is always the same, so that a killed run's leftover
    is overwritten rather than left to fill the volume.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _hidden(path)
    try:
        write(part)
        part.chmod(0o644)  # safetensors writes for its owner alone
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        replace_text(path.with_name(path.name + _SIDECAR), f"{digest}  {path.name}\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Item(path, path.stat().st_size, digest)


def replace_text(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old text or the new, never a part."""
    part = _hidden(path)
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for one maker; a second one waits here and then finds the work done."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
