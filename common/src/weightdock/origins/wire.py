"""The values that cross between parent and child, as JSON.

What cannot be read raises KeyError, TypeError or ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weightdock.artifact import Digest, ModelId, Provenance
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.origins import AcquiredFile

Fields = Mapping[str, Any]


def spec_fields(spec: ModelSpec) -> dict[str, Any]:
    """A model for the child."""
    return {**spec._asdict(), "model": str(spec.model), "locked": locked_fields(spec.locked) if spec.locked else None}


def spec_from(fields: Fields) -> ModelSpec:
    """The inverse of :func:`spec_fields`."""
    locked = fields["locked"]
    known = None if locked is None else locked_from(locked)
    return ModelSpec(**{**fields, "model": ModelId.parse(fields["model"]), "locked": known})


def locked_fields(locked: Locked) -> dict[str, Any]:
    """What an origin said, for the parent."""
    return {**locked._asdict(), "model": str(locked.model), "sha256": locked.sha256.hex}


def locked_from(fields: Fields) -> Locked:
    """The inverse of :func:`locked_fields`."""
    return Locked(**{**fields, "model": ModelId.parse(fields["model"]), "sha256": Digest(fields["sha256"])})


def acquired_fields(acquired: AcquiredFile) -> dict[str, Any]:
    """An acquired file for the parent."""
    published, streamed = acquired.published, acquired.streamed
    return {
        "path": str(acquired.path),
        "provenance": acquired.provenance._asdict(),
        "published": published.hex if published else None,
        "published_bytes": acquired.published_bytes,
        "streamed": streamed.hex if streamed else None,
    }


def acquired_from(fields: Fields, inside: Path) -> AcquiredFile:
    """The inverse of :func:`acquired_fields`. The path must lie ``inside`` the folder that was given."""
    path = Path(fields["path"])
    if path.parent != inside:
        raise ValueError(f"{path} is not in {inside}")
    published, streamed = fields["published"], fields["streamed"]
    return AcquiredFile(
        path=path,
        provenance=Provenance.read(fields["provenance"]),
        published=Digest(published) if published else None,
        published_bytes=fields["published_bytes"],
        streamed=Digest(streamed) if streamed else None,
    )
