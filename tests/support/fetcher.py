"""Nodes as processes: each fetches by the same store, may be killed at its Nth step, and may have a flock that lies.

``python -m support.fetcher JOB`` forks a process per node; the exit statuses go to stdout.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
import traceback
from dataclasses import asdict, dataclass, field

from support import servers
from support.killed_publisher import Countdown
from support.samples import spec
from weightdock import events
from weightdock.cache import Cache
from weightdock.cache.room import Room
from weightdock.errors import WeightdockError
from weightdock.node import fetch, fill, ranges
from weightdock.node.direct import BLOCK_BYTES, DirectFile
from weightdock.node.fill import Fill
from weightdock.node.way import Limits
from weightdock.store import ObjectStore, r2
from weightdock.store.r2 import R2Store

_NEVER = 10_000_000


@dataclass(frozen=True)
class Job:
    """``kill_at`` has the step at which each node dies (-1: never). ``together`` runs them at the same time.

    ``flock`` is "true", "lies" (grants everything) or "refuses". A ``wide`` way is read by one connection, in requests
    of three pieces; one that is not, in pieces, some of them ahead.
    """

    environment: dict[str, str]
    models: list[str]
    kill_at: list[int] = field(default_factory=lambda: [-1])
    together: bool = False
    flock: str = "true"
    wide: bool = False
    piece_bytes: int = 2 * BLOCK_BYTES

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def run(job: Job, kill_at: int) -> int:
    """One node's life."""
    settings = servers.read(job.environment)
    countdown = Countdown(settings.cache, _NEVER if kill_at < 0 else kill_at)
    sys.addaudithook(countdown)
    _write_in_halves(countdown)
    _set_flock(job.flock)
    r2._PIECE_BYTES = job.piece_bytes // 2
    _set_way(job)
    try:
        filling = Fill(settings.prefix, R2Store(settings), Room(Cache(settings.cache)), events.ignore)
        report = filling.run([spec(name) for name in job.models])
    except WeightdockError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    for result in report.results:
        if result.error:
            sys.stderr.write(f"{result.error}\n")
    return int(report.exit_code)


def _set_way(job: Job) -> None:
    limits = Limits(wide=0, request=3 * job.piece_bytes, piece=job.piece_bytes, ahead=4)

    class Given(ranges.Ranges):
        def __init__(self, store: ObjectStore) -> None:
            super().__init__(store, limits)
            self._narrow = not job.wide

    vars(fill)["Ranges"] = Given


def _write_in_halves(countdown: Countdown) -> None:
    class InHalves(DirectFile):
        def write(self, piece: memoryview) -> None:
            middle = len(piece) // 2 // BLOCK_BYTES * BLOCK_BYTES
            super().write(piece[:middle])
            countdown.step()
            super().write(piece[middle:])
            countdown.step()

    vars(fetch)["DirectFile"] = InHalves


def _set_flock(how: str) -> None:
    def lies(_handle: object, _operation: int) -> None:
        return

    def refuses(_handle: object, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if how != "true":
        fcntl.flock = lies if how == "lies" else refuses


def main(job: Job) -> list[int]:
    """The statuses of the nodes, in their order; negative: killed by that signal."""
    import weightdock.store.data_plane  # once, for all of them

    assert weightdock.store.data_plane
    statuses, living = [], []
    for kill_at in job.kill_at:
        child = os.fork()
        if not child:
            code = 99
            try:
                code = run(job, kill_at)
            except Exception:  # noqa: BLE001  # the test shows it
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        living.append(child)
        if not job.together:
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(living.pop(), 0)[1]))
    return statuses + [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in living]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Job(**json.loads(sys.argv[1])))))
