"""``models.lock``: what each model's origin gave when somebody looked, to be reviewed in a diff.

::

    {
     "schema": 1,
     "models": {
      "convnext_tiny": {
       "asset": "convnext_tiny",
       "url": …, "revision": …, "size": …, "sha256": …, "licence": …, "versions": {…}

One beside each ``models.toml``, written by ``make lock`` with a field a line, by name. ``size`` (bytes) and ``sha256``
are of the origin's own file; where what is mirrored is made from it (timm's safetensors become a ``.pth``) they hold
for what it is made from. An acquisition that differs from its lock is an integrity error. JSON, because every run reads
it: of two thousand models in milliseconds, where Python's TOML takes a fifth of a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from weightdock.artifact import LARGEST_OBJECT_BYTES, Digest, Framework, ModelId
from weightdock.errors import ConfigurationError, WeightdockError

SCHEMA = 1


class Locked(NamedTuple):
    """One model as its origin gave it. ``asset`` is the framework's name for it."""

    model: ModelId
    asset: str
    url: str
    revision: str
    size_bytes: int
    sha256: Digest
    licence: str
    versions: Mapping[str, str]


def lock_path(framework: Framework, home: Path) -> Path:
    """``catalogue/timm/models.lock``."""
    return home / framework / "models.lock"


def read(framework: Framework, home: Path) -> dict[str, Locked]:
    """The locked models by name; none when there is no lock. Raises ConfigurationError for one that is malformed."""
    path = lock_path(framework, home)
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _malformed(path, str(error)) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        newer = type(schema) is int and schema > SCHEMA
        read_here = f"its schema is {schema!r}, and this weightdock reads {SCHEMA}"
        raise _malformed(path, read_here, "update weightdock here" if newer else "make lock")
    try:
        return {name: _locked(ModelId(framework, name), fields) for name, fields in document["models"].items()}
    except WeightdockError as error:
        raise _malformed(path, error.what) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(path, f"{type(error).__name__}: {error}".splitlines()[0]) from error


def render(locked: Iterable[Locked]) -> str:
    """The file's text."""
    models = {one.model.name: _fields(one) for one in sorted(locked, key=lambda one: one.model)}
    return json.dumps({"schema": SCHEMA, "models": models}, indent=1, ensure_ascii=False) + "\n"


def _fields(one: Locked) -> dict[str, object]:
    return {
        "asset": one.asset,
        "url": one.url,
        "revision": one.revision,
        "size": one.size_bytes,
        "sha256": one.sha256.hex,
        "licence": one.licence,
        "versions": dict(sorted(one.versions.items())),
    }


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """An object whose names differ: two merged branches may both have locked a model."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


def _locked(model: ModelId, fields: Mapping[str, object]) -> Locked:
    size, versions = fields["size"], fields["versions"]
    if type(size) is not int or not 0 <= size <= LARGEST_OBJECT_BYTES or not isinstance(versions, dict):
        raise TypeError(f"{model.name}: size is a number and versions a table")
    texts = {name: fields[name] for name in ("asset", "url", "revision", "licence")}
    if not all(isinstance(text, str) for text in (*texts.values(), *versions.values())):
        raise TypeError(f"{model.name}: asset, url, revision, licence and versions are texts")
    return Locked(
        model=model,
        asset=str(texts["asset"]),
        url=str(texts["url"]),
        revision=str(texts["revision"]),
        size_bytes=size,
        sha256=Digest(str(fields["sha256"])),
        licence=str(texts["licence"]),
        versions=versions,
    )


def _malformed(path: Path, cause: str, next: str = "make lock") -> ConfigurationError:
    return ConfigurationError(f"{path} is malformed", cause=cause[:500], next=next)
