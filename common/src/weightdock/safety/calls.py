"""The arguments that an allowed function may be called with, and the state that an object may be filled from.

A function that is safe as its framework calls it need not be safe with any arguments: ``getattr`` reaches everything,
``_codecs.encode`` imports codecs, a tensor can claim memory that its storage does not have. So each has its shape here;
what has none is not called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import prod

from weightdock.safety.allow import Allowed, Use
from weightdock.safety.refusal import RefusalError
from weightdock.safety.values import DictBox, ListBox, Made, TupleBox

ORDERED_DICT = "collections OrderedDict"
SETS = ("__builtin__ set", "builtins set")
_ENCODE = "_codecs encode"
_DTYPE = "numpy dtype"
_DEVICE = re.compile(r"[a-z]{2,16}(:[0-9]{1,3})?")
_BITS = re.compile(r"[0-9]+")  # of torch's data types: float8_e5m2, complex128
# Numbers and booleans of numpy; no objects, no records, no text.
_NUMPY_NUMBER = re.compile(r"[<>|=]?[biufc][0-9]{1,2}")
# `numpy.dtype.__setstate__` of a plain number: version, byte order, and nothing of what records have.
_NUMPY_STATE: tuple[object, ...] = (None, None, None, -1, -1, 0)
_MOST_DIMENSIONS = 64  # torch's own limit
LARGEST_VIEW = 1 << 20
"""Elements of a tensor that repeats its storage. Real weights do not; a billion-fold repetition is a memory bomb."""


def check_call(allowed: Allowed, arguments: Sequence[object]) -> None:
    """Raises RefusalError unless ``allowed`` is called as checkpoints call it."""
    if allowed.use is Use.CONFIG and not arguments:
        return
    shape = SHAPES.get(allowed.key) if allowed.use is Use.CALLED else None
    if shape is None:
        raise RefusalError(f"{allowed} is called, and is on the list only as {allowed.use}", named=True)
    if not shape(arguments):
        raise RefusalError(f"{allowed} is called with arguments that no checkpoint needs", named=True)


def check_build(made: Made, state: object) -> None:
    """Raises RefusalError unless ``made`` may be filled from ``state``: once, and from a plain dictionary.

    Twice would be a call: the first state may set ``__setstate__`` on the instance, and the second then calls it.
    """
    if made.built:
        raise RefusalError(f"an object of {made.allowed} is filled twice", named=True)
    made.built = True
    if made.is_a(_DTYPE):
        if not _is_dtype_state(state):
            raise RefusalError("a numpy.dtype is filled with what is not a plain number's", named=True)
    elif not (made.allowed.use in (Use.MODULE, Use.CONFIG) or made.is_a(ORDERED_DICT)):
        raise RefusalError(f"an object of {made.allowed} is filled, which no checkpoint needs", named=True)
    elif type(state) is not DictBox:
        # A pair would be (dictionary, slots), and slots are set by setattr.
        raise RefusalError(f"an object of {made.allowed} is filled from what is not a dictionary", named=True)


def _is_dtype_state(state: object) -> bool:
    if type(state) is not TupleBox or len(state.items) != 8:
        return False
    version, order, *rest = state.items
    plain = all(type(item) is type(wanted) and item == wanted for item, wanted in zip(rest, _NUMPY_STATE, strict=True))
    return plain and version in (3, 4) and order in ("<", ">", "|", "=")


def _no_arguments(arguments: Sequence[object]) -> bool:
    return not arguments


def _tensor(arguments: Sequence[object]) -> bool:
    """``_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)``; v3 adds the dtype."""
    item_bytes = None
    if len(arguments) == 7:
        dtype = arguments[6]
        if not (type(dtype) is Allowed and dtype.use is Use.VALUE):
            return False
        bits = _BITS.search(dtype.name)
        item_bytes = int(bits[0]) // 8 if bits else 1  # torch.bool
    elif len(arguments) != 6:
        return False
    return _old_tensor(arguments[:4], item_bytes) and type(arguments[4]) is bool and _seals_no_hooks(arguments[5])


def _old_tensor(arguments: Sequence[object], item_bytes: int | None = None) -> bool:
    """``_rebuild_tensor(storage, offset, size, stride)``, which every other rebuilds from.

    ``item_bytes`` is of the tensor's elements, where they are not the storage's.
    """
    if len(arguments) != 4:
        return False
    storage, offset, size, stride = arguments
    if not (type(storage) is Made and storage.allowed.use is Use.STORAGE and type(offset) is int):
        return False
    if not (type(size) is TupleBox and type(stride) is TupleBox):
        return False
    sizes, strides = _counts(size.items), _counts(stride.items)
    if offset < 0 or sizes is None or strides is None or not len(sizes) == len(strides) <= _MOST_DIMENSIONS:
        return False
    there = storage.elements
    if item_bytes is not None:
        there = there * storage.allowed.item_bytes // item_bytes
    elements = prod(sizes)
    last = offset + sum((count - 1) * step for count, step in zip(sizes, strides, strict=True))
    # CVE-2026-24747 was the other half of this: a storage with fewer bytes than it claims. See archive.py.
    if elements and last >= there:
        raise RefusalError("a tensor reaches beyond its storage")
    if elements > max(there, LARGEST_VIEW):
        raise RefusalError("a tensor repeats its storage until it fills memory")
    return True


def _parameter(arguments: Sequence[object]) -> bool:
    """``_rebuild_parameter(tensor, requires_grad, hooks)``."""
    if len(arguments) != 3:
        return False
    tensor, requires_grad, hooks = arguments
    is_tensor = type(tensor) is Made and tensor.allowed.name.startswith("_rebuild_tensor")
    return is_tensor and type(requires_grad) is bool and _seals_no_hooks(hooks)


def _seals_no_hooks(hooks: object) -> bool:
    """Whether it is an empty OrderedDict, which is to stay empty: its values would be called when gradients flow."""
    if not (type(hooks) is Made and hooks.is_a(ORDERED_DICT)) or hooks.filled or hooks.built:
        return False
    hooks.sealed = True
    return True


def _size(arguments: Sequence[object]) -> bool:
    if len(arguments) != 1 or type(arguments[0]) is not TupleBox:
        return False
    return _counts(arguments[0].items) is not None


def _counts(items: Sequence[object]) -> list[int] | None:
    counts = [item for item in items if type(item) is int and item >= 0]
    return counts if len(counts) == len(items) else None


def _device(arguments: Sequence[object]) -> bool:
    if not 1 <= len(arguments) <= 2 or not is_device(arguments[0]):
        return False
    return len(arguments) == 1 or type(arguments[1]) is int


def is_device(location: object) -> bool:
    """``cpu``, ``cuda:0``: where a tensor was when it was saved."""
    return type(location) is str and bool(_DEVICE.fullmatch(location))


def _encode(arguments: Sequence[object]) -> bool:
    """Bytes in protocol 2. Any other codec is code: ``encodings`` imports a module of the codec's name."""
    return len(arguments) == 2 and type(arguments[0]) is str and arguments[1] in ("latin1", "latin-1")


