"""The eight registered kinds of checkpoint as small stand-ins: every name that the real ones hold, in their shapes.

Pickled by Python's own pickler from stand-ins of the frameworks' classes, so memo and opcodes are what real files
have. The real files are judged inside the images (tests/images/inside/check_gate.py).
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from support.hostile.torch_format import torch_legacy, torch_zip

_NN = "torch.nn.modules"
_UL = "ultralytics.nn.modules"
_COMMON = (
    f"{_NN}.activation.SiLU",
    f"{_NN}.batchnorm.BatchNorm2d",
    f"{_NN}.container.ModuleList",
    f"{_NN}.container.Sequential",
    f"{_NN}.conv.Conv2d",
    f"{_NN}.linear.Identity",
    f"{_NN}.pooling.MaxPool2d",
    f"{_NN}.upsampling.Upsample",
    f"{_UL}.block.Bottleneck",
    f"{_UL}.block.DFL",
    f"{_UL}.block.SPPF",
    f"{_UL}.conv.Concat",
    f"{_UL}.conv.Conv",
)
_YOLO11 = (
    *_COMMON,
    *(f"{_UL}.block.{name}" for name in ("Attention", "C2PSA", "C3k", "C3k2", "PSABlock")),
    f"{_UL}.conv.DWConv",
)
_WORLD = tuple(f"{_UL}.block.{name}" for name in ("BNContrastiveHead", "C2f", "C2fAttn", "MaxSigmoidAttnBlock"))

_ALWAYS = (
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *(f"torch.{kind}Storage" for kind in ("BFloat16", "Float", "Half", "Long")),
)


@dataclass(frozen=True)
class Kind:
    """One registered kind. Without classes it is a state dict, and with ``wrapped`` one under the key ``model``."""

    framework: str
    name: str
    classes: tuple[str, ...] = ()
    wrapped: bool = False


KINDS = (
    Kind("ultralytics", "yolo11n", ("ultralytics.nn.tasks.DetectionModel", f"{_UL}.head.Detect", *_YOLO11)),
    Kind(
        "ultralytics",
        "yolo11n-seg",
        (
            "ultralytics.nn.tasks.SegmentationModel",
            f"{_UL}.head.Segment",
            f"{_UL}.block.Proto",
            f"{_NN}.conv.ConvTranspose2d",
            *_YOLO11,
        ),
    ),
    Kind("ultralytics", "yolo11n-pose", ("ultralytics.nn.tasks.PoseModel", f"{_UL}.head.Pose", *_YOLO11)),
    Kind(
        "ultralytics",
        "yolo_world_v2_s",
        ("ultralytics.nn.tasks.WorldModel", f"{_UL}.head.WorldDetect", f"{_NN}.linear.Linear", *_COMMON, *_WORLD),
    ),
    Kind("ultralytics", "sam2_t", wrapped=True),
    Kind("timm", "convnext_tiny"),
    Kind("timm", "tf_efficientnetv2_s.in1k"),
    Kind("timm", "vit_base_patch16_224"),
)


class _Storage:
    def __init__(self, key: str, kind: str, data: bytes, elements: int) -> None:
        self.key, self.kind, self.data, self.elements = key, kind, data, elements


class _Tensor:
    """Pickles as a tensor does."""

    def __init__(self, torch: _Torch, kind: str, item_bytes: int, size: tuple[int, ...]) -> None:
        elements = 1
        for count in size:
            elements *= count
        self.torch, self.size = torch, size
        self.storage = torch.store(kind, bytes(elements * item_bytes), elements)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        stride = tuple(self._step(axis) for axis in range(len(self.size)))
        rebuild = self.torch.named("torch._utils._rebuild_tensor_v2")
        return rebuild, (self.storage, 0, self.size, stride, False, OrderedDict())

    def _step(self, axis: int) -> int:
        step = 1
        for count in self.size[axis + 1 :]:
            step *= count
        return step


class _Parameter:
    def __init__(self, tensor: _Tensor) -> None:
        self.tensor = tensor

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        rebuild = self.tensor.torch.named("torch._utils._rebuild_parameter")
        return rebuild, (self.tensor, False, OrderedDict())


class _Torch:
    """Stand-ins of the frameworks' modules, in ``sys.modules`` while something is pickled."""

    def __init__(self) -> None:
        self.storages: list[_Storage] = []
        self._modules: dict[str, ModuleType] = {}
        for dotted in _ALWAYS:
            self.named(dotted)

    def store(self, kind: str, data: bytes, elements: int) -> _Storage:
        storage = _Storage(str(len(self.storages)), kind, data, elements)
        self.storages.append(storage)
        return storage

    def named(self, dotted: str) -> Any:
        """The class or function of that name."""
        module, _, name = dotted.rpartition(".")
        for end in (*(at for at, letter in enumerate(module) if letter == "."), len(module)):
            self._modules.setdefault(module[:end], ModuleType(module[:end]))
        home = self._modules[module]
        if not hasattr(home, name):

            def stand_in(*_: object) -> None: ...

            thing: Any = stand_in if name.startswith("_") else type(name, (), {"forward": lambda self: None})
            thing.__module__, thing.__qualname__ = module, name
            if isinstance(thing, type):
                thing.forward.__module__, thing.forward.__qualname__ = module, f"{name}.forward"  # type: ignore[attr-defined]
            setattr(home, name, thing)
        return getattr(home, name)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Where the pickler looks whether a class is what its name says."""
        before = {name: sys.modules.get(name) for name in self._modules}
        sys.modules.update(self._modules)
        try:
            yield
        finally:
            for name, module in before.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module

    def pickled(self, value: object, *, legacy: bool = False) -> bytes:
        """``value`` with protocol 2 and storages by persistent id."""
        torch, stream = self, io.BytesIO()

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj: object) -> object:
                if not isinstance(obj, _Storage):
                    return None
                identity = ("storage", torch.named(f"torch.{obj.kind}"), obj.key, "cpu", obj.elements)
                return (*identity, None) if legacy else identity

        with self.installed():
            Pickler(stream, protocol=2).dump(value)
        return stream.getvalue()


def build(kind: Kind, *, legacy: bool = False) -> bytes:
    """The file of one kind."""
    torch, content = _contents(kind, legacy=legacy)
    if legacy:
        return torch_legacy(content, [(one.key, one.elements, one.data) for one in torch.storages])
    return torch_zip(content, {one.key: one.data for one in torch.storages})


def pickled(kind: Kind) -> bytes:
    """The pickle inside it."""
    return _contents(kind, legacy=False)[1]


def _contents(kind: Kind, *, legacy: bool) -> tuple[_Torch, bytes]:
    torch = _Torch()
    value = _model(torch, kind) if kind.classes else _state_dict(torch)
    return torch, torch.pickled({"model": value} if kind.wrapped else value, legacy=legacy)


def _state_dict(torch: _Torch) -> OrderedDict[str, object]:
    state: OrderedDict[str, object] = OrderedDict()
    for layer in ("stem", "stages.0.blocks.0", "head"):
        state[f"{layer}.weight"] = _Tensor(torch, "FloatStorage", 4, (4, 3, 2, 2))
        state[f"{layer}.bias"] = _Tensor(torch, "BFloat16Storage", 2, (4,))
    state["num_batches_tracked"] = _Tensor(torch, "LongStorage", 8, ())
    vars(state)["_metadata"] = OrderedDict({"": {"version": 1}, "stem": {"version": 1}})
    return state


def _module(torch: _Torch, dotted: str, inside: Sequence[object] = ()) -> Any:
    module = torch.named(dotted)()
    vars(module).update(
        training=False,
        _parameters=OrderedDict(weight=_Parameter(_Tensor(torch, "HalfStorage", 2, (2, 2))), bias=None),
        _buffers=OrderedDict(running_mean=_Tensor(torch, "FloatStorage", 4, (2,))),
        _non_persistent_buffers_set=set(),
        _backward_hooks=OrderedDict(),
        _forward_hooks=OrderedDict(),
        _modules=OrderedDict((str(position), module) for position, module in enumerate(inside)),
        kernel_size=(3, 3),
        padding_mode="zeros",
    )
    return module


def _model(torch: _Torch, kind: Kind) -> dict[str, object]:
    model_class, head_class, *layers = kind.classes
    head = _module(torch, head_class)
    detect = torch.named(f"{_UL}.head.Detect")
    # Real segmentation and pose heads of ultralytics 8.0 to 8.3 keep the function itself.
    vars(head)["detect"] = detect.forward
    model = _module(torch, model_class, [*(_module(torch, name) for name in layers), head])
    config = torch.named("ultralytics.utils.IterableSimpleNamespace")
    config.__reduce__ = lambda self: (config, (), vars(self))
    arguments = config()
    vars(arguments).update(imgsz=640, data="coco.yaml", task="detect", optimizer="auto", cfg=None)
    vars(model).update(
        yaml={
            "nc": 80,
            "scales": {"n": [0.5, 0.25, 1024]},
            "backbone": [[-1, 1, "Conv", [64, 3, 2]], [-1, 2, "C3k2", [256, False, 0.25]]],
            "head": [[-1, 1, "nn.Upsample", ["None", 2, "nearest"]], [[16, 19, 22], 1, "Detect", ["nc"]]],
            "ch": 3,
        },
        names={0: "person", 1: "bicycle"},
        args=arguments,
        stride=_Tensor(torch, "FloatStorage", 4, (3,)),
        criterion=None,
    )
    return {
        "date": "2024-09-27T12:00:00.000000",
        "version": "8.3.0",
        "docs": "https://docs.ultralytics.com",
        "epoch": -1,
        "best_fitness": None,
        "model": model,
        "ema": None,
        "train_args": {"data": "/ultralytics/cfg/datasets/coco.yaml", "model": "yolo11n.yaml", "amp": True},
        "train_results": {"epoch": [1, 2], "metrics/mAP50(B)": [0.5, 0.6]},
    }
