"""Whatever the bytes: a verdict or an IntegrityError, soon, and what passes loads only what is on the list."""

from __future__ import annotations

import io
import pickle
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.hostile import CORPUS, genuine
from support.hostile.case import Hostile
from support.hostile.torch_format import torch_legacy, torch_zip
from weightdock.errors import IntegrityError
from weightdock.safety import gate
from weightdock.safety.allow import AllowList, Use, allow_list
from weightdock.safety.refusal import RefusalError
from weightdock.safety.walk import Walk

_SECONDS = 5
_GENUINE = [genuine.build(kind) for kind in genuine.KINDS] + [genuine.build(genuine.KINDS[-1], legacy=True)]
_PICKLES = [genuine.pickled(kind) for kind in genuine.KINDS]
_HOSTILE = [
    content
    for hostile in CORPUS
    if len(content := hostile.build(Path("canary"))) < 20_000  # the bombs say nothing new here
]
_OPCODES = (
    b"(.012FIJKLMNPQRSTUVXabcdeghijlopqrstu)]}BC"
    b"\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8f\x90\x91\x92\x93\x94\x95"
)
_WORDS = (
    b"ccollections\nOrderedDict\n",
    b"cos\nsystem\n",
    b"c__builtin__\ngetattr\n",
    b"cultralytics.nn.modules.head\nDetect\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nFloatStorage\n",
    b"\x8c\x02os\x8c\x06system\x93",
    b"\x8c\x0bcollections\x8c\x0bOrderedDict\x93",
    b"\x8c\x07forward",
    b"\x8c\x07storage",
    b"\x8c\x0c__setstate__",
    b")R",
    b")\x81",
    b"}b",
    b"q\x00",
    b"h\x00",
)


def _judge(content: bytes, framework: str = "ultralytics") -> bool:
    """Whether it passes. Anything but an IntegrityError is a failure of the test."""
    refused: IntegrityError | None = None
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        started = time.monotonic()
        try:
            gate.check(Path(file.name), framework)
        except IntegrityError as error:
            refused = error
    assert time.monotonic() - started < _SECONDS
    assert refused is None or (refused.what and refused.cause and refused.next)
    assert "confuses this gate" not in str(refused)
    return refused is None


@st.composite
def _mutated(draw: st.DrawFn, contents: list[bytes]) -> bytes:
    """One of ``contents`` with a few places changed, cut, doubled or filled from elsewhere."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["flip", "set", "fill", "cut", "insert", "double", "word", "end"])):
            case "flip" if content:
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if content:
                content[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, *_OPCODES]))
            case "fill":
                count = draw(st.sampled_from([2, 4, 8]))
                content[at : at + count] = draw(st.sampled_from([b"\xff", b"\x7f", b"\0"])) * count
            case "cut":
                del content[at : at + draw(st.integers(1, 64))]
            case "insert":
                content[at:at] = draw(st.binary(max_size=16))
            case "double":
                content[at:at] = content[at : at + draw(st.integers(1, 64))]
            case "word":
                content[at:at] = draw(st.sampled_from(_WORDS))
            case _:
                del content[at:]
    return bytes(content)


_STREAMS = st.lists(
    st.one_of(
        st.sampled_from([bytes([opcode]) for opcode in _OPCODES]), st.sampled_from(_WORDS), st.binary(max_size=3)
    ),
    max_size=40,
).map(lambda parts: b"\x80\x02" + b"".join(parts) + b".")


@given(st.binary(max_size=2000))
@settings(max_examples=300)
def test_random_bytes(content: bytes) -> None:
    _judge(content)


@given(
    st.sampled_from([b"PK\x03\x04", b"\x80\x02", b"\x80\x04\x95", bytes(7) + b"\1{", b"(", b"ustar"]),
    st.binary(max_size=500),
)
@settings(max_examples=300)
def test_random_bytes_after_a_known_beginning(beginning: bytes, rest: bytes) -> None:
    _judge(beginning + rest)


@given(_mutated(_GENUINE))
@settings(max_examples=400)
def test_genuine_files_with_changed_places(content: bytes) -> None:
    _judge(content)


@given(_mutated(_HOSTILE))
@settings(max_examples=400)
def test_hostile_files_with_changed_places(content: bytes) -> None:
    _judge(content)


@given(st.one_of(_STREAMS, _mutated(_PICKLES)), st.sampled_from([torch_zip, torch_legacy, bytes]))
@settings(max_examples=400)
def test_pickles_with_changed_places_in_every_container(content: bytes, container: Callable[[bytes], bytes]) -> None:
    _judge(container(content))


_PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**100), 2**100), st.floats(), st.text(), st.binary()),
    lambda inside: st.one_of(
        st.lists(inside, max_size=5),
        st.tuples(inside, inside),
        st.dictionaries(st.text().filter(lambda key: not key.startswith("__")), inside, max_size=5),
    ),
    max_leaves=30,
)


@given(_PLAIN)
@settings(max_examples=300)
def test_plain_data_pass(data: object) -> None:
    # Empty bytes of protocol 2 are a call of `bytes`, which no checkpoint needs.
    content = pickle.dumps(data, 2)
    assert _judge(content, "timm") or b"bytes\n" in content


class _Real:
    """What really happens when something that passed is unpickled: which names are asked for, and what is done.

    Every name is a stand-in, so nothing runs; ``broken`` collects what the gate had promised would not happen.
    """

    def __init__(self, allowed: AllowList) -> None:
        self.allowed = allowed
        self.asked: set[str] = set()
        self.broken: list[str] = []

    def find(self, module: str, name: str) -> type:
        key = f"{module} {name}"
        self.asked.add(key)
        allowed = self.allowed.names.get(key)
        if allowed is None:
            self.broken.append(f"asks for {key}")
        return _Recording(name, (_Stub,), {"key": key, "real": self, "use": allowed and allowed.use})

    def load(self, content: bytes, pickles: int = 1, end: int | None = None) -> None:
        """So many, one after another, with both of Python's unpicklers; ``end`` is where they have to leave it."""
        real = self

        class Fast(pickle.Unpickler):
            def find_class(self, module: str, name: str) -> type:
                return real.find(module, name)

            def persistent_load(self, pid: object) -> object:
                real.expect(type(pid) is tuple and pid[0] == "storage", "a persistent id of something else")
                return pid

        class Slow(pickle._Unpickler):
            find_class = Fast.find_class
            persistent_load = Fast.persistent_load

        for loader in (Fast, Slow):
            stream = io.BytesIO(content)
            with suppress(Exception):  # stand-ins do not behave as what they stand for
                for _ in range(pickles):
                    loader(stream).load()
                self.expect(end in (None, stream.tell()), f"ends at {stream.tell()}")

    def expect(self, promise: bool, otherwise: str) -> None:
        if not promise:
            self.broken.append(otherwise)


