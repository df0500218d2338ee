"""Formats that are no zip, and files under another name: pickles, the format before 1.6, tar, safetensors."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from support.hostile.abuse import ORDERED_DICT, TENSOR
from support.hostile.archives import INNOCENT, hiding, payload
from support.hostile.assembler import Name, Raw, Stored, assemble
from support.hostile.case import PICKLESCAN, Hostile
from support.hostile.torch_format import MAGIC_NUMBER, torch_legacy, torch_zip

_TEXT = ord("V") + (1 << 8)  # a header of 342 bytes
_BYTES = Name("torch", "ByteStorage")
_BY_EXTENSION = PICKLESCAN + "GHSA-jgw4-cr84-mqxg"  # CVE-2025-10155


def others() -> Iterator[Hostile]:
    """Formats that no safe loader reads, and files under another name."""
    for file in ("model.bin", "model.7z", "model.safetensors", "model.txt", "model"):
        yield hiding(f"a pickle called {file}", "not on the allow-list", bytes, file=file, source=_BY_EXTENSION)
        yield hiding(f"a checkpoint called {file}", "not on the allow-list", lambda x: torch_zip(x), file=file)
    yield Hostile("7z", lambda c: b"7z\xbc\xaf\x27\x1c\x00\x04" + payload(c), "no checkpoint", file_name="model.pt")
    yield hiding("gzip around a pickle", "no checkpoint", gzip.compress)
    yield hiding("bzip2 around a pickle", "no checkpoint", bz2.compress)
    yield hiding("zlib around a pickle, as joblib writes", "no checkpoint", zlib.compress)
    yield hiding("numpy's .npy with objects", "no checkpoint", lambda x: b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}" + x)
    yield hiding("a tar, as torch wrote first", "a tar archive", _tar)
    yield hiding("a tar without its magic that begins as a pickle", "a tar archive", _pickled_tar)
    for what, length, before in (
        ("", _TEXT, 0),
        (" with a long text", _TEXT, 2 << 20),
        (" with a longer text", _TEXT, 9 << 20),
        (" with a number that ends at a zero byte", int.from_bytes(b"I0", "little"), 0),
        (" with a long number that ends at a zero byte", int.from_bytes(b"L7", "little"), 0),
        (" with a memo index that ends at a zero byte", int.from_bytes(b"Np0", "little"), 0),
    ):
        build = _pickled_safetensors(length, before)
        yield Hostile(
            f"safetensors that begin as a pickle{what}",
            lambda c, build=build: build(payload(c)),  # type: ignore[misc]
            "as a pickle, too",
            lambda c, build=build: [build(payload(c))],  # type: ignore[misc]
            file_name="model.safetensors",
        )
    yield Hostile("an empty file", lambda _: b"", "it is empty")
    yield Hostile("one byte", lambda _: b"\x80", "breaks off")
    page = b"<!DOCTYPE html><title>Sign in</title>" + b"." * 600
    yield Hostile("a web page", lambda _: page, "no checkpoint; it begins with b'<!DOCTYPE html>")
    yield Hostile("a program", lambda _: b"\x7fELF" + bytes(600), "no checkpoint")
    yield Hostile("half a zip", lambda c: torch_zip(payload(c))[:300], "breaks off")
    yield Hostile("a zip without its end", lambda c: torch_zip(payload(c))[:-1], "breaks off")
    yield from _safetensors()


def _tar(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _pickled_tar(content: bytes) -> bytes:
    """A pickle of one text, and in it what torch tries before pickles: its first format, the oldest kind of tar."""

    def header(name: bytes, size: int) -> bytes:
        block = bytearray(
            name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"0" * 11 + b"\0"
        )
        block += b" " * 8 + b"0"
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block).ljust(512, b"\0")

    plain = content.removeprefix(b"\x80\x02")  # ASCII, as the text has to be
    storages = header(b"storages", len(plain)) + plain.ljust(-(-len(plain) // 512) * 512, b"\0") + bytes(1024)
    length = 512 + len(storages) - 7
    return header(b"\x80\x02X" + struct.pack("<I", length), 0) + storages + b"."


def _pickled_safetensors(length: int, before: int) -> Callable[[bytes], bytes]:
    """The header's length reads as an opcode with a line, which ends at the first newline, among the tensors."""

    def build(content: bytes) -> bytes:
        data = b"x" * before + b"\n" + content.removeprefix(b"\x80\x02")
        tensor = {"a": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}
        return struct.pack("<Q", length) + json.dumps(tensor).encode().ljust(length) + data

    return build


