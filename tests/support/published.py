"""One model in a cache, and what is then on the disk."""

from __future__ import annotations

from support.samples import spec, verified
from weightdock.cache import Cache
from weightdock.verify import VerifiedFile

MODEL = spec().model

RECEIPT = ".receipts/toy/alpha.bin.json"

FILES = {"toy/alpha.bin", RECEIPT}


def published_toy(cache: Cache, weights: bytes | None = None) -> VerifiedFile:
    with cache.partial(MODEL) as folder:
        return cache.publish(verified(folder / "download", weights=weights), "bin")
