"""Publish a file into a cache, and die by SIGKILL at the Nth thing that is done there.

``python killed_publisher.py ROOT N`` exits 0 when it was done before that.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from support.samples import digest, provenance
from weightdock.artifact import Framework, ModelId
from weightdock.cache import Cache
from weightdock.verify import Expectation, verify

MODEL = ModelId(Framework("toy"), "alpha")
CHUNKS = (b"the first part, ", b"the second part, ", b"the third part")
WEIGHTS = b"".join(CHUNKS)


class Countdown:
    """Counts what is done below ``root``, and kills this process before the Nth."""

    def __init__(self, root: Path, last: int) -> None:
        self._root = str(root)
        self._left = last

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(("open", "os.", "tempfile.", "shutil.")) and any(
            str(argument).startswith(self._root) for argument in arguments
        ):
            self.step()

    def step(self) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    countdown = Countdown(root, int(sys.argv[2]))
    sys.addaudithook(countdown)
    cache = Cache(root)
    with cache.partial(MODEL) as folder:
        path = folder / "object"
        with path.open("wb", buffering=0) as stream:
            for chunk in CHUNKS:
                stream.write(chunk)
                countdown.step()
        said = Expectation("the test", len(WEIGHTS), digest(WEIGHTS))
        cache.publish(verify(MODEL, path, [said], provenance=provenance()), "bin")
