"""The main job on real parts: origin, both frameworks' containers, an S3 store, a node."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.stand_ins import BUCKET, KEYS, ROOT, StandIns, docker, stand_ins

pytestmark = pytest.mark.engine

MODELS = [
    "timm/tf_efficientnetv2_s.in1k",
    "timm/convnext_tiny",
    "timm/vit_base_patch16_224",
    "ultralytics/yolo11n",
    "ultralytics/yolo11n-seg",
    "ultralytics/yolo11n-pose",
    "ultralytics/yolo_world_v2_s",
    "ultralytics/sam2_t",
]
KEYS_OF_MODELS = sorted(f"{name}.{'pth' if name.startswith('timm/') else 'pt'}" for name in MODELS)
DRIVER = Path(sys.executable).with_name("weightdock-driver")
S5CMD = Path(sys.executable).with_name("s5cmd")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["model"]: row for row in json.loads(self.out)["results"]}

    @property
    def outcomes(self) -> dict[str, str]:
        return {model: row["outcome"] for model, row in self.rows.items()}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    with stand_ins(tmp_path_factory.mktemp("stand-ins")) as running:
        yield running


@pytest.fixture(scope="module")
def uploaded(local: StandIns) -> Ran:
    """All eight, once, in the store of this module."""
    return drive(local, local.settings("main"), "upload", "--cache", local.volume("cache"))


def drive(local: StandIns, settings: Path, *arguments: str) -> Ran:
    command: list[str | Path] = [DRIVER, "--env-file", settings, *arguments, "--network", local.id, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def s5cmd(local: StandIns, *arguments: str) -> bytes:
    command: list[str | Path] = [S5CMD, "--endpoint-url", local.store_here, *arguments]
    return subprocess.run(command, capture_output=True, check=True, env=os.environ | KEYS).stdout


def keys_in_store(local: StandIns, prefix: str) -> list[str]:
    listed = s5cmd(local, "ls", f"s3://{BUCKET}/{prefix}/*").decode().splitlines()
    return sorted(line.split()[-1].removeprefix(f"{prefix}/") for line in listed)


def files_in(volume: str) -> list[str]:
    """Every file of a cache volume but the libraries' own, as a process of the image's user sees it."""
    find = "find /cache -type f -not -path '*/.origin/*'"
    found = docker("run", "--rm", "--volume", f"{volume}:/cache", "--entrypoint", "sh", "weightdock/node", "-c", find)
    return sorted(line.removeprefix("/cache/") for line in found.splitlines())


def test_all_eight_models_go_from_the_origin_into_the_store(local: StandIns, uploaded: Ran) -> None:
    assert uploaded.code == 0, uploaded.err
    assert uploaded.outcomes == dict.fromkeys(MODELS, "uploaded")
    manifests = ["timm/manifest.json", "ultralytics/manifest.json"]
    assert keys_in_store(local, "main") == sorted(KEYS_OF_MODELS + manifests)


@pytest.mark.parametrize("framework", ["timm", "ultralytics"])
def test_the_manifests_digests_are_those_of_what_another_client_downloads(
    local: StandIns, uploaded: Ran, framework: str
) -> None:
    manifest = json.loads(s5cmd(local, "cat", f"s3://{BUCKET}/main/{framework}/manifest.json"))
    for name, entry in manifest["models"].items():
        content = s5cmd(local, "cat", f"s3://{BUCKET}/{entry['key']}")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size"], entry["sha256"])
        assert uploaded.rows[f"{framework}/{name}"]["sha256"] == entry["sha256"]
        assert entry["origin"]["digest"].startswith("sha256:")
    assert len(manifest["models"]) == (3 if framework == "timm" else 5)


def test_a_second_run_uploads_nothing_and_says_so(local: StandIns, uploaded: Ran) -> None:
    before = s5cmd(local, "ls", f"s3://{BUCKET}/main/*")  # with the time of each write
    again = drive(local, local.settings("main"), "upload", "--cache", local.volume("cache"))
    assert (again.code, again.outcomes) == (0, dict.fromkeys(MODELS, "Already exists in R2"))
    assert s5cmd(local, "ls", f"s3://{BUCKET}/main/*") == before


def test_an_empty_node_gets_every_model_and_a_full_one_gets_nothing(local: StandIns, uploaded: Ran) -> None:
    volume = local.volume("node")
    first = drive(local, local.settings("main"), "bootstrap", "--cache", volume)
    assert (first.code, first.outcomes) == (0, dict.fromkeys(MODELS, "fetched")), first.err
    assert [path for path in files_in(volume) if not path.startswith(".")] == KEYS_OF_MODELS
    sums = docker("run", "--rm", "--volume", f"{volume}:/cache", "--workdir", "/cache", "--entrypoint", "sha256sum",
                  "weightdock/node", *KEYS_OF_MODELS)  # fmt: skip
    found = {line.split()[1].rpartition(".")[0]: line.split()[0] for line in sums.splitlines()}
    assert found == {model: row["sha256"] for model, row in uploaded.rows.items()}
    second = drive(local, local.settings("main"), "bootstrap", "--cache", volume)
    assert (second.code, second.outcomes) == (0, dict.fromkeys(MODELS, "in the cache"))


def test_models_that_the_origin_does_not_give_fail_and_the_others_still_upload(local: StandIns) -> None:
    with local.faults({"yolo11n-seg.pt": {"status": 404}}):
        ran = drive(local, local.settings("gone"), "upload", "--cache", local.volume("gone"), "--model", "yolo11n*")
    assert ran.code == 3
    assert ran.outcomes == {
        "ultralytics/yolo11n": "uploaded",
        "ultralytics/yolo11n-seg": "failed",
        "ultralytics/yolo11n-pose": "uploaded",
    }
    assert "404" in ran.rows["ultralytics/yolo11n-seg"]["error"]["cause"]
    assert "ultralytics/yolo11n-seg.pt" not in keys_in_store(local, "gone")


def test_an_unreachable_hub_fails_its_models_with_the_origins_exit_code(local: StandIns) -> None:
    settings = local.settings("unreachable", HF_ENDPOINT="http://nobody:9001")
    ran = drive(local, settings, "upload", "--cache", local.volume("unreachable"), "--model", "convnext_tiny")
    assert (ran.code, ran.outcomes) == (3, {"timm/convnext_tiny": "failed"})
    assert "http://nobody:9001" in ran.rows["timm/convnext_tiny"]["error"]["cause"]


WEIGHTS_OF_CONVNEXT = "model.safetensors"  # of whichever revision


@pytest.mark.parametrize(
    ("model", "path", "fault"),
    [
        pytest.param("ultralytics/yolo11n", "yolo11n.pt", {"short": 4_000_000}, id="ultralytics-short"),
        pytest.param("ultralytics/yolo11n", "yolo11n.pt", {"flip_byte_at": 3_000_000}, id="ultralytics-flipped"),
        pytest.param("timm/convnext_tiny", WEIGHTS_OF_CONVNEXT, {"short": 90_000_000}, id="timm-short"),
        pytest.param("timm/convnext_tiny", WEIGHTS_OF_CONVNEXT, {"flip_byte_at": 50_000_000}, id="timm-flipped"),
    ],
)
def test_a_corrupt_download_is_never_uploaded_and_leaves_no_trace_in_the_cache(
    local: StandIns, model: str, path: str, fault: dict[str, object], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    settings, volume = local.settings(name), local.volume(name)
    with local.faults({path: fault}):
        ran = drive(local, settings, "upload", "--cache", volume, "--model", model)
    assert (ran.code, ran.outcomes) == (4, {model: "failed"}), ran.err
    assert files_in(volume) == []
    with pytest.raises(subprocess.CalledProcessError, match="returned non-zero"):
        keys_in_store(local, name)  # s5cmd's way to say that there is nothing
    # The same cache again, from an origin that is well: a bad blob that stayed would fail it.
    healed = drive(local, settings, "upload", "--cache", volume, "--model", model)
    assert (healed.code, healed.outcomes) == (0, {model: "uploaded"}), healed.err


def test_what_a_demo_left_in_a_shared_cache_never_gets_into_another_store(local: StandIns, uploaded: Ran) -> None:
    """The cache of this module holds all eight; an uploader that has another origin must not take them from there."""
    settings = local.settings("other-origin", WEIGHTDOCK_GITHUB_URL="http://nobody:9001")
    ran = drive(local, settings, "upload", "--cache", local.volume("cache"), "--model", "yolo11n")
    assert (ran.code, ran.outcomes) == (3, {"ultralytics/yolo11n": "failed"})


def test_a_truncated_download_is_never_uploaded(local: StandIns) -> None:
    with local.faults({WEIGHTS_OF_CONVNEXT: {"truncate_at": 1_000_000, "method": "GET"}}):
        ran = drive(local, local.settings("cut"), "upload", "--cache", local.volume("cut"), "--model", "convnext_tiny")
    assert (ran.code, ran.outcomes) == (3, {"timm/convnext_tiny": "failed"})
    assert files_in(local.volume("cut")) == []


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "refuses the credentials"),
        ({"WEIGHTDOCK_BUCKET": "no-such-bucket"}, "there is no bucket 'no-such-bucket'"),
        ({"AWS_S3_ENDPOINT_URL": "http://nobody:9000"}, "cannot be reached"),
    ],
)
def test_a_store_that_cannot_be_used_says_which_of_three_it_is(
    local: StandIns, changed: dict[str, str], cause: str
) -> None:
    settings = local.settings("refused", **changed)
    ran = drive(local, settings, "upload", "--cache", local.volume("refused"), "--framework", "timm")
    assert ran.code == 5
    assert all(cause in row["error"]["cause"] for row in ran.rows.values())


def test_the_dry_run_of_compose_prints_the_planned_keys(local: StandIns) -> None:
    joining = local.folder / "compose.yaml"  # all else is compose.yaml as it stands
    joining.write_text(f"networks: {{default: {{name: {local.id}, external: true}}}}\n")
    compose = f"docker compose --file compose.yaml --file {joining} --env-file {local.settings('planned')}"
    ended = subprocess.run(
        [*compose.split(), "run", "--rm", "timm-uploader", "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "KEY                                        PLAN          SIZE  SHA256",
        "planned/timm/tf_efficientnetv2_s.in1k.pth  would upload     -  -",
        "planned/timm/convnext_tiny.pth             would upload     -  -",
        "planned/timm/vit_base_patch16_224.pth      would upload     -  -",
        "",
        "3 models: 3 would upload · 5 class A and 2 class B operations, $0.000023",
    ]


@pytest.mark.parametrize("target", ["upload-all", "upload/timm", "plan", "bootstrap"])
def test_make_without_credentials_starts_nothing_and_names_the_way_on(target: str, tmp_path: Path) -> None:
    # In a folder beside the checkout, so that a developer's own .env is not there to be found and used.
    for name in ("Makefile", ".venv", "common", "docker"):
        (tmp_path / name).symlink_to(ROOT / name)
    unset = dict.fromkeys(("AWS_S3_ENDPOINT_URL", *KEYS), "")
    ended = subprocess.run(
        ["make", "--silent", target], capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | unset
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[:3] == [
        "error: R2 credentials not configured",
        "cause: not set where settings are read from here: "
        "AWS_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
        "next: set them in the environment or in .env (see .env.example; with --env-file in that file, on a node in "
        "node.env); `make demo` is the way to try without an account",
    ]
