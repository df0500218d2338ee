"""Measure commands: each a process of its own, several rounds, the contenders in turn within a round.

Figures of a shared machine wander by the minute; contenders that run in turn wander together, so ratios within a round
hold where seconds do not. Every figure is given as minimum, median and maximum::

    contenders = {"weightdock": lambda: run(ours, given, folder), "s5cmd": lambda: run(theirs, given, folder)}
    samples = interleaved(5, contenders)
    save("upload", found, page, compared(samples, {"weightdock": "sha256", "s5cmd": "nothing"}))

Requests are counted by the double of R2 (``RemoteDouble.record``), in a run of its own: a proxy takes its own time.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from statistics import median
from threading import Event, Thread, Timer
from typing import TypeVar

from results import Table

_POLL_SECONDS = 0.02

Measured = TypeVar("Measured")
"""What one run of a contender gives: a Sample, or less."""


@dataclass(frozen=True)
class Sample:
    """One run of one command: ``cpu_seconds`` is user and system, with what it started; ``peak_bytes`` its own most.

    ``requests`` is None where nobody counted them.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    requests: int | None = None


class FailedError(RuntimeError):
    """A command that did not end well: its figures would mean nothing."""


class StalledError(FailedError):
    """A command that did not end in its time, and was ended: perhaps its server's fault."""


def run(
    command: Sequence[str | Path],
    given: Mapping[str, str],
    folder: Path,
    output: Path | None = None,
    seconds: float = 600,
) -> Sample:
    """Run it to its end; its stdout goes to ``output``. Raises FailedError with its last lines."""
    log = folder / "last.log"
    with log.open("wb") as errors, (output or Path(os.devnull)).open("wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(command, env=dict(given), cwd=folder, stdout=out, stderr=errors)
        peak, ended, late = [0], Event(), Event()
        watcher = Thread(target=_watch, args=(process.pid, peak, ended))
        clock = Timer(seconds, _end, args=(process.pid, late))
        watcher.start()
        clock.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        clock.cancel()
        ended.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)  # reaped here, for the usage
    if late.is_set():
        raise StalledError(f"{str(command)[:500]} had not ended after {seconds:.0f} s")
    if process.returncode:
        raise FailedError(f"{command} ended with {process.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, peak[0])


def interleaved(rounds: int, contenders: Mapping[str, Callable[[], Measured]]) -> dict[str, list[Measured]]:
    """Every contender once a round, each time beginning with another, so that none always comes first."""
    samples: dict[str, list[Measured]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(contenders[name]())
    return samples


def compared(samples: Mapping[str, Sequence[Sample]], verifies: Mapping[str, str], to: str = "s5cmd") -> Table:
    """A row per contender, with its ratios ``to`` one of them in the same round.

    ``verifies`` says what each checks of the bytes: without it a ratio says little.
    """
    walls, cpus = ratios(samples, to, lambda one: one.wall_seconds), ratios(samples, to, lambda one: one.cpu_seconds)
    rows = [
        (
            name,
            verifies[name],
            spread([one.wall_seconds for one in own], "{:.2f}"),
            f"{walls[name]:.2f}",
            spread([one.cpu_seconds for one in own], "{:.2f}"),
            f"{cpus[name]:.2f}",
            spread([one.peak_bytes / 1e6 for one in own], "{:.0f}"),
            spread([one.requests for one in own if one.requests is not None], "{:.0f}"),
        )
        for name, own in samples.items()
    ]
    head = ("", "checks", "wall, s", f"to {to}", "CPU, s", f"to {to}", "peak, MB", "requests")
    return Table(head, rows)


def spread(values: Sequence[float], form: str) -> str:
    """``1.20 / 1.31 / 1.90``: minimum, median and maximum; one value where they are the same."""
    shown = [form.format(value) for value in (min(values), median(values), max(values))] if values else ["–"]
    return " / ".join(shown) if len(set(shown)) > 1 else shown[0]


def ratios(samples: Mapping[str, Sequence[Sample]], to: str, figure: Callable[[Sample], float]) -> dict[str, float]:
    """Each contender's median of its ratio to that one's in the same round."""
    return {
        name: median(figure(mine) / figure(theirs) for mine, theirs in zip(own, samples[to], strict=True))
        for name, own in samples.items()
    }


def _end(pid: int, late: Event) -> None:
    late.set()
    with suppress(ProcessLookupError):  # it ended in this very moment
        os.kill(pid, SIGKILL)


def _watch(pid: int, peak: list[int], ended: Event) -> None:
    """The kernel's high-water mark, read until the end: wait4's begins with what the harness itself had."""
    while not ended.is_set():
        with suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
            peak[0] = max(peak[0], int(found[1]) * 1024 if found else 0)
        ended.wait(_POLL_SECONDS)