def legacy() -> Iterator[Hostile]:
    """The format before 1.6: a payload in each of its pickles, and after them."""
    for position, what in enumerate(("magic number", "version", "system", "checkpoint", "keys")):

        def pickles(canary: Path, position: int = position) -> list[bytes]:
            values: tuple[object, ...] = (MAGIC_NUMBER, 1001, {}, {}, [])
            magic = [pickle.dumps(value, protocol=2) for value in values]
            return [*magic[:position], payload(canary), *magic[position + 1 :]]

        yield Hostile(
            f"legacy, a payload for its {what}",
            lambda c, pickles=pickles: b"".join(pickles(c)),  # type: ignore[misc]
            "not on the allow-list",
            pickles,
        )
    fill, foreign = "do not fill the file", "belongs to no tensor"
    yield hiding("legacy, a pickle after its storages", fill, lambda x: torch_legacy(INNOCENT) + x)
    yield Hostile("legacy, storages of no tensor", lambda _: torch_legacy(INNOCENT, [("0", 4, bytes(16))]), foreign)
    other = {1: pickle.dumps(1002, protocol=2)}
    yield Hostile("legacy, another version", lambda _: torch_legacy(INNOCENT, replaced=other), "another version")
    # 2**64 - 1 elements of 16 bytes, as the pickle claims and the count says.
    kind = Name("torch", "ComplexDoubleStorage")
    identity = assemble(("storage", kind, "0", "cpu", Raw(b"\x8a\x09" + b"\xff" * 8 + b"\0")))[2:-1]
    huge = torch_legacy(b"\x80\x02" + identity + b"Q.", [("0", -1, b""), ("1", 0, b"")])
    yield Hostile("legacy, a storage of 2**68 bytes", lambda _: huge, "breaks off")
    yield Hostile(
        "legacy, a frame that ends in a tensor",
        lambda c: _framed(payload(c)),
        "a frame reaches beyond its pickle",
        lambda c: [_framed(payload(c))],
    )
    keys = {4: pickle.dumps({"0": 1}, protocol=2)}
    yield Hostile(
        "legacy, keys that are no list", lambda _: torch_legacy(INNOCENT, [("0", 1, b"")], replaced=keys), fill
    )


def _framed(content: bytes) -> bytes:
    """C's unpickler reads a large frame to its end, and leaves the file there, where the next pickle begins."""
    reach, elements = 300_000, 400_000
    checkpoint = assemble({"w": TENSOR(Stored("0", elements, _BYTES), 0, (elements,), (1,), False, ORDERED_DICT())})
    first = b"\x80\x04\x95" + struct.pack("<Q", reach)
    magic = {0: first + pickle.dumps(MAGIC_NUMBER, protocol=2)[2:]}
    before = torch_legacy(checkpoint, [("0", elements, b"")], replaced=magic)
    at = len(first) + reach - len(before)
    return before + (bytes(at) + content).ljust(elements, b"\0")


def _safetensors() -> Iterator[Hostile]:
    def header(tensors: object, data: bytes = bytes(16)) -> Callable[[Path], bytes]:
        encoded = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
        return lambda _: struct.pack("<Q", len(encoded)) + encoded + data

    def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    shape, gap = "not as long as its shape", "overlap or leave a gap"
    for name, because, content in (
        ("overlapping tensors", gap, header({"a": tensor(0, 16, [4]), "b": tensor(0, 16, [4])})),
        ("a gap", gap, header({"a": tensor(8, 16, [2])})),
        ("bytes of no tensor", "do not fill the file", header({"a": tensor(0, 8, [2])})),
        ("a shape of another size", shape, header({"a": tensor(0, 16, [5])})),
        ("a negative shape", shape, header({"a": tensor(0, 16, [-2, -2])})),
        ("a type that is none", shape, header({"a": tensor(0, 16, [4], "OBJECT")})),
        ("a tensor before its begin", shape, header({"a": tensor(-16, 0, [4])})),
        ("a header that is no JSON", "is no JSON", header(b"{'a': 1}")),
        ("a header of 100,000 brackets", "is no JSON", header(b'{"a":' + b"[" * 100_000)),
        ("a key that stands twice", "is no JSON", header(b'{"a": 1, "a": 2}')),
        ("metadata that are more than texts", "metadata", header({"__metadata__": {"x": []}}, b"")),
        ("a header longer than the file", "safetensors header", lambda _: struct.pack("<Q", 1 << 39) + b'{"a": 1}'),
    ):
        yield Hostile(f"safetensors, {name}", content, because, file_name="model.safetensors")
