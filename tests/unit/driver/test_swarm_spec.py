"""A service is made of what a container on one host is made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from support.driver_fakes import SECRET, SETTINGS
from weightdock import settings
from weightdock.artifact import Framework
from weightdock.upload.share import shares
from weightdock_driver import hardening, jobs, swarm_spec
from weightdock_driver.env_files import Given
from weightdock_driver.jobs import Request
from weightdock_driver.run_spec import Run, sdk_arguments
from weightdock_driver.swarm_spec import Service, Substitute

RUN = Run("01234567", "host:1")
GIVEN = Given(settings.load(SETTINGS, dotenv=Path("none")), authorities=Path(__file__))
(JOB,) = jobs.upload(Request((Framework("timm"),), (), "a-cache", "overlay"), GIVEN, RUN)
UPLOAD = Service(JOB, shares(JOB.models, 3))
STORED = {
    f"weightdock-01234567-{name}": f"id-of-{name}" for name in ("aws_access_key_id", "aws_secret_access_key", "ca.pem")
}
MADE = swarm_spec.arguments(UPLOAD, "sha256:ab", STORED)
CONTAINER = MADE["task_template"]["ContainerSpec"]


def test_an_upload_is_one_replicated_job_whose_tasks_know_their_share() -> None:
    assert MADE["mode"] == {"ReplicatedJob": {"MaxConcurrent": 3, "TotalCompletions": 3}}
    assert "WEIGHTDOCK_SHARE={{if eq .Task.Slot .Node.ID}}0{{else}}{{.Task.Slot}}{{end}}/3" in CONTAINER["Env"]
    assert MADE["task_template"]["RestartPolicy"]["Condition"] == "on-failure"


def test_image_arguments_mounts_network_and_labels_are_those_of_a_container() -> None:
    one_host = sdk_arguments(JOB.spec)
    assert CONTAINER["Image"] == "sha256:ab"
    assert CONTAINER["Args"] == one_host["command"]
    assert CONTAINER["Mounts"][1:] == one_host["mounts"][:1]
    assert MADE["task_template"]["Networks"] == [{"Target": "overlay"}]
    assert MADE["labels"] == one_host["labels"]
    plain = {name: value for name, value in one_host["environment"].items() if name not in swarm_spec.SECRETS}
    assert {f"{name}={value}" for name, value in plain.items()} < set(CONTAINER["Env"])


def test_keys_are_secrets_for_the_images_user_alone_and_are_nowhere_else() -> None:
    assert SECRET not in json.dumps(MADE)
    assert "key-id" not in json.dumps(MADE)
    assert "AWS_SECRET_ACCESS_KEY_FILE=/run/secrets/AWS_SECRET_ACCESS_KEY" in CONTAINER["Env"]
    assert CONTAINER["Secrets"][1] == {
        "SecretID": "id-of-aws_secret_access_key",
        "SecretName": "weightdock-01234567-aws_secret_access_key",
        "File": {"Name": "AWS_SECRET_ACCESS_KEY", "UID": "10001", "GID": "10001", "Mode": 0o400},
    }


def test_a_bundle_of_this_machine_is_a_config_and_no_mount() -> None:
    (config,) = CONTAINER["Configs"]
    assert (config["ConfigID"], config["File"]["Name"]) == ("id-of-ca.pem", jobs.AUTHORITIES)
    assert f"SSL_CERT_FILE={jobs.AUTHORITIES}" in CONTAINER["Env"]


def test_no_port_is_published() -> None:
    assert "endpoint_spec" not in MADE


def test_a_task_does_not_bear_the_label_by_which_drivers_find_their_own_containers() -> None:
    assert CONTAINER["Labels"] == {"weightdock.run": "01234567", "weightdock.role": "uploader"}


def test_a_substitute_is_a_job_for_one_share_under_a_name_of_its_own() -> None:
    made = swarm_spec.arguments(UPLOAD, "sha256:ab", STORED, Substitute("weightdock-timm-01234567-1", 2))
    assert made["name"] == "weightdock-timm-01234567-1"
    assert made["mode"] == {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
    assert "WEIGHTDOCK_SHARE=2/3" in made["task_template"]["ContainerSpec"]["Env"]


def test_a_bootstrap_is_a_global_job_on_its_node_with_the_folder_of_that_node() -> None:
    (job,) = jobs.bootstrap(Request((), (), "/srv/models"), replace(GIVEN, authorities=None), RUN)
    made = swarm_spec.arguments(Service(job, (job.models,), ("node.id==n1",), "gpu-1"), "sha256:ab", STORED)
    assert made["mode"] == {"GlobalJob": {}}
    assert made["task_template"]["Placement"] == {"Constraints": ["node.id==n1"]}
    assert made["task_template"]["ContainerSpec"]["Mounts"][1] == {
        "Type": "bind",
        "Source": "/srv/models",
        "Target": "/workspace/data/.cache/models",
        "ReadOnly": False,
    }
    assert not [one for one in made["task_template"]["ContainerSpec"]["Env"] if one.startswith("WEIGHTDOCK_SHARE")]


def test_what_holds_a_container_in_holds_a_task_in() -> None:
    held_in, resources = hardening.service_arguments(JOB.spec.memory_bytes)
    assert {name: CONTAINER[name] for name in held_in if name != "Mounts"} | {
        "Mounts": CONTAINER["Mounts"][:1]
    } == held_in
    assert MADE["task_template"]["Resources"] == resources