class _Recording(type):
    """Its instances are classes; calling one is REDUCE, creating an instance by ``__new__`` is NEWOBJ."""

    key: str
    real: _Real
    use: Use | None

    def __call__(cls, *arguments: object) -> object:
        promised = {
            Use.CONFIG: not arguments,
            Use.CALLED: cls._as_promised(arguments),
        }
        cls.real.expect(
            cls.use is not None and promised.get(cls.use, False), f"calls {cls.key} with {arguments!r:.200}"
        )
        return cls.__new__(cls)  # type: ignore[call-overload]

    def _as_promised(cls, arguments: tuple[object, ...]) -> bool:
        match cls.key.replace("__builtin__", "builtins"):
            case "collections OrderedDict":
                return not arguments
            case "builtins getattr":
                return arguments[1:] == ("forward",) and getattr(arguments[0], "use", None) is Use.MODULE
            case "_codecs encode":
                return arguments[1:] in (("latin1",), ("latin-1",))
        return True


class _Stub(metaclass=_Recording):
    built = False

    def __new__(cls, *arguments: object) -> _Stub:
        cls.real.expect(not arguments, f"creates {cls.key} with arguments")
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        plain = type(state) is dict and not any(isinstance(key, str) and key.startswith("__") for key in state)
        cls = type(self)
        cls.real.expect(not self.built, f"fills {cls.key} twice")
        cls.real.expect(plain or cls.key == "numpy dtype", f"fills {cls.key} with {state!r:.200}")
        self.built = True

    def __setitem__(self, key: object, value: object) -> None:
        cls = type(self)
        cls.real.expect(cls.key == "collections OrderedDict", f"sets an item on {cls.key}")

    def append(self, item: object) -> None:
        type(self).real.expect(False, "appends to what is not a list")

    extend = add = update = append


@given(st.one_of(_STREAMS, _mutated(_PICKLES), _PLAIN.map(lambda data: pickle.dumps(data, 4))))
@settings(max_examples=600)
def test_what_passes_does_only_what_was_promised_in_both_of_pythons_unpicklers(content: bytes) -> None:
    real = _Real(allow_list("ultralytics"))
    walk, stream = Walk(real.allowed), io.BytesIO(content)
    try:
        walk.follow(stream)
    except RefusalError:
        return
    real.load(content, end=stream.tell())
    assert real.broken == []
    assert {name.replace(" ", ".") for name in real.asked} <= walk.found


@pytest.mark.parametrize("hostile", [hostile for hostile in CORPUS if hostile.pickles], ids=str)
def test_the_comparison_notices_what_is_hostile(hostile: Hostile) -> None:
    real = _Real(allow_list("ultralytics"))
    assert hostile.pickles
    for content in hostile.pickles(Path("canary")):
        real.load(content, pickles=5)
    assert real.broken != []


@pytest.mark.parametrize("content", _PICKLES, ids=[kind.name for kind in genuine.KINDS])
def test_the_comparison_finds_nothing_in_genuine_pickles(content: bytes) -> None:
    real = _Real(allow_list("ultralytics"))
    real.load(content)
    assert real.asked
    assert real.broken == []
