"""Create an object, or publish a manifest entry, the moment that somebody says so: one of several racing processes.

``python -m support.racer KEY FILE`` says ``ready``, waits for a line, and prints how it ended.
"""

from __future__ import annotations

import sys
from pathlib import Path

from support.samples import verified
from weightdock import settings
from weightdock.artifact import ObjectKey
from weightdock.errors import WeightdockError
from weightdock.store.r2 import R2Store

if __name__ == "__main__":
    key, path = ObjectKey(sys.argv[1]), Path(sys.argv[2])
    file = verified(path, weights=path.read_bytes())
    store = R2Store(settings.load())
    store.head(key)  # the client is built and connected
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    try:
        ended = "created" if store.put_file(file, key, lambda _: None) else "there already"
    except WeightdockError as error:
        ended = type(error).__name__
    sys.stdout.write(f"{ended}\n")
