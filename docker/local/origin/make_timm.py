"""Make random-weight `model.safetensors` files as timm's repositories on the hub hold them.

Runs where timm is installed: the image weightdock/timm-uploader. timm itself says which hub
repository a name means, and what it said is kept in `hf/repositories.json`, so that a run with
nothing to do imports neither torch nor timm.

    python make_timm.py /origin                            what weightdock's catalogue has
    python make_timm.py /origin convnext_tiny tf_efficientnetv2_s.in1k

`create_model(name, pretrained=True)` asks a repository for `model.safetensors` alone, so nothing
else is made. The same versions on the same machine give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import shelf

WEIGHTS = "model.safetensors"
SEED = 0


class Repositories:
    """Which hub repository each model name means, as one version of timm resolves them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._timm = version("timm")
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        # Another timm may prefer other weights of the same architecture.
        self._names: dict[str, str] = known["names"] if known.get("timm") == self._timm else {}

    def get(self, name: str) -> str | None:
        """Give the repository of a name that was made before."""
        return self._names.get(name)

    def add(self, name: str, repository: str) -> None:
        """Keep the repository of a name whose file is made."""
        self._names[name] = repository
        known = {"timm": self._timm, "names": self._names}
        shelf.replace_text(self._path, json.dumps(known, indent=1) + "\n")


def registered() -> list[str]:
    """Give every model of weightdock's catalogue by its name in timm."""
    from weightdock.artifact import Framework
    from weightdock.catalogue import load

    return [spec.asset or spec.model.name for spec in load(Framework("timm"))]


def allow_any_torchvision() -> None:
    """Let timm import PyPI's torchvision beside the CPU build of torch.

    That torchvision is built for CUDA: its operators do not load, and importing it fails with
    "operator torchvision::nms does not exist". Importing needs no more than their schemas, and
    timm's models call neither. A torchvision that imports as it is must not be given them: to
    define an operator twice is an error.
    """
    import torch

    try:
        import torchvision  # noqa: F401 (only to see whether it can be imported)
    except RuntimeError:
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)


def repository_of(name: str) -> str:
    """Ask timm which repository holds `name`.

    SystemExit where timm does not load that model from a hub's `model.safetensors`.
    """
    allow_any_torchvision()
    from timm.models import get_pretrained_cfg

    cfg = get_pretrained_cfg(name)
    if cfg is None or not cfg.hf_hub_id or cfg.hf_hub_filename or cfg.custom_load:
        raise SystemExit(f"{name}: timm does not load this model from a {WEIGHTS} on the hub")
    return str(cfg.hf_hub_id).partition("@")[0]


def write(name: str, path: Path) -> None:
    """Save fresh weights of `name` at `path`, with as many classes as the published ones have."""
    import timm
    import torch
    from safetensors.torch import save_file

    for leftover in path.parent.glob(".tmp*"):  # safetensors' own, of a run that was killed
        leftover.unlink()
    torch.manual_seed(SEED)
    cfg = timm.models.get_pretrained_cfg(name)
    # Some published heads have a background class in front, which timm cuts off as it loads them.
    model = timm.create_model(name, num_classes=cfg.num_classes + (cfg.label_offset or 0))
    save_file(model.state_dict(), path, metadata={"format": "pt"})


def main(arguments: list[str] | None = None) -> int:
    """Make what is missing; one line on stderr for each file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, help="the folder that serve.py serves")
    names = "models, as timm.create_model knows them (default: the catalogue's models)"
    parser.add_argument("models", nargs="*", metavar="NAME", help=names)
    given = parser.parse_args(arguments)
    folder: Path = given.root / "hf"
    os.environ["HF_HUB_OFFLINE"] = "1"
    with shelf.exclusive(folder):
        repositories = Repositories(folder / "repositories.json")
        for name in given.models or registered():
            repository = repositories.get(name)
            if repository and (item := shelf.find(folder / repository / WEIGHTS)):
                print(f"present {repository} {item.size} bytes", file=sys.stderr)
                continue
            begun = time.monotonic()
            repository = repository_of(name)
            item = shelf.publish(folder / repository / WEIGHTS, partial(write, name))
            repositories.add(name, repository)
            seconds = time.monotonic() - begun
            print(f"made {repository} {item.size} bytes {seconds:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
