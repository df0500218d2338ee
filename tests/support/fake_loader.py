"""An origin in a dict: what it gives, what it publishes of it, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from support.samples import ORIGIN, digest, provenance
from weightdock.artifact import Digest
from weightdock.catalogue import ModelSpec
from weightdock.errors import IntegrityError, WeightdockError
from weightdock.events import BytesObserver
from weightdock.origins import AcquiredFile


class FakeLoader:
    """Gives ``files[name]``. ``published`` is what the origin says of a file, where that is not the truth.

    ``refusals`` maps a name to the error that acquiring it meets, ``unloadable`` names the files that give no model
    and ``unwritten`` those that the library only claims to have written. ``requests`` is everything asked, in order.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.endpoint = ORIGIN
        self.files = dict(files)
        self.published: dict[str, Digest] = {}
        self.published_bytes: dict[str, int] = {}
        self.refusals: dict[str, WeightdockError] = {}
        self.unloadable: set[str] = set()
        self.unwritten: set[str] = set()
        self.requests: list[str] = []

    def acquire(self, spec: ModelSpec, into: Path, arrived: BytesObserver) -> AcquiredFile:
        name = spec.model.name
        self.requests.append(f"acquire {name}")
        path = into / f"{name}.download"
        path.write_bytes(self.files[name][:1])
        if error := self.refusals.get(name):
            raise error
        path.write_bytes(self.files[name])
        arrived(len(self.files[name]))
        if name in self.unwritten:
            path.unlink()
        return AcquiredFile(
            path=path,
            provenance=provenance(name),
            published=self.published.get(name, digest(self.files[name])),
            published_bytes=self.published_bytes.get(name, len(self.files[name])),
        )

    def load(self, spec: ModelSpec, path: Path) -> None:
        name = spec.model.name
        self.requests.append(f"load {name}")
        if path.read_bytes() != self.files[name]:
            raise AssertionError(f"{path} is not what was acquired")
        if name in self.unloadable:
            raise does_not_load(name)


def does_not_load(name: str) -> IntegrityError:
    """The refusal of a loader."""
    return IntegrityError(f"toy/{name} does not load", cause="the toy says no", next="ask the toy")
