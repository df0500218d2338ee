"""Takes the place of weightdock/origins/timm.py in a copy of the package: true names, small files, no torch.

Everything else of an upload is real: the child process, its protocol, the gate, the digests, the store.
"""

from __future__ import annotations

import hashlib
import pickle
from fnmatch import fnmatchcase
from pathlib import Path

from weightdock.artifact import Digest, Provenance
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.origins import AcquiredFile
from weightdock.settings import Settings

_FILE_BYTES = 10_000


def environment(cache: Path) -> dict[str, str]:
    """Nothing to set."""
    return {"STAND_IN": str(cache)}


def endpoint(settings: Settings) -> str:
    """As timm's."""
    return settings.hf_endpoint


def origin(settings: Settings) -> StandIn:
    """The origin."""
    return StandIn(settings)


class StandIn:
    """Gives each model a file that is its own, and that the gate lets pass."""

    def __init__(self, settings: Settings) -> None:
        self._endpoint = settings.hf_endpoint

    def acquire(self, spec: ModelSpec, into: Path) -> AcquiredFile:
        """Write the file."""
        content = pickle.dumps(spec.model.name * (_FILE_BYTES // len(spec.model.name)), protocol=2)
        path = into / spec.file_name
        path.write_bytes(content)
        url = f"{self._endpoint}/timm/{spec.model.name}/resolve/main/model.safetensors"
        digest = f"sha256:{spec.locked.sha256}" if spec.locked else ""
        return AcquiredFile(
            path=path,
            streamed=Digest(hashlib.sha256(content).hexdigest()),
            provenance=Provenance(url, "r1", digest, "apache-2.0", {"timm": "1.0.31", "torch": "2.13.0+cpu"}),
        )

    def load(self, spec: ModelSpec, path: Path) -> None:
        """Nothing to load it into."""

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        """Not used: a lock is taken by the real one."""
        raise NotImplementedError(spec.model.name)

    def names(self, pattern: str) -> tuple[str, ...]:
        """Not used either."""
        return tuple(name for name in (pattern,) if fnmatchcase(name, pattern))
