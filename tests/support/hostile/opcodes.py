"""Tricks with pickle itself: names that a scanner does not see, sizes that it does not bound, streams that it loses."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from support.hostile.assembler import Name, Raw, assemble, text
from support.hostile.case import PICKLESCAN, Hostile, gadget, shell
from support.hostile.torch_format import torch_zip

_SYSTEM = Name("os", "system")
_STACK_GLOBAL, _MEMOIZE = b"\x93", b"\x94"


def _stream(
    name: str, content: Callable[[bytes], bytes], because: str = "not on the allow-list", *, source: str = ""
) -> Hostile:
    """A pickle written by hand, given the command as one opcode; it runs."""

    def pickled(canary: Path) -> bytes:
        return content(text(shell(canary)))

    return Hostile(name, lambda c: torch_zip(pickled(c)), because, lambda c: [pickled(c)], source=source)


def _still(name: str, because: str, content: bytes, *, source: str = "") -> Hostile:
    """A pickle that has nothing to run."""
    return Hostile(name, lambda _: torch_zip(content), because, source=source)


def names() -> Iterator[Hostile]:
    """Opcodes for names, and ways to hide what they load."""
    yield _stream("INST, protocol 0", lambda c: b"(" + c + b"ios\nsystem\n.", "opcode INST os system")
    yield _stream("OBJ", lambda c: b"(cos\nsystem\n" + c + b"o.")
    mixed = text("os") + b"q\x00" + text("system") + b"q\x01" + text("torch._utils") + _MEMOIZE
    mixed = b"\x80\x04(" + mixed + text("_rebuild_tensor_v2") + _MEMOIZE + b"1"
    yield _stream(
        "STACK_GLOBAL with two kinds of memo",
        lambda c: mixed + b"h\x00h\x01" + _STACK_GLOBAL + c + b"\x85R.",
        "opcode POP_MARK",
        source="https://github.com/mmaitre314/picklescan/issues/14",
    )
    puts = b"".join(text(word) + b"p%d\n0" % at for word, at in (("os", 2), ("system", 3), ("torch", 0)))
    yield _stream(
        "STACK_GLOBAL from a memo out of order",
        lambda c: puts + b"g2\ng3\n" + _STACK_GLOBAL + b"(" + c + b"tR.",
        "opcode POP,",
        source="https://github.com/mmaitre314/picklescan/issues/22",
    )
    kept = b"\x80\x04](" + text("os") + _MEMOIZE + text("system") + _MEMOIZE + b"e"
    yield _stream("STACK_GLOBAL from the memo", lambda c: kept + b"h\x00h\x01" + _STACK_GLOBAL + c + b"\x85R\x86.")
    yield _stream("STACK_GLOBAL of Python 2's strings", lambda c: b"\x80\x04U\x02osU\x06system\x93" + c + b"\x85R.")
    computed = b"\x80\x04" + assemble(Name("_codecs", "decode")(b"os", "ascii"), 3)[2:-1] + text("system")
    yield _stream("STACK_GLOBAL of a computed name", lambda c: computed + _STACK_GLOBAL + c + b"\x85R.")
    joined = b"\x80\x04" + assemble(Name("_codecs", "encode")("os", "latin1"))[2:-1] + text("system")
    yield _still("STACK_GLOBAL of an allowed call's result", "computes a name", joined + _STACK_GLOBAL + b".")
    yield _still("a number that readers read differently", "a number as text", b"\x80\x02I010\n.")
    yield _still("STACK_GLOBAL of numbers", "computes a name", b"\x80\x04K\x01K\x02" + _STACK_GLOBAL + b".")
    registered = assemble(Name("copyreg", "add_extension")("os", "system", 240))[2:-1]
    yield _stream("EXT1, registered first", lambda c: b"\x80\x02" + registered + b"0\x82\xf0" + c + b"\x85R.")
    for opcode, code in (("EXT1", b"\x82\x01"), ("EXT2", b"\x83\x01\x00"), ("EXT4", b"\x84\x01\x00\x00\x00")):
        yield _still(f"{opcode}, registered by the loader", f"opcode {opcode}", b"\x80\x02" + code + b".")
    yield _still("NEWOBJ_EX", "opcode NEWOBJ_EX", b"\x80\x04" + _named("collections", "OrderedDict") + b")}\x92.")
    yield _still("out-of-band buffers", "opcode NEXT_BUFFER", b"\x80\x05\x97.")
    yield _still("DUP of a class", "opcode DUP", b"\x80\x02ccollections\nOrderedDict\n2.")
    allowed = "collections OrderedDict"
    for name, module, attribute in (
        ("upper case", "Collections", "OrderedDict"),
        ("full-width letters", "ｃollections", "OrderedDict"),
        ("a Cyrillic letter", "соllections", "OrderedDict"),
        ("a space in the module", allowed, ""),
        ("a space in the attribute", "", allowed),
        ("a newline", "collections\nos", "OrderedDict"),
        ("a carriage return", "collections", "OrderedDict\r"),
        ("a NUL", "collections", "OrderedDict\0"),
        ("a dot for a space", "collections.OrderedDict", "fromkeys"),
        ("an attribute of an attribute", "collections", "OrderedDict.__init__"),
        ("nothing", "", ""),
        ("a relative module", ".collections", "OrderedDict"),
    ):
        content = b"\x80\x04" + _named(module, attribute) + b")R."
        yield _still(f"a name with {name}", "not on the allow-list", content)
    yield _still("GLOBAL with a carriage return", "not on the allow-list", b"\x80\x02ccollections\nOrderedDict\r\n)R.")
    yield _still("GLOBAL in another encoding", "breaks off or is none", b"\x80\x02cos\nsyst\xe8me\n.")


def _named(module: str, name: str) -> bytes:
    return text(module) + text(name) + _STACK_GLOBAL


def streams() -> Iterator[Hostile]:
    """More or less than one pickle."""
    innocent = pickle.dumps({"epoch": 1}, 2)

    def after(name: str, between: bytes) -> Hostile:
        def pickles(canary: Path) -> list[bytes]:
            return [innocent, assemble(_SYSTEM(shell(canary)))]

        return Hostile(name, lambda c: torch_zip(between.join(pickles(c))), "something follows the pickle", pickles)

    yield after("a second pickle after the first", b"")
    yield after("a second pickle after a gap", bytes(64))
    broken = b"\x80\x02cos\nsystem\n"
    yield _stream(
        "a payload before the stream breaks off",
        lambda c: broken + c + b"\x85R\xff",
        source=PICKLESCAN + "GHSA-9gvj-pp9x-gcfr",
    )
    yield _still("no STOP", "breaks off", innocent[:-1])
    yield _still("nothing but STOP", "more or less than one value", b"\x80\x02.")
    yield _still("an unknown opcode", "breaks off", b"\x80\x02\xff.")
    yield _still("protocol 3, and nothing of it", "protocol 3, and torch writes 2", b"\x80\x03N.")
    yield _still("protocol 6", "protocol 6", b"\x80\x06N.")
    yield _still("protocol 255", "protocol 255", b"\x80\xffN.")
    yield _still("two values", "more or less than one value", b"\x80\x02NN.")
    yield _still("a mark that stays", "more or less than one value", b"\x80\x02N(.")
    yield _still("a tuple without its mark", "needs a mark", b"\x80\x02Nt.")
    yield _still("a memo that was never put", "takes from the memo", b"\x80\x02h\x05.")
    yield _still("a value from below a mark", "not there", b"\x80\x02N(\x85.")
    yield _still("a dictionary with half an item", "key without a value", b"\x80\x02}(Nu.")
    yield _still("an empty data.pkl", "breaks off", b"")


def bombs() -> Iterator[Hostile]:
    """Few bytes that ask for much: memory, time, depth."""
    yield _still("BINUNICODE8 of 2**63 bytes", "breaks off", b"\x80\x04\x8d" + struct.pack("<Q", 1 << 63) + b"x.")
    yield _still("BINBYTES8 of 2**62 bytes", "breaks off", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.")
    yield _still("BYTEARRAY8 of 2**62 bytes", "breaks off", b"\x80\x05\x96" + struct.pack("<Q", 1 << 62) + b"x.")
    yield _still("BINUNICODE of 4 GB", "breaks off", b"\x80\x02X\xff\xff\xff\xffx.")
    yield _still("LONG4 of 2 GB", "breaks off", b"\x80\x02\x8b\xff\xff\xff\x7fx.")
    yield _still("LONG4 of a negative length", "breaks off", b"\x80\x02\x8b\xff\xff\xff\xffx.")
    yield _still(
        "an integer of a megabyte", "an integer of", b"\x80\x02\x8b\x00\x00\x10\x00" + b"\x7f" * (1 << 20) + b"."
    )
    yield _still("an integer of a million digits", "breaks off", b"L" + b"9" * 1_000_000 + b"L\n.")
    yield _still("a text of 2 MB", "a text of", b"\x80\x02X\x00\x00\x20\x00" + b"x" * (1 << 21) + b".")
    yield _still("a frame of 2**63 bytes", "breaks off", b"\x80\x04\x95" + struct.pack("<Q", 1 << 63) + b"N")
    yield _still("a memo index of 2**31", "a memo index", b"\x80\x02Nr\xff\xff\xff\x7f.")
    yield _still("a memo index in digits", "a memo index", b"Np" + b"9" * 4000 + b"\n.")
    yield _still("tuples nested 100,000 deep", "nested more than", b"\x80\x02)" + b"\x85" * 100_000 + b".")
    yield _still("lists nested 100,000 deep", "nested more than", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    yield _still("marks nested 100,000 deep", "nested more than", b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".")
    doubling = b"\x80\x02(lp0\n" + b"".join(b"(g%d\ng%d\nlp%d\n" % (at, at, at + 1) for at in range(300)) + b"."
    yield _still("a billion laughs", "nested more than", doubling)
    alike = [b"\x8a\x0a" + (at * (2**61 - 1)).to_bytes(10, "little") for at in range(1, 2000)]
    numbers, keys, tuples = b"".join(alike), b"N".join(alike) + b"N", b"\x85N".join(alike) + b"\x85N"
    many = "more than 1000 keys"
    yield _still("keys whose hashes are alike", many, b"\x80\x02}(" + keys + b"u.")
    yield _still("tuples as keys whose hashes are alike", many, b"\x80\x02}(" + tuples + b"u.")
    yield _still("a set of numbers whose hashes are alike", many, b"\x80\x04\x8f(" + numbers + b"\x90.")
    yield _still("a frozen set of numbers whose hashes are alike", many, b"\x80\x04(" + numbers + b"\x91.")
    called = b"\x80\x02c__builtin__\nset\n](" + numbers + b"e\x85R."
    yield _still("a called set of numbers whose hashes are alike", many, called)
    again = b"\x80\x02](" + b"K\x01" * 1000 + b"eq\x00" + b"c__builtin__\nset\nh\x00\x85R\x85" * 600 + b"."
    yield _still("a list that is made a set again and again", "items are copied", again)
    ordered = b"ccollections\nOrderedDict\n)R"
    states = b"\x80\x02}(" + b"".join(b"M" + at.to_bytes(2, "little") + b"N" for at in range(1000)) + b"uq\x00"
    built = states + b"(" + (ordered + b"h\x00b") * 600 + b"t\x86."
    yield _still("one state for object after object", "items are copied", built)
    texts = b"\x80\x02" + text("x" * 1_000_000) + b"q\x00X\x06\x00\x00\x00latin1q\x01"
    encoded = texts + b"(" + b"c_codecs\nencode\nh\x00h\x01\x86R" * 20 + b"t\x87."
    yield _still("one text that is encoded again and again", "items are copied", encoded)
    parts = b"\x80\x02](" + (text("x") * 1000) + b"tq\x00" + b"cpathlib\nPosixPath\nh\x00R\x85" * 600 + b"."
    yield _still("one path of a thousand parts, again and again", "items are copied", parts)
    tree = b"\x80\x02})" + b"q\x00h\x00\x86" * 40 + b"Ns."
    yield _still("a key that is a tree of one tuple", "tuple of what holds others", tree)
    yield _still("a million opcodes", "more than 500000 opcodes", b"\x80\x02]" + b"Na" * 500_000 + b".")
    yield _still("a pickle of 9 MB", "a pickle of", b"\x80\x02]" + b"(" + b"X\x00\x00\x10\x00" * 1 + bytes(9 << 20))
    yield gadget(
        "a set of unhashables", lambda _: Raw(b"c__builtin__\nset\nK\x01\x85R"), because="arguments", runs=False
    )
