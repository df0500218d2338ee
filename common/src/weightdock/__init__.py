"""Pretrained vision weights, mirrored into Cloudflare R2 and filled into GPU nodes from there.

::

    import weightdock

    path = weightdock.resolve("timm/convnext_tiny")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from weightdock.events import Observer

__all__ = ["__version__", "resolve"]
__version__ = "0.1.0"


def resolve(name: str, *, on_event: Observer | None = None) -> Path:
    """The path of a model's verified weights, such as ``timm/convnext_tiny``, on this machine.

    Looks in the local cache (no request; about 0.1 ms), then in R2, then, only where ``WEIGHTDOCK_ORIGIN=allow``, at
    the framework's own origin, and sends what came from there to R2. With ``WEIGHTDOCK_OFFLINE=1`` only the cache is
    looked in. ``on_event`` hears of progress (:class:`weightdock.events.Event`), from threads of its own. The file is
    shared: read it, do not write to it. Not evicted while it is one of the last 128 of this process.

    Raises :class:`weightdock.errors.WeightdockError` and its kinds: ConfigurationError for a name or a setting that
    cannot be used, StoreError when R2 does not give the file, IntegrityError when its bytes are not what they should
    be, OriginError when the origin does not give it.
    """
    from weightdock.node.resolve import resolve as found

    return found(name, on_event).path
