"""What the images are, read off them; and small scripts that run inside them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from support.stand_ins import ROOT, docker
from weightdock import __version__

pytestmark = [pytest.mark.engine, pytest.mark.images]

UPLOADERS = {"timm": "weightdock/timm-uploader", "ultralytics": "weightdock/ultralytics-uploader"}
NODE = "weightdock/node"
OCI = "org.opencontainers.image"
LIMITS = {UPLOADERS["timm"]: 800_000_000, UPLOADERS["ultralytics"]: 1_000_000_000, NODE: 220_000_000}
INSIDE = Path(__file__).parent / "inside"


@cache
def inspected(image: str) -> dict[str, Any]:
    (told,) = json.loads(docker("image", "inspect", image))
    assert isinstance(told, dict)
    return told


def inside(image: str, script: str, *options: str) -> str:
    """What a script of ``inside/`` prints when it runs in the image, without network; fails as the script fails."""
    command = ["docker", "run", "--rm", "--network", "none", "--volume", f"{INSIDE}:/inside:ro", *options]
    ended = subprocess.run(
        [*command, "--entrypoint", "python3", image, f"/inside/{script}"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


@pytest.mark.parametrize("image", LIMITS)
def test_an_image_stays_under_its_limit(image: str) -> None:
    assert inspected(image)["Size"] <= LIMITS[image]


@pytest.mark.parametrize("image", LIMITS)
def test_an_image_says_where_it_comes_from_and_under_which_licences(image: str) -> None:
    labels = inspected(image)["Config"]["Labels"]
    assert labels[f"{OCI}.version"] == __version__
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels[f"{OCI}.revision"])
    assert labels[f"{OCI}.source"] == "unknown" or labels[f"{OCI}.source"].startswith("https://")
    assert "Apache-2.0" in labels[f"{OCI}.licenses"]
    assert ("AGPL-3.0-only" in labels[f"{OCI}.licenses"]) is (image == UPLOADERS["ultralytics"])


@pytest.mark.parametrize("image", LIMITS)
def test_an_image_runs_as_a_user_of_a_fixed_id_and_not_as_root(image: str) -> None:
    assert inspected(image)["Config"]["User"] == "10001:10001"
    assert inside(image, "user.py") == "10001 10001; cache writable, programs not"


@pytest.mark.parametrize(
    ("image", "entrypoint"),
    [
        (UPLOADERS["timm"], ["weightdock", "upload", "--framework", "timm"]),
        (UPLOADERS["ultralytics"], ["weightdock", "upload", "--framework", "ultralytics"]),
        (NODE, ["weightdock", "fetch"]),
    ],
)
def test_an_image_has_an_exec_form_entrypoint_that_options_can_follow(image: str, entrypoint: list[str]) -> None:
    assert inspected(image)["Config"]["Entrypoint"] == entrypoint


@pytest.mark.parametrize(
    ("image", "installed"),
    [(UPLOADERS["timm"], "timm torch"), (UPLOADERS["ultralytics"], "torch ultralytics"), (NODE, "")],
)
def test_an_image_has_its_one_framework_and_a_node_has_none(image: str, installed: str) -> None:
    assert inside(image, "frameworks.py") == installed


@pytest.mark.parametrize(
    ("framework", "loaded"),
    [("timm", "timm: loaded by path and by hub"), ("ultralytics", "ultralytics: loaded by name")],
)
def test_the_drop_in_example_loads_what_was_resolved_by_the_framework_s_own_loader(framework: str, loaded: str) -> None:
    offline = ["--env", "WEIGHTDOCK_OFFLINE=1", "--env", "YOLO_OFFLINE=true"]
    assert inside(UPLOADERS[framework], f"drop_in_{framework}.py", *offline).splitlines()[-1] == loaded


@pytest.mark.parametrize("framework", UPLOADERS)
def test_what_the_framework_saves_passes_the_gate(framework: str) -> None:
    assert inside(UPLOADERS[framework], "check_gate.py") == f"{framework}: all pass"


def test_a_pattern_stands_for_what_is_on_the_hub_and_a_name_that_is_not_there_is_told_so() -> None:
    some, none, count, refused = json.loads(inside(UPLOADERS["timm"], "timm_names.py"))
    assert some == ["convnext_tiny.dinov3_lvd1689m", "convnext_tiny.eupe_lvd1689m"]
    assert none == []
    assert count > 1_700
    absent, *unknown = refused
    assert absent[0] == "the weights of timm/gcvit_base.in1k are not on the hub"
    assert [what for what, _ in unknown] == ["Model weight file mapping unknown"] * 2
    assert "convnext_tiny.in12k_ft_in1k," in unknown[0][1]


@pytest.mark.parametrize("image", LIMITS)
def test_a_dry_run_and_a_run_with_nothing_to_do_import_no_framework(image: str) -> None:
    assert inside(image, "nothing_to_do.py") == "no framework imported"


@pytest.mark.parametrize("image", LIMITS)
def test_no_layer_tells_of_the_machine_that_built_it(image: str) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    labels = inspected(image)["Config"]["Labels"]
    told = {name: value for name, value in labels.items() if name != f"{OCI}.source"}  # the repository's public address
    config = json.dumps({**inspected(image)["Config"], "Labels": told})
    for word in ("http://", "https://", "file://", "SECRET", "index-url"):
        assert word not in history + config


def test_no_registry_is_asked_for_an_image_of_which_to_make_a_bill() -> None:
    nowhere = "127.0.0.1:9/weightdock/none"
    asked = subprocess.run([ROOT / "docker" / "sbom", nowhere], capture_output=True, text=True, check=False)
    error, cause, helps = asked.stderr.splitlines()
    assert (asked.returncode, error, helps) == (6, f"error: no bill of {nowhere}", "next: make images")
    assert cause == f"cause: docker: Error response from daemon: No such image: {nowhere}:latest"


def test_a_bill_needs_the_environment_that_make_makes(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    script = shutil.copy(ROOT / "docker" / "sbom", tmp_path / "docker")
    asked = subprocess.run([script, NODE], capture_output=True, text=True, check=False)
    assert asked.returncode == 6
    assert asked.stderr.splitlines() == [
        f"error: no bill of {NODE}",
        f"cause: there is no {tmp_path}/.venv/bin/cyclonedx-py",
        "next: rm -rf .venv && make sbom",
    ]


def test_each_image_has_a_bill_of_materials_that_is_valid_and_names_all_that_is_installed() -> None:
    made = subprocess.run([ROOT / "docker" / "sbom", *LIMITS], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    for image, path in zip(LIMITS, made.stdout.split(), strict=True):
        text = Path(path).read_text(encoding="utf-8")
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        bill = json.loads(text)
        assert bill["metadata"]["component"]["version"] == inspected(image)["Id"]
        named = {f"{part['name'].lower().replace('_', '-')}=={part['version']}" for part in bill["components"]}
        framework = image.rpartition("/")[2].removesuffix("-uploader")
        pins = re.findall(
            r"^([\w.-]+)==([\w.+]+)", (ROOT / "images" / framework / "requirements.lock").read_text(), re.M
        )
        pinned = {f"{name.lower().replace('_', '-')}=={version}" for name, version in pins}
        assert {*pinned, f"weightdock=={__version__}"} <= named
        assert ("torch==2.13.0+cpu" in named) is (image != NODE)
        assert any(part.get("purl", "").startswith("pkg:deb/debian/libc6@") for part in bill["components"])
