"""Files without a zip: what ``torch.save`` wrote before torch 1.6, and bare pickles.

::

    magic number · 1001 · how the machine was built · the checkpoint · its storages' keys    five pickles
    count, elements                                                                          for each key
"""

from __future__ import annotations

import io
import os
from typing import IO

from weightdock.safety.refusal import RefusalError, shown
from weightdock.safety.stack import MAX_PICKLE_BYTES
from weightdock.safety.values import ListBox
from weightdock.safety.walk import Walk

# torch/serialization.py
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_COUNT_BYTES = 8


def follow(file: IO[bytes], walk: Walk) -> bool:
    """Follow every pickle of the file; true for torch's legacy format, false for a bare pickle. Raises RefusalError."""
    size = os.fstat(file.fileno()).st_size
    stream = window(file)
    first = walk.follow(stream)
    if type(first) is not int or first != _MAGIC_NUMBER:
        if stream.tell() != size:
            raise RefusalError("something follows the pickle", where=f"byte {stream.tell()}")
        return False
    version = walk.follow(stream)
    if type(version) is not int or version != _PROTOCOL_VERSION:
        raise RefusalError("a legacy checkpoint of another version", where=f"byte {stream.tell()}")
    for _ in ("how the machine was built", "the checkpoint"):
        walk.follow(stream)
    keys = walk.follow(stream)
    _check_storages(file, walk, keys.items if type(keys) is ListBox else [], stream.tell(), size)
    return True


def window(file: IO[bytes]) -> io.BytesIO:
    """As much of the file as pickles may take: a text that claims to be gigabytes long ends where this does."""
    return io.BytesIO(os.pread(file.fileno(), MAX_PICKLE_BYTES, 0))


def _check_storages(file: IO[bytes], walk: Walk, keys: list[object], at: int, size: int) -> None:
    """After the pickles come the storages, each once, with as many elements as its tensor needs, and nothing else."""
    remaining = dict(walk.storages)
    for key in keys:
        storage = remaining.pop(key, None) if isinstance(key, str) else None
        if storage is None:
            raise RefusalError(f"storage {shown(key)} belongs to no tensor", where=f"byte {at}")
        count = int.from_bytes(os.pread(file.fileno(), _COUNT_BYTES, at), "little")
        if count != storage.elements:
            raise RefusalError(
                f"storage {shown(key)} has {count} elements and needs {storage.elements}", where=f"byte {at}"
            )
        at += _COUNT_BYTES + storage.size_bytes
        if at > size:
            raise RefusalError(f"storage {shown(key)} breaks off", where=f"byte {size}")
    if remaining or at != size:
        raise RefusalError("the storages of its tensors do not fill the file", where=f"byte {at}")
