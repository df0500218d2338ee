"""An uploader in a process of its own: weightdock's pipeline with a toy origin that keeps a diary.

``python -m support.uploader JOB`` does one job, given as JSON. Without it, it waits for jobs and forks a process for
each, so that a hundred uploaders cost one import of boto3; :mod:`support.uploaders` is the test's hand on that.
"""

from __future__ import annotations

import json
import os
import random
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support import servers
from support.killed_publisher import Countdown
from support.samples import ORIGIN, TOY, judge, provenance, spec
from weightdock import events
from weightdock.artifact import Digest
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.errors import WeightdockError
from weightdock.events import BytesObserver
from weightdock.origins import AcquiredFile
from weightdock.store import multipart, r2
from weightdock.store.r2 import R2Store
from weightdock.upload.acquire import Acquire
from weightdock.upload.pipeline import Upload

_PIECES = 3
_NEVER = 1_000_000


@dataclass(frozen=True)
class Job:
    """``models`` are names and sizes in bytes; of ``sparse`` ones every byte is zero, and nobody reads them to know.

    ``diary`` gets a line for every file that is acquired, ``output`` what the uploader prints. At the ``kill_at``-th
    thing that is done in the cache the process kills itself; 0 is never.
    """

    environment: dict[str, str]
    models: dict[str, int]
    diary: str
    output: str
    kill_at: int = 0
    sparse: str = ""
    single_put_bytes: int = multipart.SINGLE_PUT_BYTES
    part_bytes: int = multipart.PART_BYTES


def weights(name: str, size: int, edition: str = "") -> bytes:
    """What the toy origin has: for each name, size and edition other bytes, and always the same."""
    return random.Random(name + edition).randbytes(size)


def set_thresholds(single_put_bytes: int, part_bytes: int) -> None:
    """For this process, which is nobody else's."""
    for module in (r2, multipart):
        module.SINGLE_PUT_BYTES = single_put_bytes  # type: ignore[attr-defined]
    multipart.PART_BYTES = part_bytes


class DiaryLoader:
    """Writes each file in pieces, and says so in the diary before it begins."""

    def __init__(self, job: Job, countdown: Countdown) -> None:
        self.endpoint = ORIGIN
        self._job = job
        self._countdown = countdown

    def acquire(self, spec: ModelSpec, into: Path, arrived: BytesObserver) -> AcquiredFile:
        """See :class:`weightdock.upload.pipeline.Loader`."""
        name, path = spec.model.name, into / f"{spec.model.name}.download"
        size = self._job.models[name]
        with Path(self._job.diary).open("a", encoding="utf-8") as diary:
            diary.write(f"{name}\n")
        with path.open("wb", buffering=0) as stream:
            if self._job.sparse:
                stream.truncate(size)
                return AcquiredFile(path, provenance(name), streamed=Digest(self._job.sparse))
            content = weights(name, size)
            piece = size // _PIECES + 1
            for start in range(0, size, piece):
                stream.write(content[start : start + piece])
                self._countdown.step()
        return AcquiredFile(path, provenance(name))

    def load(self, spec: ModelSpec, path: Path) -> None:
        """See :class:`weightdock.upload.pipeline.Loader`. Every file is a model."""
        self._countdown.step()


def run(job: Job) -> int:
    """Plan and upload. The report goes to stdout, as one line of JSON; gives the exit code."""
    os.environ.update(job.environment)
    set_thresholds(job.single_put_bytes, job.part_bytes)
    settings = servers.read(job.environment)
    countdown = Countdown(settings.cache, job.kill_at - 1 if job.kill_at else _NEVER)
    if job.kill_at:
        sys.addaudithook(countdown)
    try:
        loader = DiaryLoader(job, countdown)
        acquire = Acquire(TOY, Cache(settings.cache), loader, events.Lines(), judge)
        upload = Upload(acquire, R2Store(settings), settings.prefix)
        report = upload.run(upload.plan([spec(name) for name in job.models]))
    except WeightdockError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{report.to_json()}\n")
    return report.exit_code


def main(arguments: Sequence[str]) -> None:
    """One job in this process."""
    sys.exit(run(Job(**json.loads(arguments[0]))))


def _in_child(job: Job) -> int:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(job.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    try:
        return run(job)
    except Exception:  # noqa: BLE001  # whatever it is, it ends this process alone, and is in its output
        traceback.print_exc()
        return 99
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _serve() -> None:
    anywhere = servers.Server("nobody", "http://127.0.0.1:9")
    _ = R2Store(anywhere.settings("bucket"))._bucket.client  # boto3 reads its models once, for all children
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer = os.fork()
            if not answer:
                os._exit(_in_child(Job(**request["start"])))
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:]) if sys.argv[1:] else _serve()
