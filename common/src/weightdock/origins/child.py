"""The frameworks' loaders run in a child process that has no credentials.

Foreign files are opened there, torch's memory and crashes stay there, and the parent, which holds the write keys,
never imports a framework. Parent and child speak JSON, one object a line, over pipes; what a library prints on
stdout goes to stderr instead.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from stat import S_ISREG
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from weightdock.artifact import Framework
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError, OriginError, StoreError, WeightdockError, of_kind
from weightdock.events import BytesObserver
from weightdock.origins import AcquiredFile, Origin
from weightdock.origins.wire import (
    acquired_fields,
    acquired_from,
    locked_fields,
    locked_from,
    spec_fields,
    spec_from,
)
from weightdock.settings import Settings, load
from weightdock.settings.variables import inherited_environment

_POLL_SECONDS = 0.5
_SHARE = 20
_LITTLE_BYTES = 64 * 1024 * 1024

_SEE_OR_MORE_MEMORY = "see what it printed, if it did; if it was memory, give the container more: WEIGHTDOCK_MEMORY"

_Answer = TypeVar("_Answer")


class OriginProcess:
    """A framework's origin, run in a child. The child starts with the first request and ends with the context."""

    def __init__(self, framework: Framework, settings: Settings) -> None:
        module = importlib.import_module(f"weightdock.origins.{framework}")
        self.endpoint: str = module.endpoint(settings)
        self._framework = framework
        self._caches = settings.cache / ".origin" / framework
        self._environment: dict[str, str] = module.environment(self._caches) | settings.origins
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            self._child.kill()
            self._reap(self._child)

    def acquire(self, spec: ModelSpec, into: Path, arrived: BytesObserver) -> AcquiredFile:
        """See :meth:`weightdock.origins.Origin.acquire`. ``arrived`` hears of progress from another thread."""
        with _watch((into, self._caches), arrived):
            return self._ask(partial(acquired_from, inside=into), "acquire", path=str(into), spec=spec_fields(spec))

    def load(self, spec: ModelSpec, path: Path) -> None:
        """See :meth:`weightdock.origins.Origin.load`."""
        self._ask(dict, "load", path=str(path), spec=spec_fields(spec))

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        """See :meth:`weightdock.origins.Origin.lock`."""
        return self._ask(lambda answer: locked_from(answer["locked"]), "lock", path=str(into), spec=spec_fields(spec))

    def names(self, pattern: str) -> tuple[str, ...]:
        """See :meth:`weightdock.origins.Origin.names`."""
        return self._ask(lambda answer: tuple(map(str, answer["names"])), "names", pattern=pattern)

    def _ask(self, read: Callable[[dict[str, Any]], _Answer], what: str, **request: object) -> _Answer:
        """What ``read`` makes of the child's answer. Foreign files are opened there, so it may be none."""
        child = self._child = self._child or self._start()
        assert child.stdin
        assert child.stdout
        try:
            child.stdin.write(json.dumps({"do": what, **request}) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self._reap(child)  # the next model gets a new child
            raise WeightdockError(
                f"the loader ended while it had {_subject(request)}",
                cause=f"its process ended with status {status} (negative: killed by that signal; -9 is often memory)",
                next=_SEE_OR_MORE_MEMORY,
            )
        try:
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise of_kind(**answer["error"])
            return read(answer)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            child.kill()
            self._reap(child)
            raise WeightdockError(
                f"the loader gave no answer that can be read while it had {_subject(request)}",
                cause=f"{type(error).__name__}: {error}",
                next="see what it printed above; the next model gets a new loader",
            ) from error

    def _reap(self, child: subprocess.Popen[str]) -> int:
        self._child = None
        for pipe in (child.stdin, child.stdout):
            with suppress(BrokenPipeError):  # of a request that nobody will read
                if pipe:
                    pipe.close()
        return child.wait()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "weightdock.origins.child", self._framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",  # what is no text is no answer either
            env=inherited_environment() | self._environment,
        )


