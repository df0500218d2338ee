"""Files as ``torch.save`` writes them, byte for byte, without torch; with knobs that turn them hostile.

Compared with real files of torch 2.13: the same pickle, storages and id give the same bytes.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_ALIGNMENT = 64
_SIZES_FOLLOW, _UTF_8 = 0x8, 0x800


@dataclass(frozen=True)
class Entry:
    """One entry. The ``local_…`` and ``central_…`` knobs let its two headers say different things."""

    name: str
    content: bytes
    method: int = 0
    plain_size: int | None = None
    extra_flags: int = 0
    attributes: int = 0
    central_extra: bytes = b""
    local_name: str | None = None
    central_crc: int | None = None
    central_size: int | None = None
    gap: bytes = b""

    @property
    def flags(self) -> int:
        return (_SIZES_FOLLOW if self.content else 0) | _UTF_8 | self.extra_flags

    @property
    def crc(self) -> int:
        return zlib.crc32(self.content) if self.central_crc is None else self.central_crc

    @property
    def size(self) -> int:
        return len(self.content) if self.plain_size is None else self.plain_size


@dataclass
class Zip:
    """A zip in the making: entries, and what lies around them."""

    entries: list[Entry] = field(default_factory=list)
    prefix: bytes = b""
    before_directory: bytes = b""
    after_directory: bytes = b""
    suffix: bytes = b""
    comment: bytes = b""
    locator_shift: int = 0

    def build(self) -> bytes:
        """The file."""
        out, directory = bytearray(self.prefix), bytearray()
        for entry in self.entries:
            out += entry.gap
            directory += _central(entry, len(out))
            out += _local(entry, len(out)) + entry.content
            if entry.flags & _SIZES_FOLLOW:
                out += struct.pack("<4sIII", b"PK\x07\x08", entry.crc, len(entry.content), entry.size)
        out += self.before_directory
        start = len(out)
        out += directory + self.after_directory
        return bytes(out) + self._end(start, len(directory), len(out)) + self.suffix

    def _end(self, start: int, length: int, here: int) -> bytes:
        count = len(self.entries)
        large = struct.pack(
            "<4sQHHIIQQQQ", b"PK\x06\x06", 44, 0x031E, 0x2D, 0, 0, count, count, length, start
        )  # made by, needed: what miniz says
        locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, here + self.locator_shift, 1)
        small = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, length, start, len(self.comment))
        return large + locator + small + self.comment


def _local(entry: Entry, at: int) -> bytes:
    name = (entry.local_name or entry.name).encode()
    padding = -(at + 30 + len(name) + 4) % _ALIGNMENT
    later = bool(entry.flags & _SIZES_FOLLOW)
    sizes = (0, 0, 0) if later else (entry.crc, len(entry.content), entry.size)
    fields = (0, entry.flags, entry.method, 0, 0, *sizes, len(name), padding + 4)
    header = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", *fields)
    return header + name + b"FB" + struct.pack("<H", padding) + b"Z" * padding


def _central(entry: Entry, at: int) -> bytes:
    name = entry.name.encode()
    packed, plain = (len(entry.content), entry.size) if entry.central_size is None else (entry.central_size,) * 2
    sizes = (entry.crc, packed, plain, len(name), len(entry.central_extra))
    fields = (0, 0, entry.flags, entry.method, 0, 0, *sizes, 0, 0, 0, entry.attributes, at)
    header = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", *fields)
    return header + name + entry.central_extra


def checkpoint_entries(
    content: bytes, storages: Mapping[str, bytes], folder: str = "archive", identity: str = "0" * 40
) -> list[Entry]:
    """The entries of a checkpoint, in torch's order."""
    return [
        Entry(f"{folder}/data.pkl", content),
        Entry(f"{folder}/.format_version", b"1"),
        Entry(f"{folder}/.storage_alignment", b"64"),
        Entry(f"{folder}/byteorder", b"little"),
        *(Entry(f"{folder}/data/{key}", data) for key, data in storages.items()),
        Entry(f"{folder}/version", b"3\n"),
        Entry(f"{folder}/.data/serialization_id", identity.encode()),
    ]


def torch_zip(
    content: bytes,
    storages: Mapping[str, bytes] | None = None,
    *,
    folder: str = "archive",
    more: Iterable[Entry] = (),
    identity: str = "0" * 40,
) -> bytes:
    """A checkpoint with this pickle and these storages."""
    return Zip([*checkpoint_entries(content, storages or {}, folder, identity), *more]).build()


def torch_legacy(
    checkpoint: bytes, storages: Sequence[tuple[str, int, bytes]] = (), *, replaced: Mapping[int, bytes] | None = None
) -> bytes:
    """What torch wrote before 1.6. ``storages``: key, elements, content; ``replaced``: other pickles, by position."""
    sizes = {"short": 2, "int": 4, "long": 4}
    pickles = [
        pickle.dumps(MAGIC_NUMBER, protocol=2),
        pickle.dumps(1001, protocol=2),
        pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}, protocol=2),
        checkpoint,
        pickle.dumps([key for key, _, _ in storages], protocol=2),
    ]
    for position, content in (replaced or {}).items():
        pickles[position] = content
    return b"".join(pickles) + b"".join(struct.pack("<q", count) + data for _, count, data in storages)
