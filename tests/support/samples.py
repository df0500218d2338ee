"""Small true values: models, their bytes, and what is said of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from weightdock.artifact import Digest, Framework, ModelId, ObjectKey, Provenance
from weightdock.catalogue import ModelSpec
from weightdock.node.buffers import Buffer
from weightdock.report import RunReport
from weightdock.safety import Verdict
from weightdock.store.manifest import Entry
from weightdock.verify import VerifiedFile, identity_of

TOY = Framework("toy")
PREFIX = "models/pretrained"
ORIGIN = "https://origin.example"
UPLOADED = "2026-11-22T10:00:00+00:00"

VERDICT = Verdict("toy", 1, ())

Row = tuple[str, str, str, int | None, Digest | None, str, str]


def spec(name: str = "alpha", *, asset: str = "") -> ModelSpec:
    return ModelSpec(ModelId(TOY, name), "bin", asset, "classify", f"the toy {name}")


def content(name: str) -> bytes:
    return f"the weights of {name}".encode()


def digest(content: bytes) -> Digest:
    return Digest(hashlib.sha256(content).hexdigest())


def room_for(size: int) -> Buffer:
    """Where so many bytes can be read to."""
    return Buffer(memoryview(bytearray(size)))


def provenance(name: str = "alpha") -> Provenance:
    return Provenance(url=f"{ORIGIN}/{name}", revision="r1", digest="", licence="MIT", versions={"toy": "1.0"})


def entry(name: str = "alpha", weights: bytes | None = None) -> Entry:
    weights = content(name) if weights is None else weights
    return Entry(ModelId(TOY, name), "bin", len(weights), digest(weights), provenance(name), UPLOADED, VERDICT)


def key_of(name: str = "alpha") -> ObjectKey:
    """Where the toy's object is, below :data:`PREFIX`."""
    return spec(name).key(PREFIX)


def judge(_path: Path, _framework: str) -> Verdict:
    """A gate that lets everything pass: what is uploaded in these tests are texts, which the real one refuses."""
    return VERDICT


def verified(path: Path, name: str = "alpha", weights: bytes | None = None) -> VerifiedFile:
    """A file at ``path`` that is what it should be."""
    weights = content(name) if weights is None else weights
    path.write_bytes(weights)
    identity = identity_of(path.stat())
    return VerifiedFile(ModelId(TOY, name), path, len(weights), digest(weights), provenance(name), identity=identity)


def rows(report: RunReport) -> list[Row]:
    """Everything that a report says but the seconds, in values that compare."""
    return [
        (
            str(one.model),
            one.key,
            one.outcome,
            one.size_bytes,
            one.sha256,
            one.source,
            str(one.error) if one.error else "",
        )
        for one in report.results
    ]


def tree(root: Path) -> set[str]:
    """Every file below ``root``."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def files(root: Path) -> set[str]:
    """Every file of a cache below ``root`` but its locks, which are empty and stay."""
    return {path for path in tree(root) if not path.startswith(".locks/")}
