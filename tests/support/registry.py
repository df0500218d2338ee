"""A container registry on loopback, which engines trust without TLS: Debian's docker-registry, only unpacked."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from support.debian import unpacked

_LISTENS = re.compile(r'"listening on (127\.0\.0\.1:\d+)"')


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Its address, as an image's name begins with it; what is pushed lies in ``folder``."""
    settings = folder / "registry.yml"  # JSON is YAML, too
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    settings.write_text(json.dumps({"version": "0.1", "storage": storage, "http": {"addr": "127.0.0.1:0"}}))
    program = unpacked("docker-registry") / "usr" / "bin" / "docker-registry"
    with subprocess.Popen(
        [program, "serve", settings],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        drain = Thread(target=process.stderr.read, daemon=True)  # a full pipe would stop it
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if listens := _LISTENS.search(line):
                    break
            else:
                raise RuntimeError(f"the registry ended before it listened:\n{''.join(said)}")
            drain.start()
            yield listens[1]
        finally:
            process.kill()
            if drain.ident:
                drain.join()
