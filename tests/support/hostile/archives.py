"""Tricks with the zip around the pickle: entries that torch does not write, zips that two readers read differently."""

from __future__ import annotations

import io
import pickle
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from support.hostile.assembler import Name, assemble
from support.hostile.case import PICKLESCAN, Hostile, shell
from support.hostile.torch_format import Entry, Zip, checkpoint_entries, torch_zip

INNOCENT = pickle.dumps({"epoch": 1}, protocol=2)
_BY_CRC = PICKLESCAN + "GHSA-mjqp-26hc-grxg"  # CVE-2025-10156
_BY_FLAGS = PICKLESCAN + "GHSA-w8jq-xcqf-f792"  # CVE-2025-1945
_BY_NAME = PICKLESCAN + "GHSA-7q5r-7gvp-wc82"  # CVE-2025-1944
_BY_LOCATOR = "https://github.com/python/cpython/issues/139700"  # CVE-2025-8291


def payload(canary: Path) -> bytes:
    """What is hidden in most of these."""
    return assemble({"model": Name("os", "system")(shell(canary))})


def hiding(
    name: str, because: str, build: Callable[[bytes], bytes], *, file: str = "model.pt", source: str = ""
) -> Hostile:
    """A file around the payload, which runs where a loader gets to it."""
    return Hostile(name, lambda c: build(payload(c)), because, lambda c: [payload(c)], file_name=file, source=source)


def _zip_of(change: Callable[[bytes, list[Entry]], Zip]) -> Callable[[bytes], bytes]:
    """A checkpoint's entries with an innocent pickle, which ``change`` turns hostile."""
    return lambda content: change(content, checkpoint_entries(INNOCENT, {})).build()


def _with(first: Callable[[bytes], Entry]) -> Callable[[bytes], bytes]:
    """A checkpoint whose data.pkl is another entry."""
    return _zip_of(lambda content, entries: Zip([first(content), *entries[1:]]))


def members() -> Iterator[Hostile]:
    """Entries that torch does not write."""
    none_of_torch = "is none that torch writes"
    for name in (
        "archive/payload.pkl",
        "archive/DATA.PKL",
        "archive/data/0.pkl",
        "archive/.data/x.pkl",
        "archive/data/x",
    ):
        yield _more(f"another pickle at {name}", name, none_of_torch)
    yield _more("another pickle without a folder", "evil.pkl", none_of_torch)
    yield _more("another pickle in another folder", "other/data.pkl", "more or less than one folder")
    yield _more("two entries called data.pkl", "archive/data.pkl", "is there twice", source=_BY_NAME)
    yield _more("TorchScript: constants", "archive/constants.pkl", "TorchScript")
    yield _more("TorchScript: code", "archive/code/__torch__.py", "TorchScript")
    yield _more("a model.json, as TorchScript had before", "archive/model.json", none_of_torch)
    yield _more("a script", "archive/setup.py", none_of_torch)
    yield _more("a folder of its own", "archive/data/", none_of_torch)
    outside = "points outside or hides"
    for name, because in (
        ("../data.pkl", outside),
        ("archive/../../etc/cron.d/x", outside),
        ("/etc/cron.d/x", outside),
        ("archive\\data.pkl", outside),
        ("C:/data.pkl", outside),
        ("archive/data.pkl\0.txt", outside),
    ):
        yield _more(f"a path: {name!r}", name, because)
    yield _more("a zip in the zip", "archive/model.zip", none_of_torch, lambda content: torch_zip(content))
    yield hiding(
        "a zip of a checkpoint", none_of_torch, lambda content: Zip([Entry("model.pt", torch_zip(content))]).build()
    )
    yield hiding("data.pkl is itself a checkpoint", "breaks off", lambda content: torch_zip(torch_zip(content)))
    link = (stat.S_IFLNK | 0o777) << 16
    yield hiding("a symlink", "a link", _with(lambda _: Entry("archive/data.pkl", b"/etc/passwd", attributes=link)))
    device = (stat.S_IFCHR | 0o666) << 16
    yield hiding(
        "a device",
        "a link, a folder or another",
        _with(lambda _: Entry("archive/data.pkl", INNOCENT, attributes=device)),
    )
    yield hiding(
        "a folder by DOS's attribute, of which torch reads what its memory held before",
        "a link, a folder or another",
        _with(lambda _: Entry("archive/data.pkl", INNOCENT, attributes=0x10)),
    )
    yield hiding("no data.pkl", "without data.pkl", _zip_of(lambda content, entries: Zip(entries[1:])))
    yield hiding("no entries", "no checkpoint", _zip_of(lambda content, entries: Zip()))
    big = Entry("archive/version", b"3\n" + bytes(1 << 16))
    yield hiding("a version of 64 kB", "torch writes a few", _zip_of(lambda _, entries: Zip([*entries[:-2], big])))


def _more(name: str, entry: str, because: str, wrap: Callable[[bytes], bytes] = bytes, source: str = "") -> Hostile:
    def change(content: bytes, entries: list[Entry]) -> Zip:
        return Zip([*entries, Entry(entry, wrap(content))])

    return hiding(name, because, _zip_of(change), source=source)


