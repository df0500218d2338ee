"""A node's cold fill beside s5cmd, rclone and boto3, which check nothing; warm starts; and files from far away.

``make bench/fill``, or ``PYTHONPATH=tests python bench/fill.py``. The server is rclone on loopback, over http and over
https. Each contender begins with an empty folder. The far store is the same one behind tests/support/latency_proxy.py:
20 ms each way and 30 MB/s for each connection. It takes about 20 GB of disk, which are given back at the end.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import hub_download
import limits
from harness import Sample, compared, interleaved, ratios, run
from peers import BYTES_PER_SECOND, CASES, ONE_WAY_SECONDS, Command, Peers, counted, random_file
from results import BENCHMARKS, Table, bars, machine, save
from serving import serving
from support.command import WEIGHTDOCK, environment
from support.latency_proxy import LatencyProxy
from support.samples import PREFIX, TOY, UPLOADED, VERDICT, provenance, spec
from support.servers import Server
from support.toy import with_third_framework
from weightdock.store import manifest, r2
from weightdock.store.manifest import Entry
from weightdock.store.r2 import R2Store
from weightdock.verify import VerifiedFile

_CHECKS = {
    "weightdock": "sha256, synced",
    "s5cmd": "nothing",
    "s5cmd, then sha256 and sync": "sha256, synced",
    "rclone": "nothing",
    "boto3": "nothing",
    "limit: copy and sync": "nothing, synced",
    "limit: sha256": "sha256",
    "limit: both, side by side": "sha256, synced",
    "limit: loopback, thrown away": "nothing",
    hub_download.NAME: hub_download.CHECKS,
}
_LIMITS = dict(zip((name for name in _CHECKS if name.startswith("limit")), limits.MODES, strict=True))
_BOTO3 = """\
import sys, boto3
from concurrent.futures import ThreadPoolExecutor
bucket, prefix, folder, *names = sys.argv[1:]
client = boto3.client("s3")
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda name: client.download_file(bucket, prefix + name, folder + "/" + name), names))
"""


def put(server: Server, bucket: str, folder: Path, count: int, size: int) -> list[str]:
    """Models of these sizes, which stay in ``folder``, with their manifest. Their names."""
    folder.mkdir()
    vars(r2)["SINGLE_PUT_BYTES"] = size  # rclone, as a server, can stall in an upload of many parts
    store, entries = R2Store(server.settings(bucket)), {}
    for number in range(count):
        name, path = f"model{number}", folder / f"model{number}"
        sha256 = random_file(path, size)
        entry = Entry(spec(name).model, "bin", size, sha256, provenance(name), UPLOADED, VERDICT)
        store.put_file(VerifiedFile(entry.model, path, size, sha256), entry.key(PREFIX), lambda _: None)
        store.head(entry.key(PREFIX))  # the first time, rclone reads all of it for its ETag
        entries[name] = entry
    manifest.publish(store, PREFIX, TOY, entries)
    return list(entries)


def package(folder: Path, names: list[str]) -> Path:
    """Weightdock with a catalogue of these, compiled as an installed one is."""
    home = with_third_framework(folder)
    rows = "".join(f'[models.{name}]\ntask = "classify"\ndescription = "{name}"\n' for name in names)
    (home / "weightdock/catalogue/toy/models.toml").write_text(f'extension = "bin"\n{rows}', encoding="utf-8")
    compileall.compile_dir(home, quiet=1)
    return home


def contenders(
    url: str, bucket: str, names: list[str], home: Path, folder: Path, trust: Mapping[str, str]
) -> dict[str, Callable[[], Sample]]:
    """Each as a command that fills an empty folder from ``url``."""
    into, source = folder / "into", f"{bucket}/{PREFIX}/toy"
    peers = Peers(url, trust)
    given = peers.environment()
    ours = environment(
        Server("far", url).environment(bucket, WEIGHTDOCK_CACHE=str(into), PYTHONPATH=str(home)) | dict(trust)
    )
    files = [f"{name}.bin" for name in names]
    s5cmd = peers.s5cmd("cp", f"s3://{source}/*.bin", f"{into}/")
    then = f'"$@" && {shlex.join([sys.executable, limits.__file__, "check", str(into), str(into)])} && sync -f .'
    commands: dict[str, tuple[Command, Mapping[str, str]]] = {
        "weightdock": ([WEIGHTDOCK, "fetch", "--framework", "toy", "--json"], ours),
        "s5cmd": (s5cmd, given),
        "s5cmd, then sha256 and sync": (["sh", "-c", then, "-", *s5cmd], given),
        "rclone": (peers.rclone("copy", "--include", "*.bin", peers.remote(source), into), given),
        "boto3": ([sys.executable, "-c", _BOTO3, bucket, f"{PREFIX}/toy/", into, *files], given),
    }
    for name, mode in _LIMITS.items():
        commands[name] = ([sys.executable, limits.__file__, mode, folder / "originals", into], given)
    return {name: partial(emptied, command, told, folder) for name, (command, told) in commands.items()}


def emptied(command: Command, given: Mapping[str, str], folder: Path) -> Sample:
    """One run into a new folder. What the run before left is emptied and put aside.

    Were it removed, ext4 without a journal would pass over its inodes for a minute, one after another, for each new
    file: every run would pay for the one before, and most who makes the most files.
    """
    into, aside = folder / "into", folder / "aside"
    aside.mkdir(exist_ok=True)
    for path in into.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    if into.exists():
        into.rename(aside / str(len(list(aside.iterdir()))))
    into.mkdir()
    return run(command, given, folder)


def warm(given: Mapping[str, str], folder: Path, rounds: int) -> dict[str, list[Sample]]:
    """What a start costs that finds everything in place."""
    script = "import weightdock\nfor n in range(8): weightdock.resolve(f'toy/model{n}')"
    commands: dict[str, Command] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "weightdock.resolve × 8": [sys.executable, "-c", script],
        "weightdock fetch": [WEIGHTDOCK, "fetch", "--framework", "toy", "--json"],
    }
    return interleaved(rounds, {name: partial(run, one, given, folder) for name, one in commands.items()})


def main() -> None:
    """Measure, and write docs/benchmarks/fill.json and the table of its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--show", action="store_true", help="only print the table")
    asked = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    found: dict[str, object] = {"machine": machine()}
    head: tuple[str, ...] = ()
    walls: dict[str, dict[str, float]] = {}
    kept = tempfile.TemporaryDirectory()  # until the end: see emptied()
    for scheme in ("http", "https"):
        for case, (count, size) in CASES.items():
            folder = Path(kept.name) / f"{scheme}-{count}"
            folder.mkdir()
            with serving(scheme, folder) as (server, trust):
                bucket = server.new_bucket()
                names = put(server, bucket, folder / "originals", count, size)
                home = package(folder / "package", names)
                every = partial(contenders, bucket=bucket, names=names, home=home, folder=folder, trust=trust)
                with ExitStack() as stack:
                    here = every(server.url)
                    if scheme == "http" and count == 8:  # another protocol, so another server, with the same files
                        there = stack.enter_context(hub_download.hub(folder, folder / "originals", folder / "into"))
                        here[hub_download.NAME] = partial(emptied, *there, folder)
                    samples = interleaved(asked.rounds, here)
                if scheme == "http":  # over https they are the same
                    samples = counted(samples, server, every)
                table = compared(samples, _CHECKS)
                head = ("", *table.head)
                rows += [(f"{case}, {scheme}", *row) for row in table.rows]
                tools = {name: own for name, own in samples.items() if name not in _LIMITS}
                walls[f"{case}, {scheme}"] = ratios(tools, "s5cmd", lambda one: one.wall_seconds)
                found[f"{case}, {scheme}"] = {name: [asdict(one) for one in own] for name, own in samples.items()}
                sys.stderr.write(table.markdown() + "\n")
                if scheme == "http" and count == 8:
                    cache = {"WEIGHTDOCK_CACHE": str(folder / "warm"), "PYTHONPATH": str(home)}
                    given = environment(server.environment(bucket) | cache)
                    run([WEIGHTDOCK, "fetch", "--framework", "toy"], given, folder)
                    starts = warm(given, folder, 4 * asked.rounds)
                    found["warm"] = {name: [asdict(one) for one in own] for name, own in starts.items()}
                    bare = min(one.wall_seconds for one in starts["python -c pass"])
                    for name, own in starts.items():
                        best = min(one.wall_seconds for one in own)
                        said = f"{1000 * best:.0f} ms, {1000 * (best - bare):.0f} over bare Python"
                        rows.append(("warm start, 8 models", name, "receipts", said, *["–"] * 5))
                if scheme == "http" and count != 8:
                    with LatencyProxy(server.url, ONE_WAY_SECONDS, BYTES_PER_SECOND) as far:
                        away = every(far.url)
                        for name in ("weightdock", "s5cmd", "rclone", "boto3"):
                            began = time.monotonic()
                            away[name]()
                            rate = count * size / (time.monotonic() - began)
                            found[f"{case}, far, {name}"] = rate
                            said = f"{rate / 1e6:.0f} MB/s, {rate / BYTES_PER_SECOND:.1f} × one connection"
                            rows.append((f"{case}, 20 ms away", name, _CHECKS[name], said, *["–"] * 5))
    kept.cleanup()
    table = Table(head, rows)
    sys.stdout.write(table.markdown() + "\n")
    if not asked.show:
        note = ", ".join(f"{name} {value}" for name, value in machine().items())
        save("fill", found, BENCHMARKS / "README.md", table, note)
        bars("fill", walls, y="wall time, as a multiple of s5cmd's")


if __name__ == "__main__":
    main()
