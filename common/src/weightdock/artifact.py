"""Pure values that name a model and its bytes: no I/O, no settings.

Names come from catalogues, command lines and manifests in a bucket, so each is checked when it is made: no value of
these types can climb out of a folder or a prefix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NewType, Self
from urllib.parse import urlsplit

from weightdock.errors import ConfigurationError, IntegrityError

Framework = NewType("Framework", str)
"""A framework's name, such as ``timm``: the folder under catalogue/, images/ and the key prefix."""

ObjectKey = NewType("ObjectKey", str)
"""Where an object lies in the bucket."""

_FRAMEWORK = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_EXTENSION = re.compile(r"[a-z0-9]{1,16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ModelId(NamedTuple("ModelId", [("framework", Framework), ("name", str)])):
    """``framework/name``, the name by which users ask for a model."""

    __slots__ = ()

    def __new__(cls, framework: Framework, name: str) -> Self:
        """Raises ConfigurationError."""
        if not _FRAMEWORK.fullmatch(framework) or not _NAME.fullmatch(name):
            asked = f"{framework}/{name}".removesuffix("/")
            raise ConfigurationError(
                f"{asked} is not a model name",
                cause="a name is letters, digits, '.', '_' and '-', after a framework and one '/'",
                next="name it as in timm/convnext_tiny; weightdock/catalogue has the names that exist",
            )
        return super().__new__(cls, framework, name)

    @classmethod
    def parse(cls, text: str) -> ModelId:
        """``"timm/convnext_tiny"`` as a value. Raises ConfigurationError."""
        framework, _, name = text.partition("/")
        return cls(Framework(framework), name)

    def __str__(self) -> str:
        return f"{self.framework}/{self.name}"


LARGEST_OBJECT_BYTES = 5 << 40
"""Of one object in R2 (https://developers.cloudflare.com/r2/platform/limits/)."""


class Digest(NamedTuple("Digest", [("hex", str)])):
    """A sha256 in lower-case hexadecimal."""

    __slots__ = ()

    def __new__(cls, hex: str) -> Self:
        """Raises IntegrityError."""
        if not _SHA256.fullmatch(hex):
            raise IntegrityError(
                f"{hex[:80]!r} is not a sha256",
                cause="a sha256 has 64 hexadecimal digits",
                next="look at who wrote it: an origin, a lock file or a manifest",
            )
        return super().__new__(cls, hex)

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Accept ``<hex>`` and GitHub's ``sha256:<hex>``. Raises IntegrityError."""
        return cls(text.removeprefix("sha256:").lower())

    @property
    def short(self) -> str:
        """The first 12 digits, for tables."""
        return self.hex[:12]

    def __str__(self) -> str:
        return self.hex


class Provenance(NamedTuple):
    """Where a file came from, as its origin said it.

    ``digest`` is what the origin publishes for what it serves (``sha256:…``; for timm that is the safetensors file
    behind our ``.pth``), empty where it publishes none. ``versions`` names the libraries that made or loaded the file.
    """

    url: str
    revision: str
    digest: str
    licence: str
    versions: Mapping[str, str]

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Provenance:
        """What a manifest, a receipt or a child says. Raises TypeError or ValueError for what cannot be one."""
        read = cls(**fields)
        texts = (*read[:-1], *dict(read.versions).values())
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a provenance is made of texts")
        if "[" in read.url or "]" in read.url or not read.url.isascii():  # all that urlsplit may refuse; it costs 10 µs
            urlsplit(read.url)
        return read

    @property
    def host(self) -> str:
        """Whom it came from, for tables: ``github.com``, without a mirror's user and password."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def file_name(model: ModelId, extension: str) -> str:
    """``convnext_tiny.pth``: the same name in the store and in a cache. Raises ConfigurationError."""
    if not _EXTENSION.fullmatch(extension):
        raise ConfigurationError(
            f"{extension!r} is not a file extension",
            cause="an extension is lower-case letters and digits, without a dot",
            next=f"mend `extension` in the models.toml of {model.framework}",
        )
    return f"{model.name}.{extension}"


def object_key(prefix: str, model: ModelId, extension: str) -> ObjectKey:
    """``models/pretrained/timm/convnext_tiny.pth``. Raises ConfigurationError."""
    return ObjectKey(f"{prefix}/{model.framework}/{file_name(model, extension)}")
