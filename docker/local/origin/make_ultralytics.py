"""Make random-weight checkpoints in the true format of ultralytics' releases.

Runs where ultralytics is installed: the image weightdock/ultralytics-uploader. An asset that is
already there is left alone, and when all are there neither torch nor ultralytics is imported.

    python make_ultralytics.py /origin                            what weightdock's catalogue has
    python make_ultralytics.py /origin yolo11n yolo_world_v2_s=yolov8s-worldv2.pt

The layout of a checkpoint follows `strip_optimizer` in ultralytics/utils/torch_utils.py, which
wrote the released ones, and Meta's `{"model": state_dict}` for SAM. The same versions on the same
machine give the same bytes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import shelf

# What ultralytics 8.4 asks for: `attempt_download_asset(release=...)` in its utils/downloads.py.
RELEASE = "v8.4.0"
SEED = 0
# `Model.save` writes the hour of saving, which would give every run other bytes.
DATE = "2026-01-01T00:00:00+00:00"


def registered() -> list[str]:
    """Give every model of weightdock's catalogue, as the command line would name it."""
    from weightdock.artifact import Framework
    from weightdock.catalogue import load

    specs = load(Framework("ultralytics"))
    return [f"{spec.model.name}={spec.asset or spec.file_name}" for spec in specs]


def asset_of(model: str) -> str:
    """Read `NAME` or `NAME=ASSET`: the file's name among the release's assets."""
    name, _, asset = model.partition("=")
    return asset or f"{name}.pt"


def checkpoint(asset: str) -> dict[str, object]:
    """Build what the release's file holds, with fresh weights.

    SystemExit where ultralytics has no definition of such a model.
    """
    import torch
    from ultralytics import YOLO, __version__
    from ultralytics.models.sam.build import sam_model_map
    from ultralytics.utils import DEFAULT_CFG_DICT

    torch.manual_seed(SEED)
    if asset in sam_model_map:
        return {"model": sam_model_map[asset]().state_dict()}
    try:
        model = YOLO(asset.removesuffix(".pt") + ".yaml").model
    except FileNotFoundError as error:
        raise SystemExit(f"{asset}: ultralytics has no model definition: {error}") from error
    for parameter in model.parameters():
        parameter.requires_grad = False
    return {
        "date": DATE,
        "version": __version__,
        "license": "AGPL-3.0 License (https://ultralytics.com/license)",
        "docs": "https://docs.ultralytics.com",
        "epoch": -1,
        "best_fitness": None,
        "model": model.half(),
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": {**DEFAULT_CFG_DICT, "task": model.task, "model": asset},
        "train_metrics": {},
        "train_results": {},
    }


def write(asset: str, path: Path) -> None:
    """Save the checkpoint of `asset` at `path`."""
    import torch

    # To a file object: given a path, torch.save writes the path's stem into the archive.
    with path.open("wb") as file:
        torch.save(checkpoint(asset), file)


def main(arguments: list[str] | None = None) -> int:
    """Make what is missing; one line on stderr for each file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, help="the folder that serve.py serves")
    names = "models; ASSET is NAME.pt unless given (default: the catalogue's models)"
    parser.add_argument("models", nargs="*", metavar="NAME[=ASSET]", help=names)
    parser.add_argument("--release", default=RELEASE, help="the tag (default: %(default)s)")
    given = parser.parse_args(arguments)
    folder: Path = given.root / "github/ultralytics/assets" / given.release
    with shelf.exclusive(folder), tempfile.TemporaryDirectory() as settings:
        # Read at import: no DNS query, no pip, and a settings file that nobody else uses.
        os.environ.update(YOLO_OFFLINE="1", YOLO_AUTOINSTALL="0", YOLO_CONFIG_DIR=settings)
        os.environ["YOLO_VERBOSE"] = "0"
        for asset in map(asset_of, given.models or registered()):
            if item := shelf.find(folder / asset):
                print(f"present {asset} {item.size} bytes", file=sys.stderr)
                continue
            begun = time.monotonic()
            item = shelf.publish(folder / asset, partial(write, asset))
            seconds = time.monotonic() - begun
            print(f"made {asset} {item.size} bytes {seconds:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
