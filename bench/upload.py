"""Uploading eight files of 100 MB beside s5cmd, rclone and boto3; ours hashes each file first, the others hash none.

``make bench/upload``, or ``PYTHONPATH=tests python bench/upload.py``. The server is rclone on loopback. Every round
goes to a prefix of its own, so that nothing is there.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

from harness import Sample, compared, interleaved, run
from results import BENCHMARKS, Table, machine, save
from serving import serving
from support.command import environment
from support.servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server

_TOOLS = Path(sys.executable).parent
_FILES, _BYTES = 8, 100_000_000
_CHECKS = {"weightdock": "sha256, signed", "s5cmd": "signed", "rclone": "signed", "boto3": "signed"}
_OURS = """\
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weightdock import settings
from weightdock.artifact import Framework, ModelId, ObjectKey
from weightdock.store.r2 import R2Store
from weightdock.verify import verify
_, prefix, *paths = sys.argv[1:]
store = R2Store(settings.load())
def put(path):
    file = verify(ModelId(Framework("toy"), path.stem), path, [])
    assert store.put_file(file, ObjectKey(f"{prefix}/{path.name}"), lambda _: None)
with ThreadPoolExecutor(4) as pool:
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
    server: Server, bucket: str, files: list[Path], folder: Path, trust: Mapping[str, str]
) -> dict[str, Callable[[], Sample]]:
    """Each as a command that uploads every file to a new prefix."""
    number = count()
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    theirs = environment(keys | dict(trust) | {"AWS_DEFAULT_REGION": "auto", "AWS_ENDPOINT_URL": server.url})
    ours = environment(server.environment(bucket, WEIGHTDOCK_CACHE=str(folder / "cache")) | dict(trust))
    remote = f":s3,provider=Other,env_auth=true,endpoint='{server.url}',no_check_bucket=true:{bucket}"
    certificates = ["--ca-cert", trust["AWS_CA_BUNDLE"]] if trust else []
    unverified = ["--no-verify-ssl"] if trust else []
    home = files[0].parent

    def command(name: str, prefix: str) -> list[str | Path]:
        match name:
            case "weightdock":
                return [sys.executable, "-c", _OURS, bucket, prefix, *files]
            case "boto3":
                return [sys.executable, "-c", _BOTO3, bucket, prefix, *files]
            case "rclone":
                return [_TOOLS / "rclone", "copy", *certificates, home, f"{remote}/{prefix}"]
        there = f"s3://{bucket}/{prefix}/"
        return [_TOOLS / "s5cmd", "--endpoint-url", server.url, *unverified, "cp", f"{home}/*", there]

    def uploaded(name: str) -> Sample:
        return run(command(name, f"round-{next(number)}"), ours if name == "weightdock" else theirs, folder)

    return {name: partial(uploaded, name) for name in _CHECKS}


def main() -> None:
    """Measure, and write docs/benchmarks/upload.json and the table of its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    rows: list[tuple[str, ...]] = []
    found: dict[str, object] = {"machine": machine()}
    head: tuple[str, ...] = ()
    for scheme in ("http", "https"):
        with tempfile.TemporaryDirectory() as temporary, serving(scheme, Path(temporary)) as (server, trust):
            folder = Path(temporary)
            (folder / "files").mkdir()
            files = [folder / "files" / f"model{number}.bin" for number in range(_FILES)]
            for path in files:
                path.write_bytes(random.randbytes(_BYTES))
            samples = interleaved(rounds, contenders(server, server.new_bucket(), files, folder, trust))
        table = compared(samples, _CHECKS)
        head = ("", *table.head[:-1])
        rows += [(f"8 × 100 MB, {scheme}", *row[:-1]) for row in table.rows]
        found[scheme] = {name: [asdict(one) for one in own] for name, own in samples.items()}
    note = ", ".join(f"{name} {value}" for name, value in machine().items())
    save("upload", found, BENCHMARKS / "README.md", Table(head, rows), note)
    sys.stdout.write(Table(head, rows).markdown() + "\n")


if __name__ == "__main__":
    main()
