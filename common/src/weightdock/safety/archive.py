"""The zip that ``torch.save`` writes, and nothing else that is a zip.

::

    archive/data.pkl                  the pickle; the folder's name is free
    archive/data/0 …                  tensors, raw
    archive/version  byteorder  .format_version  .storage_alignment  .data/serialization_id

Readers of zip files differ in what they overlook, and a file that two of them read differently passes a gate as the
one and is loaded as the other (polyglots, CVE-2025-8291, picklescan's CVE-2025-1944 and -1945). So nothing is left
over here: entries follow each other from the first byte to the directory without gaps, stored, under names that torch
writes; headers and directory agree; the directory ends at the end record, and that at the end of the file.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

from weightdock.safety.refusal import RefusalError, shown
from weightdock.safety.stack import MAX_PICKLE_BYTES
from weightdock.safety.walk import Storage

MAGIC = b"PK\x03\x04"

_MAX_ENTRIES = 20_000
_MAX_DIRECTORY_BYTES = 2 * 1024 * 1024
_MAX_FIELDS_BYTES = 64  # of an entry in the directory: one zip64 field has 32 at the most
_MAX_NOTE_BYTES = 64  # of a version, a byte order, an identity
_CENTRAL_BYTES = 46
_END = struct.Struct("<4sHHHHIIH")
_LOCATOR = struct.Struct("<4sIQI")
_END_64 = struct.Struct("<4sQHHIIQQQQ")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_SMALL_END = struct.Struct("<4sIII")  # data descriptors: signature, CRC, sizes
_LARGE_END = struct.Struct("<4sIQQ")

_NAMES = re.compile(
    r"(?P<folder>[^/\\:]{1,255})/"
    r"(version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id"
    r"|(?P<large>data\.pkl|data/(?P<storage>[0-9]{1,18})))"
)
_SIZES_FOLLOW, _UTF_8 = 0x8, 0x800
_DOS_ATTRIBUTES = 0xFFFF
_ZIP_64_FIELD = 1


@dataclass(frozen=True)
class Archive:
    """What matters of a checkpoint's zip: where its pickle is called what, its bytes, and the storages' sizes."""

    pickle_name: str
    pickle: bytes
    storages: Mapping[str, int]


def read(file: IO[bytes]) -> Archive:
    """Check the zip's structure and read its pickle; tensors are not read. Raises RefusalError."""
    size = os.fstat(file.fileno()).st_size
    directory = _directory(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    # What the standard library raises for a directory that is damaged.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError, OSError) as error:
        raise RefusalError(f"its zip directory is damaged: {shown(str(error))}") from error
    if len(entries) != directory.entries:
        raise RefusalError(f"its zip directory has {len(entries)} entries and says {directory.entries}")
    names = [entry.orig_filename for entry in entries]
    _refuse_foreign_names(names)
    for entry in entries:
        _refuse_foreign(entry)
    positions = {entry.orig_filename: position for entry, position in _chain(file, entries, directory.offset)}
    pickle_entry = next(entry for entry in entries if entry.orig_filename.endswith("/data.pkl"))
    storages = {
        match["storage"]: entry.file_size
        for entry in entries
        if (match := _NAMES.fullmatch(entry.orig_filename)) and match["storage"]
    }
    content = _content(file, pickle_entry, positions[pickle_entry.orig_filename])
    return Archive(pickle_entry.orig_filename, content, storages)


def check_storages(archive: Archive, named: Mapping[str, Storage]) -> None:
    """Each storage that the pickle refers to is there with its size, and none is there besides. Raises RefusalError."""
    for key, storage in named.items():
        there = archive.storages.get(key)
        if there != storage.size_bytes:
            # CVE-2026-24747: torch before 2.10 believed the pickle.
            raise RefusalError(f"storage {shown(key)} has {there} bytes and needs {storage.size_bytes}")
    if len(archive.storages) != len(named):
        spare = next(key for key in archive.storages if key not in named)
        raise RefusalError(f"storage {shown(spare)} belongs to no tensor")


@dataclass(frozen=True)
class _Directory:
    offset: int
    entries: int


def _directory(file: IO[bytes], size: int) -> _Directory:
    """Where the directory lies by the end records, which have to end the file and say nothing that differs."""
    ending_at = size - _END.size
    if ending_at < 0:
        raise RefusalError("a zip that breaks off")
    signature, disk, first_disk, here, entries, length, offset, comment = _unpack(file, _END, ending_at)
    if signature != b"PK\x05\x06" or comment:
        raise RefusalError("a zip that breaks off, or something follows it")
    locator_at = ending_at - _LOCATOR.size
    if locator_at >= _END_64.size and (locator := _unpack(file, _LOCATOR, locator_at))[0] == b"PK\x06\x07":
        ending_at = locator_at - _END_64.size
        large = _unpack(file, _END_64, ending_at)
        # CVE-2025-8291: readers disagree about whether to believe where the locator points.
        if large[:2] != (b"PK\x06\x06", _END_64.size - 12) or locator[1:] != (0, ending_at, 1):
            raise RefusalError("its zip64 end records disagree")
        for short, long, most in zip(
            (disk, first_disk, here, entries, length, offset), large[4:], (0xFFFF,) * 4 + (0xFFFFFFFF,) * 2, strict=True
        ):
            if short not in (long, most):
                raise RefusalError("its zip64 end records disagree")
        disk, first_disk, here, entries, length, offset = large[4:]
    if disk or first_disk or here != entries or offset + length != ending_at:
        raise RefusalError("its zip end record does not fit the file: something lies before, between or after")
    if entries > _MAX_ENTRIES or length > _MAX_DIRECTORY_BYTES:
        raise RefusalError(f"a zip of {entries} entries with a directory of {length} bytes")
    _refuse_long_fields(_read(file, offset, length))
    return _Directory(offset, entries)


def _refuse_long_fields(directory: bytes) -> None:
    """Before the standard library walks them, which takes it the square of their length: seconds for each entry."""
    at = 0
    while at + _CENTRAL_BYTES <= len(directory):
        name, fields, comment = struct.unpack_from("<HHH", directory, at + 28)
        if fields > _MAX_FIELDS_BYTES:
            raise RefusalError(f"an entry with {fields} bytes of fields, and torch writes one field", named=True)
        at += _CENTRAL_BYTES + name + fields + comment


def _refuse_foreign_names(names: Sequence[str]) -> None:
    """Names that torch does not write; the telling ones with a reason of their own."""
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if "\0" in name or "\\" in name or ".." in parts or not parts[0] or ":" in parts[0]:
            raise RefusalError(f"its entry {shown(name)} points outside or hides its name", named=True)
    for name in names:
        if name.endswith("/constants.pkl") or "/code/" in name:
            raise RefusalError(f"a TorchScript archive, which holds a program: {shown(name)}", named=True)
    for name in names:
        # torch looks names up without regard to case, so `DATA.PKL` would be another `data.pkl`.
        if not _NAMES.fullmatch(name):
            raise RefusalError(f"its entry {shown(name)} is none that torch writes", named=True)
    twice = [name for before, name in pairwise(sorted(names)) if name == before]
    if twice:
        raise RefusalError(f"its entry {shown(twice[0])} is there twice", named=True)
    if len({name.split("/")[0] for name in names}) != 1:
        raise RefusalError("a zip with more or less than one folder at the top", named=True)
    if not any(name.endswith("/data.pkl") for name in names):
        raise RefusalError("a zip without data.pkl: not a checkpoint")


def _refuse_foreign(entry: zipfile.ZipInfo) -> None:
    """Attributes that torch does not write."""
    name = shown(entry.orig_filename)
    if entry.flag_bits & ~(_SIZES_FOLLOW | _UTF_8):
        raise RefusalError(f"its entry {name} is encrypted or has flags {entry.flag_bits:#x}", named=True)
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise RefusalError(f"its entry {name} is compressed, and torch stores", named=True)
    # Of what DOS calls a directory torch reads nothing, and takes what its memory held before for the content.
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG) or entry.external_attr & _DOS_ATTRIBUTES:
        raise RefusalError(f"its entry {name} is a link, a folder or another special file", named=True)
    if entry.comment or [*_fields(entry.extra)] not in ([], [_ZIP_64_FIELD]):
        # 0x7075, for one, holds another name, which some readers prefer. And of two zip64 fields, in a file of 4 GiB,
        # Python reads the second's offset where the first says 0xFFFFFFFF, and torch the first's.
        raise RefusalError(f"its entry {name} has a comment or fields that torch does not write", named=True)
    kind = _NAMES.fullmatch(entry.orig_filename)
    if kind and not kind["large"] and entry.file_size > _MAX_NOTE_BYTES:
        raise RefusalError(f"its entry {name} has {entry.file_size} bytes, and torch writes a few")