def _set(arguments: Sequence[object]) -> bool:
    return len(arguments) == 1 and type(arguments[0]) is ListBox


def _complex(arguments: Sequence[object]) -> bool:
    return len(arguments) == 2 and all(type(number) is float for number in arguments)


def _getattr(arguments: Sequence[object]) -> bool:
    """``getattr(Detect, "forward")`` and nothing else: it is how a function of a class is pickled."""
    if len(arguments) != 2:
        return False
    owner, attribute = arguments
    return type(owner) is Allowed and owner.use is Use.MODULE and type(attribute) is str and attribute == "forward"


def _dtype(arguments: Sequence[object]) -> bool:
    if len(arguments) != 3 or not all(type(flag) in (bool, int) for flag in arguments[1:]):
        return False
    return type(arguments[0]) is str and bool(_NUMPY_NUMBER.fullmatch(arguments[0]))


def _scalar(arguments: Sequence[object]) -> bool:
    if len(arguments) != 2:
        return False
    dtype, content = arguments
    is_bytes = type(content) is bytes or (type(content) is Made and content.is_a(_ENCODE))
    return is_bytes and type(dtype) is Made and dtype.is_a(_DTYPE)


def _path(arguments: Sequence[object]) -> bool:
    return all(type(part) is str for part in arguments)


SHAPES: Mapping[str, Callable[[Sequence[object]], bool]] = {
    ORDERED_DICT: _no_arguments,
    "torch._utils _rebuild_tensor": _old_tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor_v3": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    "torch Size": _size,
    "torch device": _device,
    _ENCODE: _encode,
    **dict.fromkeys(SETS, _set),
    "__builtin__ complex": _complex,
    "builtins complex": _complex,
    "__builtin__ getattr": _getattr,
    "builtins getattr": _getattr,
    _DTYPE: _dtype,
    "numpy.core.multiarray scalar": _scalar,
    "numpy._core.multiarray scalar": _scalar,
    "pathlib PosixPath": _path,
    "pathlib WindowsPath": _path,
}
