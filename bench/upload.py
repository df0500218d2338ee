"""Uploading beside s5cmd, rclone and boto3, which hash nothing, while ours hashes each file first; and doing nothing.

``make bench/upload``, or ``PYTHONPATH=tests python bench/upload.py``. The server is rclone on loopback, over http and
https, but for the file of 2 GB: there a server of rclone's stalls now and then, for good (seen once in 17 uploads). So
that one goes to moto, which is slow: its wall time is the server's, and what tells are CPU, memory and requests. Every
round goes to a prefix of its own, so that nothing is there, and is removed after it. Requests are counted in a run of
their own, through the strict double of R2. The far store is the one of bench/fill.py, for the cases that rclone serves.
Then runs that find everything in place (bench/nothing.py).

A command that has not ended in three minutes is ended, and the case has a row that says so in place of figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

import nothing
from harness import Sample, StalledError, compared, interleaved, run
from peers import BYTES_PER_SECOND, CASES, ONE_WAY_SECONDS, Command, Peers, counted, random_file
from results import BENCHMARKS, Table, machine, save
from serving import serving
from support.command import environment
from support.latency_proxy import LatencyProxy
from support.servers import Server, rclone_server

_MOST_SECONDS = 180
_SERVERS = {case: "moto" if size > 1_000_000_000 else "rclone" for case, (_, size) in CASES.items()}
_CHECKS = {"weightdock": "sha256, signed", "s5cmd": "signed", "rclone": "signed", "boto3": "signed"}
_OURS = """\
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weightdock import settings
from weightdock.artifact import Framework, ModelId, ObjectKey
from weightdock.store.pace import SLOTS
from weightdock.store.r2 import R2Store
from weightdock.verify import verify
_, prefix, *paths = sys.argv[1:]
store = R2Store(settings.load())
def put(path):
    file = verify(ModelId(Framework("toy"), path.stem), path, [])
    store.put_file(file, ObjectKey(f"{prefix}/{path.name}"), lambda _: None)
with ThreadPoolExecutor(SLOTS) as pool:
    list(pool.map(put, map(Path, paths)))
"""
_BOTO3 = """\
import sys, boto3
from botocore.config import Config
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
bucket, prefix, *paths = sys.argv[1:]
client = boto3.client("s3", config=Config(request_checksum_calculation="when_required"))
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda path: client.upload_file(path, bucket, f"{prefix}/{Path(path).name}"), paths))
"""


def contenders(
    url: str, server: Server, bucket: str, files: list[Path], folder: Path, trust: Mapping[str, str]
) -> dict[str, Callable[[], Sample]]:
    """Each as a command that uploads every file to a new prefix, by way of ``url``."""
    number = count()
    peers = Peers(url, trust)
    theirs = peers.environment()
    cache = {"WEIGHTDOCK_CACHE": str(folder / "cache")}
    ours = environment(Server("any", url).environment(bucket, **cache) | dict(trust))
    home = files[0].parent

    def command(name: str, prefix: str) -> Command:
        match name:
            case "weightdock":
                return [sys.executable, "-c", _OURS, bucket, prefix, *files]
            case "boto3":
                return [sys.executable, "-c", _BOTO3, bucket, prefix, *files]
            case "rclone":
                return peers.rclone("copy", home, peers.remote(f"{bucket}/{prefix}"))
        return peers.s5cmd("cp", f"{home}/*", f"s3://{bucket}/{prefix}/")

    def uploaded(name: str) -> Sample:
        given = ours if name == "weightdock" else theirs
        sample = run(command(name, f"round-{next(number)}"), given, folder, seconds=_MOST_SECONDS)
        _remove(server, bucket, files)
        return sample

    return {name: partial(uploaded, name) for name in _CHECKS}


def _remove(server: Server, bucket: str, files: list[Path]) -> None:
    """Every file was there, whole; none is left to fill the disk."""
    found = server.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert sorted(one["Size"] for one in found) == sorted(path.stat().st_size for path in files)
    for one in found:
        server.client().delete_object(Bucket=bucket, Key=one["Key"])


def uploads(case: str, scheme: str, rounds: int) -> tuple[list[tuple[str, ...]], dict[str, list[Sample]]]:
    """The rows of a case, and its samples."""
    number, size = CASES[case]
    label = f"{case}, {scheme}, {_SERVERS[case]}"
    far: dict[str, list[Sample]] = {}
    with (
        tempfile.TemporaryDirectory() as temporary,
        serving(scheme, Path(temporary), _SERVERS[case]) as (server, trust),
    ):
        folder = Path(temporary)
        (folder / "files").mkdir()
        files = [folder / "files" / f"model{one}.bin" for one in range(number)]
        for path in files:
            random_file(path, size)
        bucket = server.new_bucket()
        every = partial(contenders, server=server, bucket=bucket, files=files, folder=folder, trust=trust)
        try:
            samples = interleaved(rounds, every(server.url))
            if scheme == "http":  # over https they are the same
                samples = counted(samples, server, every)
                if _SERVERS[case] == "rclone":
                    with LatencyProxy(server.url, ONE_WAY_SECONDS, BYTES_PER_SECOND) as proxy:
                        far = interleaved(rounds, every(proxy.url))
        except StalledError as stalled:
            sys.stderr.write(f"{label}: {stalled}\n")
            return [(label, "all", f"one stalled for {_MOST_SECONDS} s", *["–"] * 6)], {}
    rows = [(label, *row) for row in compared(samples, _CHECKS).rows]
    if far:
        rows += [(f"{case}, 20 ms away", *row) for row in compared(far, _CHECKS).rows]
    return rows, samples | {f"{name}, far": own for name, own in far.items()}


def idle(number: int, rounds: int) -> tuple[list[tuple[str, ...]], dict[str, dict[str, list[Sample]]]]:
    """The same for a run and a dry run with nothing to do for so many models."""
    rows: list[tuple[str, ...]] = []
    found = {}
    with tempfile.TemporaryDirectory() as temporary, rclone_server() as server:
        make = nothing.in_place(server, server.new_bucket(), Path(temporary), number)
        for name, dry in nothing.DRY.items():
            every = partial(make, dry)
            samples = counted(interleaved(rounds, every(server.url)), server, every)
            rows += [(f"{name}, {number:,} models", *row) for row in compared(samples, nothing.CHECKS).rows]
            found[f"{name}, {number} models"] = samples
    return rows, found


def main() -> None:
    """Measure, and write docs/benchmarks/upload.json and the table of its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--show", action="store_true", help="only print the table")
    asked = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    samples: dict[str, dict[str, list[Sample]]] = {}
    for scheme in ("http", "https"):
        for case in CASES:
            more, samples[f"{case}, {scheme}"] = uploads(case, scheme, asked.rounds)
            rows += more
            sys.stderr.write("".join(f"{row}\n" for row in more))
    for number in nothing.COUNTS:
        more, found = idle(number, asked.rounds)
        rows += more
        samples |= found
    table = Table(("", *compared({}, {}).head), rows)
    sys.stdout.write(table.markdown() + "\n")
    if not asked.show:
        every = {case: {name: [asdict(one) for one in own] for name, own in by.items()} for case, by in samples.items()}
        note = ", ".join(f"{name} {value}" for name, value in machine().items())
        save("upload", {"machine": machine(), **every}, BENCHMARKS / "README.md", table, note)


if __name__ == "__main__":
    main()