def disagreements() -> Iterator[Hostile]:
    """Zips that one reader reads so and another otherwise."""
    own = "is another in its own header"
    another = "archive/data.pkx"
    yield hiding(
        "two names for one entry",
        own,
        _with(lambda content: Entry("archive/data.pkl", content, local_name=another)),
        source=_BY_NAME,
    )
    for bit in (0x1, 0x20, 0x40, 0x2000):
        yield hiding(
            f"flag bit {bit:#x}",
            "is encrypted or has flags",
            _with(lambda content, bit=bit: Entry("archive/data.pkl", content, extra_flags=bit)),  # type: ignore[misc]
            source=_BY_FLAGS,
        )
    yield hiding(
        "a wrong CRC",
        "another CRC",
        _with(lambda content: Entry("archive/data.pkl", content, central_crc=1)),
        source=_BY_CRC,
    )
    other_name = struct.pack("<HHBI", 0x7075, 5 + 8, 1, 0) + b"evil.pkl"
    yield hiding(
        "a second name in a field",
        "fields that torch does not write",
        _with(lambda _: Entry("archive/data.pkl", INNOCENT, central_extra=other_name)),
    )
    two = struct.pack("<HHQHHQ", 1, 8, 0xFFFFFFFF, 1, 8, 0)
    yield hiding(
        "two offsets for one entry",
        "fields that torch does not write",
        _with(lambda _: Entry("archive/data.pkl", INNOCENT, central_extra=two)),
    )
    deflated = "is compressed, and torch stores"
    yield hiding("a deflated pickle", deflated, _with(_deflated))
    yield hiding(
        "a method that is none", deflated, _with(lambda content: Entry("archive/data.pkl", content, method=99))
    )
    yield hiding(
        "another size than it has", deflated, _with(lambda _: Entry("archive/data.pkl", INNOCENT, plain_size=1 << 30))
    )
    before, around = "something lies before", "does not fit the file"
    yield hiding(
        "a pickle before the zip", "something follows the pickle", lambda content: INNOCENT + torch_zip(content)
    )
    yield hiding("a pickle after the zip", "something follows", lambda content: torch_zip(INNOCENT) + content)
    yield hiding(
        "a zip after the zip", "end records disagree", lambda content: torch_zip(INNOCENT) + torch_zip(content)
    )
    yield hiding("a pickle in the comment", "something follows", _zip_of(lambda x, entries: Zip(entries, comment=x)))
    yield hiding(
        "a pickle between two entries",
        "overlaps or breaks off",
        _zip_of(lambda x, entries: Zip([entries[0], replace(entries[1], gap=x), *entries[2:]])),
    )
    yield hiding(
        "a local header before the first",
        before,
        lambda x: _shifted(b"PK\x03\x04" + x, checkpoint_entries(INNOCENT, {})),
    )
    yield hiding(
        "a pickle before the directory",
        "overlaps or breaks",
        _zip_of(lambda x, entries: Zip(entries, before_directory=x)),
    )
    yield hiding("a pickle after the directory", around, _zip_of(lambda x, entries: Zip(entries, after_directory=x)))
    yield hiding(
        "a locator that points elsewhere",
        "end records disagree",
        _zip_of(lambda x, entries: Zip(entries, before_directory=x, locator_shift=-8)),
        source=_BY_LOCATOR,
    )
    yield hiding("an entry that is two", "overlaps", _overlapping)
    huge = struct.pack("<HHQQ", 1, 16, (1 << 64) - 1, (1 << 64) - 1)
    for what, first in (
        ("16 exabytes", Entry("archive/data.pkl", INNOCENT, central_extra=huge, central_size=0xFFFFFFFF)),
        ("4 gigabytes", Entry("archive/data.pkl", INNOCENT, central_size=0xFFFFFFFE)),
    ):
        yield hiding(f"an entry of {what}", "overlaps or breaks", _with(lambda _, first=first: first))  # type: ignore[misc]


def _deflated(content: bytes) -> Entry:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    return Entry("archive/data.pkl", packed, method=8, plain_size=len(content), central_crc=zlib.crc32(content))


def _shifted(prefix: bytes, entries: list[Entry]) -> bytes:
    return Zip(entries, prefix=prefix).build()


def _overlapping(content: bytes) -> bytes:
    """Two names in the directory for the same bytes, as in Fifield's zip bombs."""
    built = bytearray(Zip([Entry("archive/data.pkl", content), Entry("archive/data/0", bytes(16))]).build())
    second = built.rindex(b"PK\x01\x02")
    built[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(built)


def bombs() -> Iterator[Hostile]:
    """Zips that grow."""

    def deflated_bomb(_: Path) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", bytes(50 << 20))
        return stream.getvalue()

    def many_entries(_: Path) -> bytes:
        return torch_zip(INNOCENT, {str(at): b"" for at in range(21_000)})

    # Walking zip64 fields without content, in each of 31 entries, is quadratic in the standard library.
    slow = [Entry(f"archive/data/{at}", b"", central_extra=struct.pack("<HH", 1, 0) * 16_000) for at in range(31)]
    yield Hostile("16,000 empty fields", lambda _: torch_zip(INNOCENT, more=slow), "bytes of fields")
    yield Hostile("a zip that grows a thousandfold", deflated_bomb, "is compressed")
    yield Hostile("a zip of 21,000 entries", many_entries, "a zip of 21006 entries")
    claimed = Zip(checkpoint_entries(INNOCENT, {})).build()
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 65535, 65535, 0x7FFFFFFF, 0, 0)
    yield Hostile("a directory of 2 GB", lambda _: claimed[:-98] + end, "does not fit the file")
