"""The gate against the real frameworks: what they save passes, and its allow-list is within torch's own.

Runs in an uploader's image. Makes every registered kind with the framework itself, with random weights, in the shapes
that releases have had: both formats of torch, halves, numbers of numpy, functions of classes, a kept loss.
"""

# ruff: noqa: T201, BLE001  # it prints its answer, and reports whatever a framework raises

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from weightdock.safety import gate
from weightdock.safety.allow import Use, allow_list

FOLDER = Path(tempfile.mkdtemp())
os.environ.update(YOLO_CONFIG_DIR=str(FOLDER), YOLO_OFFLINE="1", YOLO_AUTOINSTALL="0", YOLO_VERBOSE="0")
os.environ.update(ULTRALYTICS_SAFE_LOAD="1", TORCH_FORCE_WEIGHTS_ONLY_LOAD="1", MPLCONFIGDIR=str(FOLDER))
# The classes whose `__setstate__` was read: each copies the dictionary and sets missing defaults.
READ = {"Module", "_ConvNd", "AvgPool3d", "Softmax", "MultiheadAttention", "Upsample", "AAttn"}
READ |= {"TransformerEncoderLayer", "RNNBase", "LogSoftmax", "Softmin", "TransformerDecoderLayer"}
ALIASES = {"__builtin__", "ultralytics.yolo.utils"}  # which unpicklers and the loader know under other names
LOADED: list[str] = []


def saved(framework: str, name: str, value: object, load: Callable[[Path], object], **how: Any) -> None:
    """Save with torch, judge, load with the framework's safe loader, and forget."""
    import torch

    path = FOLDER / name
    torch.save(value, path, **how)
    verdict = gate.check(path, framework)
    load(path)
    path.unlink()
    LOADED.append(f"{name} {verdict.format} {len(verdict.names)}")


def weights(path: Path) -> object:
    """torch's own safe loader."""
    import torch

    return torch.load(path, weights_only=True)


def state_dicts(framework: str, name: str, state: dict[str, Any]) -> None:
    """A state dict in every shape."""
    import torch

    saved(framework, f"{name}.pth", state, weights)
    saved(framework, f"{name}-legacy.pth", state, weights, _use_new_zipfile_serialization=False)
    first = dict(list(state.items())[:20])
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.uint16):
        saved(framework, f"{name}-{dtype}.pth", {key: value.to(dtype) for key, value in first.items()}, weights)
    shared = next(iter(first.values()))
    views = {"whole": shared, "view": shared.flatten()[1:], "turned": shared.flatten()[None].t(), "none": shared[:0]}
    saved(framework, f"{name}-views.pth", views | {"number": shared.flatten()[0]}, weights)
    parameters = {"parameter": torch.nn.Parameter(shared), "shape": shared.shape, "device": shared.device}
    saved(framework, f"{name}-parameters.pth", parameters | {"dtype": shared.dtype, "set": {1}, "bytes": b"x"}, weights)


def timm_kinds() -> None:
    """timm's three: state dicts."""
    timm = import_module("weightdock.origins.timm").library()
    for name in ("convnext_tiny", "tf_efficientnetv2_s.in1k", "vit_base_patch16_224"):
        state_dicts("timm", name, timm.create_model(name).state_dict())


def ultralytics_kinds() -> None:
    """ultralytics' five: whole models, and SAM's state dict."""
    import torch
    from ultralytics import SAM, YOLO
    from ultralytics.models.sam.build import build_sam2_t
    from ultralytics.nn.modules.head import Detect
    from ultralytics.utils import DEFAULT_CFG_DICT, IterableSimpleNamespace

    float64 = import_module("numpy").float64
    for name in ("yolo11n", "yolo11n-seg", "yolo11n-pose", "yolov8s-worldv2"):
        model = YOLO(f"{name}.yaml").model
        state_dicts("ultralytics", name, model.state_dict())
        checkpoint = {"epoch": -1, "model": model.half(), "train_args": {**DEFAULT_CFG_DICT, "data": "coco.yaml"}}
        saved("ultralytics", f"{name}.pt", checkpoint, YOLO)
        # As releases between 8.0 and 8.4 have it, and as a model is saved while it trains.
        model.args = IterableSimpleNamespace(**DEFAULT_CFG_DICT)
        model.model[-1].detect = Detect.forward
        model.criterion = model.init_criterion()
        checkpoint |= {"best_fitness": float64(0.5), "train_metrics": {"fitness": float64(0.5)}}
        saved("ultralytics", f"{name}-old.pt", checkpoint, YOLO)
        saved("ultralytics", f"{name}-ema.pt", {**checkpoint, "model": None, "ema": model.float()}, YOLO)
    sam = build_sam2_t().state_dict()
    saved("ultralytics", "sam2_t.pt", {"model": sam}, SAM)
    state_dicts("ultralytics", "sam2_t", sam)
    print(f"ultralytics {import_module('ultralytics').__version__}, torch {torch.__version__}", file=sys.stderr)


def beyond_torch() -> Iterator[str]:
    """Names of our torch part that torch's safe loader does not allow."""
    from torch._weights_only_unpickler import _get_allowed_globals

    theirs = set(_get_allowed_globals())
    for allowed in allow_list("torch").names.values():
        if str(allowed).replace("__builtin__", "builtins") not in theirs:
            yield str(allowed)


def unlike_layers(framework: str) -> Iterator[str]:
    """Classes of the list that are no plain layers: creating or filling one might do more than the gate believes."""
    for allowed in allow_list(framework).names.values():
        if allowed.use is not Use.MODULE:
            continue
        cls = getattr(import_module(allowed.module), allowed.name, None)
        if not isinstance(cls, type):
            yield f"{allowed} is not there" if cls is None else f"{allowed} is no class"
            continue
        for base in cls.__mro__[:-1]:
            odd = {"__new__", "__reduce__", "__reduce_ex__", "__init_subclass__", "__del__"} & vars(base).keys()
            if odd or ("__setstate__" in vars(base) and base.__name__ not in READ):
                yield f"{allowed} by {base.__name__} {sorted(odd)}"


def not_there(framework: str) -> Iterator[str]:
    """Modules that cannot be imported: ultralytics' loader would install what the index has by their name."""
    for module in sorted({allowed.module for allowed in allow_list(framework).names.values()} - ALIASES):
        try:
            import_module(module)
        except ModuleNotFoundError:
            yield f"{module} is not there"


def main() -> int:
    """Print what passed; fail with what did not."""
    framework = next(name for name in (*sys.argv[1:], "ultralytics", "timm") if find_spec(name))
    problems: list[str] = []
    try:
        {"ultralytics": ultralytics_kinds, "timm": timm_kinds}[framework]()
    except Exception as error:
        problems.append(f"after {LOADED[-1:]}: {type(error).__name__}: {error}")
    problems += [f"not on torch's list: {name}" for name in beyond_torch()]
    problems += unlike_layers(framework)
    problems += not_there(framework)
    print("\n".join(LOADED), file=sys.stderr)
    print("\n".join(problems) or f"{framework}: all pass")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
