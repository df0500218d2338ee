"""A third framework's origin, as a contributor would write one: the ``asset`` of an entry says how it behaves.

Its provenance tells what the process was like that acquired the file.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import time
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISFIFO
from urllib.request import urlopen

from weightdock.artifact import Provenance
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError, IntegrityError, OriginError, StoreError
from weightdock.origins import AcquiredFile
from weightdock.settings import Settings
from weightdock.verify import sha256_of

_NAMES = ("alpha", "delta_base", "delta_tiny", "epsilon")
_ERRORS = {
    "unknown": ConfigurationError,
    "refuses": OriginError,
    "corrupt": IntegrityError,
    "full": StoreError,
}
_ANSWERS = {"stammers": b'{"path": ', "babbles": b"[]\n", "roars": b"\xff\n"}


def environment(cache: Path) -> dict[str, str]:
    """What must be set before the toy is imported."""
    return {"TOY_HOME": str(cache)}


def endpoint(settings: Settings) -> str:
    """Where toys come from, or the hub in their place."""
    return settings.hf_endpoint.replace("huggingface.co", "toys.example")


def origin(settings: Settings) -> Toy:
    """The origin that these settings name."""
    return Toy(settings)


def _answer(line: bytes) -> None:
    """Write into the pipe to the parent, as a checkpoint that took this process over could."""
    for name in Path("/proc/self/fd").iterdir():
        pipe = int(name.name)
        with suppress(OSError):
            if pipe > 2 and S_ISFIFO(os.fstat(pipe).st_mode):  # not stderr
                os.write(pipe, line)


class Toy:
    """Gives each model its name and asset as weights, pickled as a text is, which the safety gate lets pass."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def acquire(self, spec: ModelSpec, into: Path) -> AcquiredFile:
        """Write the file, unless the asset says otherwise."""
        path = into / spec.file_name
        path.write_bytes(pickle.dumps(f"{spec.model.name} {spec.asset}", protocol=2))
        self._behave(spec.asset, into)
        if spec.asset == "far":
            with urlopen(f"{endpoint(self._settings)}/{spec.file_name}", timeout=60) as answer:
                path.write_bytes(answer.read())
        if spec.asset == "strays":
            path = path.rename(into.parent / path.name)
        known = sha256_of(path) if spec.asset == "knows" else None
        return AcquiredFile(
            path=path,
            published=known,
            published_bytes=path.stat().st_size if known else None,
            streamed=known,
            provenance=Provenance(
                url=f"{endpoint(self._settings)}/{spec.file_name}",
                revision=str(os.getpid()),
                digest="",
                licence="MIT",
                versions={
                    "AWS": ",".join(sorted(name for name in os.environ if name.startswith("AWS_"))),
                    "missing": ",".join(self._settings.missing),
                    "TOY_HOME": os.environ["TOY_HOME"],
                },
            ),
        )

    def load(self, spec: ModelSpec, path: Path) -> None:
        """Any file that names its model is a model."""
        if not path.read_bytes()[7:].startswith(spec.model.name.encode()):  # of a text, in protocol 2
            raise IntegrityError(f"{spec.model} does not load", cause="it names another", next="run again")

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        """The toy publishes no digests, so the file is read."""
        path = self.acquire(spec, into).path
        url = f"{endpoint(self._settings)}/{spec.file_name}"
        versions = {"toy": "1.0"}
        return Locked(spec.model, spec.asset, url, "r1", path.stat().st_size, sha256_of(path), "MIT", versions)

    def names(self, pattern: str) -> tuple[str, ...]:
        """Toys have names."""
        return tuple(name for name in _NAMES if fnmatchcase(name, pattern))

    def _behave(self, asset: str, into: Path) -> None:
        match asset:
            case "chatty":
                sys.stdout.write('{"path": "elsewhere"}\n')
                sys.stdout.flush()
                os.write(1, b"a C library prints too\n")
            case "reads":
                input("Do you trust this repository? ")
            case "exits":
                os._exit(7)
            case "raises" | "has no disk":
                raise RuntimeError("the toy has a bug") if asset == "raises" else MemoryError("too little disk space")
            case "is killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "downloads":
                (into / "half").write_bytes(bytes(1000))
                while not (into / "heard").exists():
                    time.sleep(0.01)
            case _ if asset in _ANSWERS:
                _answer(_ANSWERS[asset])
                os._exit(0)
            case _ if asset in _ERRORS:
                raise _ERRORS[asset]("the toy says no", cause=json.dumps(asset), next="ask the toy")
