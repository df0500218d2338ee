"""The examples under docs/: what can be known of them without a cloud, a Slurm, a systemd or a cluster.

What cloud-init and systemd themselves say of theirs is in tests/integration/test_docs_examples_checked.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from weightdock.cli import cli
from weightdock.cli.node import fetch

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SCRIPT = "/opt/weightdock/bootstrap-node"
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


def _documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DOCS / name).read_text(encoding="utf-8")))


def _understood(arguments: list[str]) -> None:
    """Every option is one of ``weightdock fetch``: parsed as it is, and stopped by --help before it does anything."""
    ended = CliRunner().invoke(cli, ["fetch", *arguments, "--help"])
    assert ended.exit_code == 0, ended.output
    known = {name for option in fetch.params for name in option.opts}
    assert {word for word in arguments if word.startswith("--")} <= known


def test_every_example_is_named_in_the_page_about_nodes() -> None:
    named = set(re.findall(r"\]\(([^)/]+)\)", (DOCS / "nodes.md").read_text(encoding="utf-8")))
    examples = {"cloud-init.yaml", "slurm-prolog", "weightdock-node.service", "kubernetes.yaml"}
    assert examples <= named
    assert all((DOCS / name).is_file() for name in named)


@pytest.mark.parametrize("script", ["docs/slurm-prolog", "docker/bootstrap-node"])
def test_scripts_are_executable_and_shellcheck_has_nothing_to_say(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111
    ran = subprocess.run([SHELLCHECK, ROOT / script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_slurm_prolog_never_fails_a_job_and_leaves_the_report(tmp_path: Path) -> None:
    """Run for real, with a bootstrap-node that fails, and a log and a logger of this test."""
    fake = tmp_path / "bootstrap-node"
    fake.write_text('#!/bin/sh\necho "{\\"exit_code\\":5,\\"arguments\\":\\"$*\\"}"\nexit 5\n')
    logger = tmp_path / "logger"
    logger.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/logged\n')
    for path in (fake, logger):
        path.chmod(0o755)
    text = (DOCS / "slurm-prolog").read_text(encoding="utf-8")
    assert SCRIPT in text
    text = text.replace(SCRIPT, str(fake)).replace("/var/log", str(tmp_path))
    ran = subprocess.run(["bash", "-c", text], check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert ran.returncode == 0
    assert (tmp_path / "weightdock-node.jsonl").read_text() == '{"exit_code":5,"arguments":"--jitter 30"}\n'
    assert (tmp_path / "logged").read_text() == "-t weightdock the cache was not filled: code 5\n"
    # Without logger, with nothing on the path but what it calls before.
    for name in ("bash", "sh", "timeout"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    ran = subprocess.run(["bash", "-c", text], check=False, env={"PATH": f"{tmp_path / 'bin'}"}, capture_output=True)
    assert (ran.returncode, b"logger: " in ran.stderr) == (0, True)


def test_the_cloud_init_example_is_user_data_that_calls_the_script() -> None:
    text = (DOCS / "cloud-init.yaml").read_text(encoding="utf-8")
    assert text.startswith("#cloud-config\n")
    (document,) = _documents("cloud-init.yaml")
    assert set(document) == {"write_files", "runcmd"}
    (secrets,) = document["write_files"]
    assert (secrets["path"], secrets["permissions"]) == ("/etc/weightdock/node.env", "0600")
    assert all(isinstance(word, str) for command in document["runcmd"] for word in command)
    last = document["runcmd"][-1]
    _understood(last[last.index(SCRIPT) + 1 :])


def test_the_systemd_unit_calls_the_script() -> None:
    text = (DOCS / "weightdock-node.service").read_text(encoding="utf-8")
    (command,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    assert command.split()[0] == f"ExecStart={SCRIPT}"
    _understood(command.split()[1:])


def _pods() -> list[dict[str, Any]]:
    return [document["spec"]["template"]["spec"] for document in _documents("kubernetes.yaml")]


def test_the_kubernetes_example_is_a_daemonset_and_a_job_that_agree_with_the_image() -> None:
    daemon, job = _documents("kubernetes.yaml")
    assert [(one["apiVersion"], one["kind"]) for one in (daemon, job)] == [
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "Job"),
    ]
    assert daemon["spec"]["selector"]["matchLabels"] == daemon["spec"]["template"]["metadata"]["labels"]
    dockerfile = (ROOT / "images/node/Dockerfile").read_text(encoding="utf-8")
    assert "USER 10001:10001" in dockerfile
    assert "/workspace/data/.cache/models" in dockerfile
    for pod in _pods():
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["initContainers"] + pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
            if "args" in container:
                _understood(container["args"])
                assert container["envFrom"] == [{"secretRef": {"name": "weightdock-node"}}]
                mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
                assert mounted == ["/workspace/data/.cache/models"]


def test_the_page_about_fleets_says_what_a_node_of_kubernetes_must_have_first() -> None:
    page = (DOCS / "fleet.md").read_text(encoding="utf-8").partition("## Kubernetes")[2].partition("\n## ")[0]
    daemon = yaml.safe_load((ROOT / "docker/kubernetes/bootstrap.yaml").read_text(encoding="utf-8"))
    pod = daemon["spec"]["template"]["spec"]
    ((label, value),) = pod["nodeSelector"].items()
    assert f"kubectl label node $node {label}={value}\n" in page
    owner, group = pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
    (folder,) = (volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume)
    assert f"install -d -o {owner} -g {group} {folder}\n" in page


def test_an_image_for_slurm_is_a_path_as_a_bare_name_is_asked_of_a_registry() -> None:
    images = re.findall(r"--container-image=(\S+)", (DOCS / "fleet.md").read_text(encoding="utf-8"))
    assert images
    assert all(image.startswith(("./", "/")) for image in images)


def test_the_kubernetes_job_trains_from_a_read_only_cache_without_asking_anybody() -> None:
    (train,) = _pods()[1]["containers"]
    assert train["env"] == [{"name": "WEIGHTDOCK_OFFLINE", "value": "1"}]
    assert train["volumeMounts"][0]["readOnly"]
