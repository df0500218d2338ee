"""A catalogue of all that timm has: what lock, plan, upload, fetch and status take as it grows from 10 to 1,807 models.

``make bench/scale``, or ``PYTHONPATH=tests python bench/scale.py`` with engine and images. The names are timm's own,
asked of the uploader's image: of the 1,826 that it has weights for, all but the 19 that are not on the hub. ``lock`` is
that image's, before a hub in this process that answers as Hugging Face's does. The other commands run here, before the
S3 server of the demo (rclone), with small stand-ins for the files: what is measured is what a *model* costs, not what
its bytes do. Each command runs once against the server, for the time, and once through the strict double of R2
(tests/support/r2_double), which counts its requests.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import weightdock
from harness import Sample, run
from results import BENCHMARKS, Table, machine, plot, save
from support.command import WEIGHTDOCK, environment
from support.r2_bench import KEY
from support.r2_double import Limits, RemoteDouble
from support.servers import Server, rclone_server
from support.serving import serving

ROOT = Path(__file__).parents[1]
IMAGE = "weightdock/timm-uploader"
_LIST = "from weightdock.origins.timm import Timm; print(*Timm().names('*'), sep='\\n')"
_COMMANDS = {
    "plan, nothing there": ("upload", "--dry-run", "--json"),
    "upload": ("upload", "--json"),
    "upload, nothing to do": ("upload", "--json"),
    "plan, all there": ("upload", "--dry-run", "--json"),
    "verify": ("verify", "--json"),
    "status": ("status", "--json"),
    "fetch, cold": ("fetch", "--json"),
    "fetch, warm": ("fetch", "--json"),
}


@dataclass(frozen=True)
class Point:
    """One command with a catalogue of ``models``."""

    command: str
    models: int
    sample: Sample


def names() -> list[str]:
    """Every name that timm has weights for."""
    asked = ["docker", "run", "--rm", "--entrypoint", "python", IMAGE, "-c", _LIST]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for a file of its large-file storage, whatever its name."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[Counter[str]] = Counter()

    def do_HEAD(self) -> None:
        """Size, digest and commit."""
        self.asked[self.command] += 1
        digest = hashlib.sha256(self.path.encode()).hexdigest()
        self.send_response(200)
        for name, value in (
            ("ETag", f'"{digest}"'),
            ("X-Linked-ETag", f'"{digest}"'),
            ("X-Linked-Size", "1000000"),
            ("X-Repo-Commit", digest[:40]),
            ("Content-Length", "1000000"),
        ):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def catalogue(folder: Path, chosen: Sequence[str]) -> Path:
    """A copy of the package that mirrors these models of timm's and nothing else."""
    package = folder / "weightdock"
    shutil.copytree(Path(weightdock.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(package / "catalogue" / "ultralytics")
    shutil.copy(ROOT / "bench" / "stand_in_timm.py", package / "origins" / "timm.py")
    home = package / "catalogue" / "timm"
    tables = "".join(f'\n[models."{name}"]\ntask = "classify"\ndescription = "{name}"\n' for name in chosen)
    (home / "models.toml").write_text(f'extension = "pth"\n{tables}', encoding="utf-8")
    return home


def locked(home: Path, folder: Path, models: int) -> Point:
    """Take the lock of that catalogue, by the image."""
    Hub.asked.clear()
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)) as url:
        inside = "/opt/weightdock/lib/python3.11/site-packages/weightdock/catalogue/timm"
        command: list[str | Path] = ["docker", "run", "--rm", "--network", "host", "--volume", f"{home}:{inside}:ro"]
        command += ["--env", f"HF_ENDPOINT={url}", "--entrypoint", "weightdock", IMAGE, "lock", "--framework", "timm"]
        sample = run(command, environment({}), folder, home.with_suffix(".lock"))
    shutil.move(home.with_suffix(".lock"), home / "models.lock")
    # The engine's processes are not ours: what the container took of processor and memory is not known here.
    return Point("lock", models, replace(sample, cpu_seconds=0.0, peak_bytes=0, requests=sum(Hub.asked.values())))


def measured(package: Path, server: Server, folder: Path, models: int) -> Iterator[Point]:
    """Every command once for its time, and once for its requests."""
    with RemoteDouble(server.url, [KEY], Limits()) as double:
        buckets = [(server, server.new_bucket()), (Server("double", double.url), server.new_bucket())]
        for name, arguments in _COMMANDS.items():
            samples = []
            before = len(double.record.entries())
            for kind, bucket in buckets:
                cache = folder / bucket / ("node" if arguments[0] == "fetch" else "uploader")
                given = kind.environment(bucket, WEIGHTDOCK_CACHE=str(cache), PYTHONPATH=str(package))
                command: list[str | Path] = [WEIGHTDOCK, *arguments, "--framework", "timm"]
                samples.append(run(command, environment(given), folder))
            requests = len(double.record.entries()) - before
            yield Point(name, models, replace(samples[0], requests=requests))


def main() -> None:
    """Measure, and write docs/benchmarks/scale.*."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, help="how many models; by default 10, 100 and all")
    known = names()
    sizes = parser.parse_args().sizes or [10, 100, len(known)]
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as temporary, rclone_server() as server:
        for size in sizes:
            folder = Path(temporary) / str(size)
            folder.mkdir()
            home = catalogue(folder / "package", known[:size])
            points.append(locked(home, folder, size))
            points += measured(folder / "package", server, folder, size)
            for point in points[-len(_COMMANDS) - 1 :]:
                sys.stderr.write(f"{point}\n")
    found = {"machine": machine(), "points": [asdict(point) for point in points]}
    if sizes[-1] != len(known):
        json.dump(found, sys.stdout)
        return
    rows = [_row(command, [one for one in points if one.command == command]) for command in ("lock", *_COMMANDS)]
    head = ["", *(f"{size:,}: s" for size in sizes), *(f"{size:,}: requests" for size in sizes), "CPU, s", "peak, MB"]
    save(
        "scale",
        found,
        BENCHMARKS / "README.md",
        Table(head, rows),
        ", ".join(f"{name} {value}" for name, value in machine().items()),
    )
    lines = {row[0]: [(one.models, one.sample.wall_seconds) for one in points if one.command == row[0]] for row in rows}
    plot("scale", lines, x="models in the catalogue", y="seconds", logarithmic=True)


def _row(command: str, points: Sequence[Point]) -> list[str]:
    last = points[-1].sample
    return [
        command,
        *(f"{one.sample.wall_seconds:.1f}" for one in points),
        *(f"{one.sample.requests:,}" for one in points),
        f"{last.cpu_seconds:.1f}" if last.cpu_seconds else "–",
        f"{last.peak_bytes / 1e6:.0f}" if last.peak_bytes else "–",
    ]


if __name__ == "__main__":
    main()
