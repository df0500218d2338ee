"""Run a module's ``main``, or only import it, and write down every foreign library that anything tried to import.

``python import_probe.py OUTPUT MODULE [ARGUMENT…]``: what is tried counts, whether or not it is installed.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from pathlib import Path

FOREIGN = frozenset(
    {"boto3", "botocore", "docker", "httpx", "huggingface_hub", "requests", "safetensors", "timm", "torch"}
    | {"torchvision", "ultralytics", "urllib3"}
)


class Probe(MetaPathFinder):
    """Finds nothing, and remembers who was looked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def find_spec(self, name: str, *_: object) -> None:
        self.asked.add(name.partition(".")[0])


if __name__ == "__main__":
    output, module, *arguments = sys.argv[1:]
    probe = Probe()
    sys.meta_path.insert(0, probe)
    try:
        imported = import_module(module)
        if arguments:
            imported.main(arguments)
    finally:
        Path(output).write_text(json.dumps(sorted(probe.asked & FOREIGN)), encoding="utf-8")
