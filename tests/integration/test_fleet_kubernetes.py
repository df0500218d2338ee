"""The manifests of docker/kubernetes: rendered by Kustomize, and held against the schemas that Kubernetes publishes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from support.debian import unpacked
from weightdock import catalogue

pytestmark = pytest.mark.fleet  # its Kustomize is a package of Debian 13

MANIFESTS = Path(__file__).parents[2] / "docker" / "kubernetes"
VERSIONS = ("1.30", "1.37")  # backoffLimitPerIndex is on from 1.29


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    kustomize = unpacked("kustomize", "trixie") / "usr" / "bin" / "kustomize"
    built = subprocess.run([kustomize, "build", MANIFESTS], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(built.stdout))


def pods(rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in rendered if "spec" in one]


def containers(rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for pod in pods(rendered) for one in (*pod.get("initContainers", ()), *pod["containers"])]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_its_published_schema(rendered: list[dict[str, Any]], version: str) -> None:
    for manifest in rendered:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_with_a_wrong_field_does_not_fit(rendered: list[dict[str, Any]]) -> None:
    (job, *_) = [one for one in rendered if one["kind"] == "Job"]
    wrong = {**job, "spec": {**job["spec"], "completionsMode": "Indexed"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_there_is_an_indexed_job_for_each_framework_and_one_daemon_set(rendered: list[dict[str, Any]]) -> None:
    named = {(one["kind"], one["metadata"]["name"]) for one in rendered}
    jobs = {("Job", f"weightdock-upload-{framework}") for framework in catalogue.frameworks()}
    assert named == jobs | {("ConfigMap", "weightdock"), ("DaemonSet", "weightdock-bootstrap")}


def test_the_tasks_of_a_job_are_as_many_as_its_shares(rendered: list[dict[str, Any]]) -> None:
    for job in (one for one in rendered if one["kind"] == "Job"):
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["--share", f"$(JOB_COMPLETION_INDEX)/{job['spec']['completions']}"]
        assert job["spec"]["completionMode"] == "Indexed"


def test_no_image_comes_from_a_public_registry_and_no_key_is_written_down(rendered: list[dict[str, Any]]) -> None:
    assert all(one["image"].startswith("registry.example.com/weightdock/") for one in containers(rendered))
    assert not re.search("AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)", yaml.safe_dump_all(rendered))


def test_pods_are_held_in_as_containers_on_one_host_are(rendered: list[dict[str, Any]]) -> None:
    for pod in pods(rendered):
        assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (10001, True)
    for container in containers(rendered):
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
