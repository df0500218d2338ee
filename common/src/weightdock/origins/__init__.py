"""Where weights come from: one module per framework, the only importers of those libraries.

A module here has the framework's name and gives ``environment(cache)``, what the library's caches and safety need to
be set before it is imported, ``endpoint(settings)``, with which the URLs of its files begin, and ``origin(settings)``,
an :class:`Origin`. It imports the library inside functions: importing the module itself is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weightdock.artifact import Digest, Provenance
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.verify import Expectation


@dataclass(frozen=True)
class AcquiredFile:
    """What the framework's loader gave, not yet trusted.

    ``published`` is the digest that the origin publishes for exactly this file; ``streamed`` is the file's digest where
    weightdock wrote it and hashed while writing. Either may be None.
    """

    path: Path
    provenance: Provenance
    published: Digest | None = None
    published_bytes: int | None = None
    streamed: Digest | None = None


class Origin(Protocol):
    """One framework's own loader."""

    def acquire(self, spec: ModelSpec, into: Path) -> AcquiredFile:
        """Get the model's file into the folder ``into``.

        Raises OriginError when the origin does not give it, IntegrityError when it gives something else than it
        publishes, ConfigurationError when the framework does not know the asset.
        """

    def load(self, spec: ModelSpec, path: Path) -> None:
        """Load the file into its model with the framework's safe loader. Raises IntegrityError."""

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        """What the origin says of the model's file. Downloads it, into ``into``, only where it publishes no digest.

        Raises as :meth:`acquire` does.
        """

    def names(self, pattern: str) -> tuple[str, ...]:
        """The framework's own names with pretrained weights that match a glob."""


def as_locked(locked: Locked) -> Expectation:
    """What ``models.lock`` says of the origin's file."""
    advice = "find out why the origin changed it; if it is meant: make lock"
    return Expectation("models.lock", locked.size_bytes, locked.sha256, advice)


def could_not_locate(spec: ModelSpec, places: tuple[Path, ...]) -> str:
    """The cause of "Could not locate downloaded weights": where was looked."""
    return f"the library reported {spec.model} as downloaded; looked in: {', '.join(str(place) for place in places)}"
