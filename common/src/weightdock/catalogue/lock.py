"""``models.lock``: what each model's origin gave when somebody looked, to be reviewed in a diff.

One beside each ``models.toml``, written by ``make lock`` in a stable order. ``size`` and ``sha256`` are of the origin's
own file; where what is mirrored is made from it (timm's safetensors become a ``.pth``) they hold for what it is made
from. An acquisition that differs from its lock is an integrity error.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from weightdock.artifact import Digest, Framework, ModelId
from weightdock.errors import ConfigurationError, WeightdockError

SCHEMA = 1

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = """\
# Written by `make lock` from what the origins publish; review what changed, then commit it.
# size (bytes) and sha256 are of the origin's own file.
"""


@dataclass(frozen=True)
class Locked:
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
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _malformed(path, str(error)) from error
    if document.get("schema") != SCHEMA:
        raise _malformed(path, f"its schema is {document.get('schema')!r}, and this weightdock reads {SCHEMA}")
    try:
        return {name: _locked(ModelId(framework, name), fields) for name, fields in document.get("models", {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError, WeightdockError) as error:
        raise _malformed(path, f"{type(error).__name__}: {error}".splitlines()[0]) from error


def render(locked: Iterable[Locked]) -> str:
    """The file's text: a table per model, by name, one field a line."""
    return "".join([f"{_HEADER}schema = {SCHEMA}\n", *map(_table, sorted(locked, key=lambda one: one.model))])


def _table(one: Locked) -> str:
    versions = ", ".join(f"{_key(name)} = {_text(value)}" for name, value in sorted(one.versions.items()))
    return (
        f"\n[models.{_text(one.model.name)}]\n"
        f"asset = {_text(one.asset)}\n"
        f"url = {_text(one.url)}\n"
        f"revision = {_text(one.revision)}\n"
        f"size = {one.size_bytes}\n"
        f"sha256 = {_text(one.sha256.hex)}\n"
        f"licence = {_text(one.licence)}\n"
        f"versions = {{ {versions} }}\n"
    )


def _text(value: str) -> str:
    # A JSON string is a TOML string, but for one control character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _locked(model: ModelId, fields: Mapping[str, object]) -> Locked:
    size, versions = fields["size"], fields["versions"]
    if type(size) is not int or size < 0 or not isinstance(versions, dict):
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


def _malformed(path: Path, cause: str) -> ConfigurationError:
    return ConfigurationError(f"{path} is malformed", cause=cause, next="make lock")