@contextmanager
def _watch(folders: tuple[Path, ...], arrived: BytesObserver) -> Iterator[None]:
    """Tell ``arrived`` by how many bytes the folders grow: the libraries own the sockets, so their files are asked."""
    stop = threading.Event()

    def walk() -> tuple[int, float]:
        began = time.monotonic()
        return sum(map(_bytes_in, folders)), time.monotonic() - began

    before, took = walk()

    def watch() -> None:
        # A cache of a thousand models takes a third of a second to walk: a twentieth of the time may go there.
        pause = max(_POLL_SECONDS, _SHARE * took)
        while not stop.wait(pause):
            now, lasted = walk()
            pause = max(_POLL_SECONDS, _SHARE * lasted)
            arrived(max(0, now - before))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):  # unlike rglob it does not mind folders that go meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                status = Path(parent, name).stat(follow_symlinks=False)
                total += status.st_size if S_ISREG(status.st_mode) else 0
    return total


def _subject(request: Mapping[str, Any]) -> str:
    return str(request["spec"]["model"]) if "spec" in request else str(request["pattern"])


def answer(origin: Origin, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what one request asks."""
    try:
        match request["do"]:
            case "names":
                return {"names": origin.names(request["pattern"])}
            case "load":
                origin.load(spec_from(request["spec"]), Path(request["path"]))
                return {}
            case "lock":
                return {"locked": locked_fields(origin.lock(spec_from(request["spec"]), Path(request["path"])))}
            case _:
                return acquired_fields(origin.acquire(spec_from(request["spec"]), Path(request["path"])))
    except Exception as error:
        return {"error": _told(error, request).fields}


def _told(error: Exception, request: Mapping[str, Any]) -> WeightdockError:
    """What a library raised, in our words."""
    # By these the libraries tell of a full disk.
    is_of_disk = isinstance(error, OriginError | MemoryError | OSError | RuntimeError)
    if is_of_disk and (full := _of_the_disk(error, request)):
        return full
    if isinstance(error, WeightdockError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return ConfigurationError(
            f"{error.name} is not installed here",
            cause="what comes from an origin comes by the framework's own loader, which needs it",
            next="use its uploader image, or install it; without WEIGHTDOCK_ORIGIN=allow `resolve` needs none",
        )
    traceback.print_exception(error)
    return WeightdockError(
        f"the loader failed while it had {_subject(request)}",
        cause=f"{type(error).__name__}: {error}",
        next=_SEE_OR_MORE_MEMORY,
    )


def _of_the_disk(error: Exception, request: Mapping[str, Any]) -> StoreError | None:
    """What it means if the disk is full, or too small: ultralytics looks before it begins; others say this and that."""
    if "path" not in request:
        return None
    into = Path(request["path"])
    named = isinstance(error, MemoryError) and "disk" in str(error)
    with suppress(OSError):  # of a folder that is gone
        disk = os.statvfs(into)
        named = named or disk.f_bavail * disk.f_frsize < _LITTLE_BYTES
    if not named:
        return None
    said = f"{error.what}: {error.cause}" if isinstance(error, WeightdockError) else f"{type(error).__name__}: {error}"
    return StoreError(
        f"the cache {into} did not take {_subject(request)}",
        cause=said,
        next="nothing half-written was left; see to the disk (df -h), then run again",
    )


def serve(origin: Origin, requests: IO[str], answers: IO[str]) -> None:
    """Answer every request until the parent closes the pipe."""
    for line in requests:
        print(json.dumps(answer(origin, json.loads(line))), file=answers, flush=True)


def main(framework: str) -> None:
    """The child: keep the pipes for the protocol, and leave a library with none of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's, which ends this process
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a library that asks a question must not read a request
    os.dup2(2, 1)  # and whatever it prints on stdout is a message
    module = importlib.import_module(f"weightdock.origins.{framework}")
    serve(module.origin(load(dotenv=Path(os.devnull))), requests, answers)


if __name__ == "__main__":
    main(sys.argv[1])
