"""What the driver adds to its containers, and what a Swarm of three gains over one node.

``make bench/fleet`` as root, or ``PYTHONPATH=tests python bench/fleet.py``. The driver's containers play
(tests/support/play.py): they work for a while and give five events a second. The Swarm's nodes are three engines in
network namespaces of this machine; its sixty models are small, and their origin is 0.6 s away, each way.
"""

from __future__ import annotations

import argparse
import os
import pty
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from harness import FailedError, interleaved, spread
from results import BENCHMARKS, Table, machine, save
from support.fleet_bench import Bench, bench
from support.plays import build, store_file
from support.r2_fixtures import moto_of_any_parts

_MODEL = "timm/convnext_tiny"
_WORK_SECONDS, _EVENTS = 20, 110
"""For so long the driver's processor time is taken; the events, five a second, go on for a little longer."""

_ONE_WAY_SECONDS = 0.6
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_ENGINE, _TERMINAL, _PIPE = "docker run", "weightdock-driver, on a terminal", "weightdock-driver, into a pipe"


@dataclass(frozen=True)
class Driven:
    """Seconds until the model was shown, and from then on the command's own share of a core."""

    first_seconds: float
    processor: float = 0.0


def watched(command: Sequence[str], terminal: bool) -> Driven:
    """A run of the driver, as a terminal or a pipe gets it."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer) as process:
        os.close(writer)
        said = b""
        while _MODEL.encode() not in said:
            shown = _read(reader)
            if not shown:
                raise FailedError(f"{command} ended without a word of {_MODEL}:\n{said.decode(errors='replace')}")
            said += shown
        first = time.monotonic() - began
        spent, until = _processor_seconds(process.pid), first + began + _WORK_SECONDS
        while (left := until - time.monotonic()) > 0:
            if select.select([reader], [], [], left)[0]:
                _read(reader)
        spent = _processor_seconds(process.pid) - spent
        while _read(reader):
            pass
    os.close(reader)
    if process.returncode:
        raise FailedError(f"{command} ended with {process.returncode}")
    return Driven(first, spent / _WORK_SECONDS)


def bare(image: str) -> Driven:
    """The engine's own command, with the same image."""
    began = time.monotonic()
    command = ["docker", "run", "--rm", "--env", "PLAY=succeed", image]  # the same lines, without a pause between
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        line = process.stdout.readline()
        first = time.monotonic() - began
        process.stdout.read()
    if process.returncode or _MODEL.encode() not in line:
        raise FailedError(f"{command} ended with {process.returncode}, and began with {line!r}")
    return Driven(first)


def driver(rounds: int, folder: Path) -> dict[str, list[Driven]]:
    """The driver beside the engine's own command, with an image and a volume that go afterwards."""
    tag = f"bench-{secrets.token_hex(4)}"
    image = build(folder, f"weightdock/timm-uploader:{tag}", "work", _MODEL, progress=_EVENTS)
    command = [str(Path(sys.executable).with_name("weightdock-driver")), "--env-file", str(store_file(folder))]
    command += ["upload", "--tag", tag, "--cache", f"weightdock-{tag}", "--model", _MODEL]
    try:
        return interleaved(
            rounds,
            {
                _ENGINE: partial(bare, image),
                _TERMINAL: partial(watched, command, True),
                _PIPE: partial(watched, command, False),
            },
        )
    finally:
        subprocess.run(["docker", "image", "rm", "--force", image], check=True, capture_output=True)
        subprocess.run(["docker", "volume", "rm", "--force", f"weightdock-{tag}"], check=True, capture_output=True)


def swarm(rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of the same upload on one node and on three, each time with an empty bucket and empty caches."""
    number = count()

    def uploaded(tasks: str, made: Bench) -> float:
        cache = f"cache-{next(number)}"
        ran = made.run(made.place(), "swarm", "upload", "--quiet", "--tasks", tasks, "--cache", cache)
        if ran.code:
            raise FailedError(f"an upload in {tasks} tasks ended with {ran.code}:\n{ran.err}{ran.out}")
        return ran.seconds

    with moto_of_any_parts() as behind, bench(folder, behind) as made:
        made.origin.one_way_seconds = _ONE_WAY_SECONDS
        return interleaved(rounds, {tasks: partial(uploaded, tasks, made) for tasks in ("1", "3")})


def row(what: str, values: Sequence[float], form: str, goal: float | None = None) -> tuple[str, ...]:
    """A line of the table; the median is what is held against the goal."""
    shown = spread(values, form)
    if goal is None:
        return what, shown, "–", "–"
    return what, shown, "≤ " + form.format(goal), "yes" if median(values) <= goal else "no"


def main() -> None:
    """Measure, and write docs/benchmarks/fleet.json and the table of its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # or engines and namespaces would stay
    with tempfile.TemporaryDirectory() as folder:
        driven = driver(rounds, Path(folder))
        nodes = swarm(rounds, Path(folder))
    shares = {name: [one.processor for one in driven[name]] for name in (_TERMINAL, _PIPE)}
    gain = [three / one for one, three in zip(nodes["1"], nodes["3"], strict=True)]
    seconds, percent = "{:.2f} s", "{:.1%}"
    table = Table(
        ("", "minimum / median / maximum", "goal", "holds"),
        [
            row(f"first output, {_ENGINE}", [one.first_seconds for one in driven[_ENGINE]], seconds),
            *(
                row(f"first event, {name}", [one.first_seconds for one in driven[name]], seconds, 1.0)
                for name in shares
            ),
            *(row(f"processor, {name}", own, percent, 0.03) for name, own in shares.items()),
            *(row(f"60 models on {tasks} of 3 nodes", own, seconds) for tasks, own in nodes.items()),
            row("3 nodes, as a part of 1 node's time", gain, "{:.2f}", 0.6),
        ],
    )
    sys.stdout.write(table.markdown() + "\n")
    found = {
        "machine": machine(),
        "driver": {name: [asdict(one) for one in own] for name, own in driven.items()},
        "swarm": nodes,
    }
    note = ", ".join(f"{name} {value}" for name, value in machine().items())
    save("fleet", found, BENCHMARKS / "README.md", table, note)


def _read(reader: int) -> bytes:
    with suppress(OSError):  # a terminal that nobody writes to any more is an error
        return os.read(reader, 65536)
    return b""


def _processor_seconds(pid: int) -> float:
    """User and system, of all its threads and of nothing that it started."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) * _TICK_SECONDS


if __name__ == "__main__":
    main()