def _fields(extra: bytes) -> Iterator[int]:
    while extra:
        identity, length = struct.unpack("<HH", extra[:4]) if len(extra) >= 4 else (-1, 0)
        yield identity
        extra = extra[4 + length :]


def _chain(file: IO[bytes], entries: Sequence[zipfile.ZipInfo], end: int) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """Each entry and where its content begins. From the file's start to ``end``, without gap or overlap."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    at = 0
    for entry, following in zip(ordered, [*(entry.header_offset for entry in ordered[1:]), end], strict=True):
        if entry.header_offset != at:
            raise RefusalError(f"something lies before its entry {shown(entry.orig_filename)}", where=f"byte {at}")
        position = at + _header_bytes(file, entry)
        finish = position + entry.compress_size
        if finish > following or finish + _end_bytes(file, entry, finish, following) != following:
            raise RefusalError(f"its entry {shown(entry.orig_filename)} overlaps or breaks off", where=f"byte {finish}")
        yield entry, position
        at = following


def _header_bytes(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """The length of the entry's own header, which has to say what the directory says."""
    encoded = entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF_8 else "cp437")
    header = _read(file, entry.header_offset, _LOCAL.size + len(encoded))
    signature, _, flags, method, _, _, crc, *sizes, name_length, extra_length = _LOCAL.unpack_from(header)
    # Zero where the values follow the content, all ones where they stand in a zip64 field.
    later = (0,) if entry.flag_bits & _SIZES_FOLLOW else ()
    same = (
        (signature, flags, method) == (MAGIC, entry.flag_bits, entry.compress_type)
        and crc in (entry.CRC, *later)
        and all(size in (entry.file_size, 0xFFFFFFFF, *later) for size in sizes)
        and name_length == len(encoded)
        and header[_LOCAL.size :] == encoded
    )
    if not same:
        where = f"byte {entry.header_offset}"
        raise RefusalError(f"its entry {shown(entry.orig_filename)} is another in its own header", where=where)
    return len(header) + int(extra_length)


