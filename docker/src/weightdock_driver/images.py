"""The registry of our images: names and the sizes they must stay under.

A framework's image follows from its name, so a new framework needs no line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weightdock.artifact import Framework
from weightdock.events import megabytes
from weightdock.report import aligned

LATEST = "latest"
"""The tag that ``make images`` gives."""

_MB = 1_000_000
_UPLOADER_LIMIT = 1_000 * _MB  # of which torch's CPU build alone takes about 700
_UPLOADER_LIMITS = {Framework("timm"): 800 * _MB}  # those that can do with less


@dataclass(frozen=True)
class Image:
    """An image of ours. ``limit_bytes`` is the most that ``docker image inspect`` may say of its size."""

    name: str
    limit_bytes: int

    def tagged(self, tag: str = LATEST) -> str:
        """``weightdock/node:latest``: what an engine is asked for."""
        return f"{self.name}:{tag}"


NODE = Image("weightdock/node", 220 * _MB)
"""What a GPU node pulls: no torch in it."""


def uploader(framework: Framework) -> Image:
    """The image that holds this framework and no other."""
    return Image(f"weightdock/{framework}-uploader", _UPLOADER_LIMITS.get(framework, _UPLOADER_LIMIT))


def registry(frameworks: Iterable[Framework]) -> tuple[Image, ...]:
    """Every image of ours, uploaders first."""
    return (*(uploader(framework) for framework in frameworks), NODE)


def remake(image: str, listed: str = "") -> str:
    """What to do about one that is missing or old: ``make images`` makes one tag, so it helps with that alone."""
    if image.endswith(f":{LATEST}"):
        return "make images"
    return f"{listed}make images, and leave --tag out"


@dataclass(frozen=True)
class Measured:
    """An image and the size that an engine gives it, in bytes."""

    image: Image
    size_bytes: int

    @property
    def too_large(self) -> bool:
        """Whether it is above its limit."""
        return self.size_bytes > self.image.limit_bytes


def table(measured: Sequence[Measured]) -> str:
    """Each image's size beside its limit."""
    rows = [("IMAGE", "SIZE", "LIMIT", "")]
    rows += [
        (
            one.image.name,
            megabytes(one.size_bytes),
            megabytes(one.image.limit_bytes),
            "too large" if one.too_large else "",
        )
        for one in measured
    ]
    return aligned(rows, right=(1, 2))
