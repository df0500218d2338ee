"""Which multipart uploads of this machine were begun and not ended: one small file each, in the cache.

::

    <WEIGHTDOCK_CACHE>/.uploads/<sha256 of endpoint, bucket and key>.json

A run that was killed leaves its file, and the next one goes on with that upload. R2 forgets unfinished uploads after
seven days (https://developers.cloudflare.com/r2/objects/multipart-objects/), so a file may name one that is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4


@dataclass(frozen=True)
class Begun:
    """An upload that was begun: of which bytes, in parts of which size."""

    upload_id: str
    sha256: str
    size_bytes: int
    part_bytes: int
    replacing: str | None


class Unfinished:
    """The records of one bucket in ``folder``. One that cannot be read counts as none: then the upload begins anew."""

    def __init__(self, folder: Path, endpoint: str, bucket: str) -> None:
        self._folder = folder
        self._place = f"{endpoint}\n{bucket}"

    def find(self, key: str) -> Begun | None:
        """What was begun under ``key``."""
        try:
            begun = Begun(**json.loads(self._path(key).read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return begun if isinstance(begun.upload_id, str) else None

    def keep(self, key: str, begun: Begun) -> None:
        """Remember it. Raises OSError."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid4().hex}")
        temporary.write_text(json.dumps(asdict(begun)), encoding="utf-8")
        os.replace(temporary, path)

    def forget(self, key: str) -> None:
        """It has ended, or is gone."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(f"{self._place}\n{key}".encode()).hexdigest()
        return self._folder / f"{name}.json"
