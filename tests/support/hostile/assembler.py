"""Pickles by hand: plain Python values, names, and calls of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """``module.name``, as an opcode for names loads it."""

    module: str
    name: str

    def __call__(self, *arguments: object) -> Call:
        return Call(self, arguments)


@dataclass(frozen=True)
class Call:
    """What a name, or what another call gave, gives when it is called."""

    callee: Name | Call
    arguments: tuple[object, ...] = ()

    def __call__(self, *arguments: object) -> Call:
        return Call(self, arguments)


@dataclass(frozen=True)
class New:
    """An instance of a class by NEWOBJ."""

    cls: Name
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True)
class Built:
    """An object filled by BUILD, once for each state."""

    target: object
    states: tuple[object, ...]


@dataclass(frozen=True)
class Stored:
    """A storage, by torch's persistent id."""

    key: str
    elements: int
    kind: Name = Name("torch", "FloatStorage")
    word: str = "storage"


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    opcodes: bytes


def assemble(value: object, protocol: int = 2) -> bytes:
    """A whole pickle of ``value``. From protocol 4 on names are STACK_GLOBAL, before GLOBAL."""
    beginning = b"" if protocol < 2 else bytes((0x80, protocol))
    return beginning + _emit(value, protocol) + b"."


def text(value: str) -> bytes:
    """BINUNICODE."""
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _emit(value: object, protocol: int) -> bytes:
    if isinstance(value, int | float | None):
        return _emit_number(value)
    match value:
        case str():
            return text(value)
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + _each(value, protocol) + b"t"
        case list():
            return b"](" + _each(value, protocol) + b"e"
        case dict():
            pairs = [part for pair in value.items() for part in pair]
            return b"}(" + _each(pairs, protocol) + b"u"
        case _:
            return _emit_object(value, protocol)


def _emit_number(value: float | None) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    return b"J" + struct.pack("<i", value) if isinstance(value, int) else b"G" + struct.pack(">d", value)


def _emit_object(value: object, protocol: int) -> bytes:
    match value:
        case Raw(opcodes):
            return opcodes
        case Name(module, name) if protocol >= 4:
            return text(module) + text(name) + b"\x93"
        case Name(module, name):
            return b"c" + module.encode() + b"\n" + name.encode() + b"\n"
        case Call(callee, arguments):
            return _emit(callee, protocol) + _emit(arguments, protocol) + b"R"
        case New(cls, arguments):
            return _emit(cls, protocol) + _emit(arguments, protocol) + b"\x81"
        case Built(target, states):
            return _emit(target, protocol) + b"".join(_emit(state, protocol) + b"b" for state in states)
        case Stored(key, elements, kind, word):
            return _emit((word, kind, key, "cpu", elements), protocol) + b"Q"
    raise TypeError(type(value).__name__)


def _each(values: list[object] | tuple[object, ...], protocol: int) -> bytes:
    return b"".join(_emit(value, protocol) for value in values)
