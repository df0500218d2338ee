"""The command line and real stores: what is told of each that cannot be used, and one journey there and back."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest

from support import import_probe
from support.command import Ran, run, weightdock
from support.samples import PREFIX
from support.scripted_server import refusing
from support.servers import Server

TOY = ("--framework", "toy")
WRONG_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account"
NO_BUCKET = "create it, or set WEIGHTDOCK_BUCKET to the one that exists"
NO_ROUTE = "check AWS_S3_ENDPOINT_URL and the network between here and there"


@pytest.mark.parametrize("command", [["upload"], ["upload", "--dry-run"], ["fetch"]], ids=" ".join)
@pytest.mark.parametrize("case", ["wrong secret", "no bucket", "nobody there"])
def test_a_store_that_cannot_be_used_is_an_error_of_the_store_which_says_why(
    rclone: Server, tmp_path: Path, command: list[str], case: str
) -> None:
    key = f"{PREFIX}/timm/manifest.json"
    match case:
        case "wrong secret":
            given = rclone.environment(rclone.new_bucket(), AWS_SECRET_ACCESS_KEY="a-wrong-secret")
            cause = f"{rclone.url} refuses the credentials (SignatureDoesNotMatch: "
            then = WRONG_KEYS
        case "no bucket":
            given = rclone.environment("no-such-bucket")
            cause = f"there is no bucket 'no-such-bucket' at {rclone.url}"
            then = NO_BUCKET
        case _:
            nobody = Server("nobody", refusing())
            given = nobody.environment("bucket")
            cause = f"{nobody.url} cannot be reached: could not connect ("
            then = NO_ROUTE
    ran = weightdock(*command, given=given, cwd=tmp_path, seconds=30)
    what, why, help_ = ran.stderr.splitlines()
    assert (ran.code, ran.stdout, what, help_) == (5, "", f"error: the store did not give {key}", f"next: {then}")
    assert why.startswith(f"cause: {cause}")
    assert not [secret for secret in ("a-wrong-secret", *_secrets(given)) if secret in ran.stderr]


def _secrets(given: dict[str, str]) -> list[str]:
    return [given["AWS_SECRET_ACCESS_KEY"], given["AWS_ACCESS_KEY_ID"]]


def test_a_dry_run_asks_the_store_and_imports_neither_framework_nor_what_writes(moto: Server, tmp_path: Path) -> None:
    output = tmp_path / "tried.json"
    probe = [sys.executable, import_probe.__file__, str(output), "weightdock.cli"]
    ran = run([*probe, "upload", "--dry-run", "--framework", "timm"], moto.environment(moto.new_bucket()), cwd=tmp_path)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == (
        "KEY                                                  PLAN          SIZE  SHA256\n"
        "models/pretrained/timm/tf_efficientnetv2_s.in1k.pth  would upload     -  -\n"
        "models/pretrained/timm/convnext_tiny.pth             would upload     -  -\n"
        "models/pretrained/timm/vit_base_patch16_224.pth      would upload     -  -\n"
        "\n"
        "3 models: 3 would upload · 5 class A and 2 class B operations, $0.000023\n"
    )
    assert json.loads(output.read_text()) == []


class Journey:
    """A copy of weightdock that knows the toy, a bucket, and a cache on each side."""

    def __init__(self, server: Server, package: Path, folder: Path) -> None:
        self.server, self.bucket, self.folder = server, server.new_bucket(), folder
        self._given = server.environment(self.bucket, PYTHONPATH=str(package))

    def run(self, *arguments: str, cache: str) -> Ran:
        return weightdock(
            *arguments, given=self._given | {"WEIGHTDOCK_CACHE": str(self.folder / cache)}, cwd=self.folder
        )

    def stored(self) -> dict[str, bytes]:
        client = self.server.client()
        listed = client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {one["Key"]: client.get_object(Bucket=self.bucket, Key=one["Key"])["Body"].read() for one in listed}


@pytest.fixture
def journey(moto: Server, toy_package: Path, tmp_path: Path) -> Journey:
    return Journey(moto, toy_package, tmp_path)


def _outcomes(ran: Ran) -> dict[str, tuple[str, str]]:
    return {row["model"]: (row["outcome"], row["source"]) for row in json.loads(ran.stdout)["results"]}


def test_a_third_framework_is_one_module_and_one_catalogue(journey: Journey) -> None:
    planned = journey.run("upload", *TOY, "--dry-run", cache="uploader")
    assert (planned.code, planned.stderr) == (0, "")
    assert planned.stdout == (
        "KEY                              PLAN          SIZE  SHA256\n"
        "models/pretrained/toy/alpha.bin  would upload     -  -\n"
        "models/pretrained/toy/beta.bin   would upload     -  -\n"
        "\n"
        "2 models: 2 would upload · 4 class A and 2 class B operations, $0.000019\n"
    )
    assert journey.stored() == {}

    uploaded = journey.run("upload", *TOY, "--json", cache="uploader")
    assert uploaded.code == 0, uploaded.stderr
    assert _outcomes(uploaded) == {
        "toy/alpha": ("uploaded", "toys.example"),
        "toy/beta": ("uploaded", "toys.example"),
    }
    stored = journey.stored()
    document = json.loads(stored.pop("models/pretrained/toy/manifest.json"))
    assert stored == {
        "models/pretrained/toy/alpha.bin": pickle.dumps("alpha ", 2),
        "models/pretrained/toy/beta.bin": pickle.dumps("beta chatty", 2),
    }
    assert {name: entry["key"] for name, entry in document["models"].items()} == {
        "alpha": "models/pretrained/toy/alpha.bin",
        "beta": "models/pretrained/toy/beta.bin",
    }

    fetched = journey.run("fetch", *TOY, "--json", cache="node")
    assert fetched.code == 0, fetched.stderr
    assert _outcomes(fetched) == dict.fromkeys(("toy/alpha", "toy/beta"), ("fetched", "R2 ← toys.example"))
    node = journey.folder / "node" / "toy"
    assert {path.name: path.read_bytes() for path in node.iterdir()} == {
        "alpha.bin": pickle.dumps("alpha ", 2),
        "beta.bin": pickle.dumps("beta chatty", 2),
    }


def test_what_is_done_is_not_done_again(journey: Journey) -> None:
    journey.run("upload", *TOY, cache="uploader")
    journey.run("fetch", *TOY, cache="node")
    before = journey.stored()
    again = journey.run("upload", *TOY, "--json", cache="uploader")
    assert _outcomes(again) == dict.fromkeys(("toy/alpha", "toy/beta"), ("Already exists in R2", ""))
    assert journey.stored() == before
    warm = journey.run("fetch", *TOY, "--json", cache="node")
    assert _outcomes(warm) == dict.fromkeys(("toy/alpha", "toy/beta"), ("in the cache", "local cache"))


def test_a_driver_reads_every_line_of_events_and_the_report_last(journey: Journey) -> None:
    ran = journey.run("upload", *TOY, "--events", cache="uploader")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {line["weightdock"] for line in lines} == {1}
    assert [line["event"] for line in lines].index("report") == len(lines) - 1
    told = [(line["model"], line["stage"], line["event"]) for line in lines[:-1] if line["event"] != "progress"]
    for model in ("toy/alpha", "toy/beta"):
        assert [step[1:] for step in told if step[0] == model] == [
            ("acquire", "started"),
            ("verify", "started"),
            ("upload", "started"),
            ("upload", "done"),
        ]