def _end_bytes(file: IO[bytes], entry: zipfile.ZipInfo, at: int, following: int) -> int:
    """The length of what follows the content: CRC and sizes, once more, where the header left them out."""
    if not entry.flag_bits & _SIZES_FOLLOW:
        return 0
    end = _LARGE_END if following - at == _LARGE_END.size else _SMALL_END
    said = (b"PK\x07\x08", entry.CRC, entry.compress_size, entry.file_size)
    return end.size if _unpack(file, end, at) == said else -1


def _content(file: IO[bytes], entry: zipfile.ZipInfo, position: int) -> bytes:
    if entry.file_size > MAX_PICKLE_BYTES:
        raise RefusalError(f"a pickle of {entry.file_size} bytes; this gate reads up to {MAX_PICKLE_BYTES}")
    content = _read(file, position, entry.file_size)
    if zlib.crc32(content) != entry.CRC:
        # picklescan gave such a file up (CVE-2025-10156); torch may load it.
        raise RefusalError(f"its entry {shown(entry.orig_filename)} has another CRC than the directory says")
    return content


def _read(file: IO[bytes], at: int, count: int) -> bytes:
    # pread: one system call where seek and read are two, for each of a thousand entries.
    content = os.pread(file.fileno(), count, at)
    if len(content) != count:
        raise RefusalError("a zip that breaks off", where=f"byte {at}")
    return content


def _unpack(file: IO[bytes], layout: struct.Struct, at: int) -> tuple[Any, ...]:
    return layout.unpack(_read(file, at, layout.size))
