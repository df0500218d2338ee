"""The README's drop-in example for ultralytics, with checkpoints of random weights in the cache and no network."""

import os
import subprocess
import sys
from pathlib import Path

from ultralytics import YOLO

from weightdock.artifact import ModelId
from weightdock.cache import Cache
from weightdock.verify import verify

cache = Cache(Path("/workspace/data/.cache/models"))
for name, config in {"yolo11n": "yolo11n.yaml", "yolo_world_v2_s": "yolov8s-worldv2.yaml"}.items():
    model = ModelId.parse(f"ultralytics/{name}")
    with cache.partial(model) as folder:
        YOLO(config).save(folder / "made.pt")
        cache.publish(verify(model, folder / "made.pt", []), "pt")

Path("/workspace/data/.cache/job").mkdir()
os.chdir("/workspace/data/.cache/job")
for name in ("yolo11n", "yolo_world_v2_s"):
    command = ["weightdock", "resolve", f"ultralytics/{name}", "--layout", "ultralytics", "."]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
for asset, name in {"yolo11n.pt": "yolo11n", "yolov8s-worldv2.pt": "yolo_world_v2_s"}.items():
    assert Path(asset).samefile(cache.path(ModelId.parse(f"ultralytics/{name}"), "pt"))
    assert sum(one.numel() for one in YOLO(asset).model.parameters()) > 1_000_000
sys.stdout.write("ultralytics: loaded by name\n")
