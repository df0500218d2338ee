"""A catalogue and its lock, as tests of locks set them up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support.samples import ORIGIN, TOY, content, digest
from weightdock.artifact import ModelId
from weightdock.catalogue import lock
from weightdock.catalogue.lock import Locked

MODELS = """\
extension = "bin"

[models.alpha]
task = "classify"
description = "the toy alpha"
"""

PATTERN = """\

[models."convnext_*"]
task = "classify"
description = "all of them"
"""


def locked_toy(name: str = "alpha", weights: bytes | None = None) -> Locked:
    """What a lock says of a model; of others than ``content(name)`` where ``weights`` are given."""
    weights = content(name) if weights is None else weights
    url, versions = f"{ORIGIN}/{name}.bin", {"toy": "1.0"}
    return Locked(ModelId(TOY, name), "", url, "r1", len(weights), digest(weights), "MIT", versions)


def home_of(folder: Path, models: str = MODELS, locked: Sequence[Locked] | str | bytes | None = None) -> Path:
    """A catalogue of the toy alone."""
    home = folder / "catalogue"
    (home / "toy").mkdir(parents=True)
    (home / "toy" / "models.toml").write_text(models, encoding="utf-8")
    if locked is not None:
        text = locked if isinstance(locked, str | bytes) else lock.render(locked)
        lock.lock_path(TOY, home).write_bytes(text if isinstance(text, bytes) else text.encode())
    return home
