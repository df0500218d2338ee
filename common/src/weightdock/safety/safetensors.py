"""The header of a safetensors file. There is nothing to execute in one; it only has to be what it says.

::

    length of the header, 8 bytes · the header, JSON · tensors, one after the other
"""

from __future__ import annotations

import json
import os
from math import prod
from typing import IO

from weightdock.safety.refusal import RefusalError, shown

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 4 * 1024 * 1024
_MAX_DIMENSION = 1 << 48
_METADATA = "__metadata__"
# Bits of an element, from the format's own list.
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "C64": 64, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip


def recognise(beginning: bytes) -> bool:
    """Whether a file with these first bytes is meant to be one: a length below 2**40, and then an object."""
    return beginning[5:9] == b"\0\0\0{"


def check(file: IO[bytes]) -> None:
    """The header describes the file, all of it, once. Raises RefusalError."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(os.pread(file.fileno(), _LENGTH_BYTES, 0), "little")
    if not length <= min(_MAX_HEADER_BYTES, size - _LENGTH_BYTES):
        raise RefusalError(f"a safetensors header of {length} bytes in a file of {size}")
    try:
        header = json.loads(os.pread(file.fileno(), length, _LENGTH_BYTES), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise RefusalError(f"its safetensors header is no JSON: {shown(str(error))}") from error
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise RefusalError("its safetensors metadata is more than texts")
    at = 0
    for begin, end in sorted(_offsets(name, tensor) for name, tensor in header.items()):
        if begin != at:
            raise RefusalError("its tensors overlap or leave a gap", where=f"byte {at} after the header")
        at = end
    if at != size - _LENGTH_BYTES - length:
        raise RefusalError("its tensors do not fill the file", where=f"byte {at} after the header")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _offsets(name: str, tensor: object) -> tuple[int, int]:
    """Where a tensor begins and ends, if that is as long as its shape needs."""
    match tensor:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)], **rest} if not rest:
            dimensions = [count for count in shape if type(count) is int and 0 <= count < _MAX_DIMENSION]
            whole = len(dimensions) == len(shape) <= 64 and dtype in _BITS
            if whole and begin >= 0 and (end - begin) * 8 == prod(dimensions) * _BITS[dtype]:
                return begin, end
    raise RefusalError(f"its tensor {shown(name)} is not as long as its shape needs")
