"""What ``models.lock`` is made of: every registered model, patterns expanded, as its origin describes it now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from weightdock import catalogue
from weightdock.artifact import Framework, ModelId
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec, models_file
from weightdock.catalogue.lock import Locked


class Describer(Protocol):
    """An origin as locking uses it: :class:`weightdock.origins.child.OriginProcess`."""

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        """What the origin says of the model's file."""

    def names(self, pattern: str) -> tuple[str, ...]:
        """The framework's names that match."""


def lock_models(
    framework: Framework, origin: Describer, cache: Cache, say: Callable[[str], None], home: Path = catalogue.HOME
) -> list[Locked]:
    """Ask the origin about every model. Raises as :meth:`weightdock.origins.Origin.lock` does: a lock is whole."""
    file = models_file.read(framework, home)
    named = {entry.name for entry in file.entries if not entry.is_pattern}
    locked: dict[ModelId, Locked] = {}
    for entry in file.entries:
        names = [name for name in origin.names(entry.name) if name not in named] if entry.is_pattern else [entry.name]
        for name in names:
            if ModelId(framework, name) in locked:
                continue  # of two patterns
            spec = ModelSpec(ModelId(framework, name), file.extension, entry.asset, entry.task, entry.description)
            with cache.partial(spec.model) as folder:
                locked[spec.model] = origin.lock(spec, folder)
            say(f"{spec.model}  {locked[spec.model].sha256.short}  {locked[spec.model].size_bytes} bytes")
    return list(locked.values())
