from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from support.driver_fakes import SECRET, SETTINGS
from weightdock import catalogue, settings
from weightdock.artifact import Framework
from weightdock.errors import ConfigurationError
from weightdock_driver import jobs
from weightdock_driver.env_files import Given
from weightdock_driver.jobs import Request
from weightdock_driver.run_spec import Mount, Role, Run, Variable

RUN = Run("01234567", "host:1")


def loaded(**more: str) -> Given:
    return Given(settings.load({**SETTINGS, **more}, dotenv=Path("none")))


def request(
    *patterns: str, frameworks: tuple[str, ...] = (), cache: str = "a-cache", network: str | None = None
) -> Request:
    return Request(tuple(map(Framework, frameworks)), patterns, cache, network)


def same(framework: str) -> tuple[str, str]:
    """Told to every uploader: another lock than is here must not be what it keeps to."""
    return ("--catalogue", catalogue.fingerprint([Framework(framework)]))


def test_an_upload_of_everything_is_one_container_per_framework_that_is_given_each_name() -> None:
    """An older image may know models that were taken out of the catalogue since."""
    timm, ultralytics = jobs.upload(request(), loaded(), RUN)
    assert (timm.spec.name, timm.spec.image, timm.spec.args) == (
        "weightdock-timm-01234567",
        "weightdock/timm-uploader:latest",
        ("--events", *same("timm"), *(word for spec in timm.models for word in ("--model", f"timm/{spec.model.name}"))),
    )
    assert (ultralytics.spec.name, ultralytics.spec.image) == (
        "weightdock-ultralytics-01234567",
        "weightdock/ultralytics-uploader:latest",
    )
    assert timm.spec.mounts == ultralytics.spec.mounts == (Mount("a-cache", "/workspace/data/.cache"),)
    assert timm.spec.role is Role.UPLOADER
    assert {spec.model.framework for spec in timm.models} == {"timm"}
    assert "yolo11n" in {spec.model.name for spec in ultralytics.models}


def test_a_glob_starts_only_the_frameworks_that_have_such_models_and_reaches_them_as_names() -> None:
    (only,) = jobs.upload(request("yolo11n-*"), loaded(), RUN, ["--dry-run"])
    assert only.spec.args == (
        "--events",
        *same("ultralytics"),
        "--dry-run",
        "--model",
        "ultralytics/yolo11n-seg",
        "--model",
        "ultralytics/yolo11n-pose",
    )


def test_globs_of_two_frameworks_reach_each_framework_as_its_own_names() -> None:
    work = jobs.upload(request("sam2_t", "timm/convnext_*"), loaded(), RUN)
    assert [job.spec.args for job in work] == [
        ("--events", *same("timm"), "--model", "timm/convnext_tiny"),
        ("--events", *same("ultralytics"), "--model", "ultralytics/sam2_t"),
    ]


def test_a_chosen_framework_is_the_only_one() -> None:
    (only,) = jobs.upload(request(frameworks=("ultralytics",)), loaded(), RUN)
    assert only.spec.image == "weightdock/ultralytics-uploader:latest"


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [(request(frameworks=("tim",)), "timm"), (request("convnxt_tiny"), "convnext_tiny")],
)
def test_an_unknown_name_is_answered_with_the_nearest(wrong: Request, nearest: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        jobs.upload(wrong, loaded(), RUN)
    assert nearest in refused.value.next


def test_a_node_is_one_container_for_all_frameworks_with_its_models_where_jobs_look_for_them() -> None:
    (node,) = jobs.bootstrap(request("sam2_t", frameworks=("ultralytics",), cache="/fast/disk"), loaded(), RUN)
    assert (node.spec.name, node.spec.image, node.spec.role) == (
        "weightdock-node-01234567",
        "weightdock/node:latest",
        Role.NODE,
    )
    assert node.spec.args == ("--events", "--model", "ultralytics/sam2_t")
    assert node.spec.mounts == (Mount("/fast/disk", "/workspace/data/.cache/models"),)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("AWS_S3_ENDPOINT_URL", "http://127.0.0.1:9000"),
        ("AWS_S3_ENDPOINT_URL", "http://localhost:9000"),
        ("AWS_S3_ENDPOINT_URL", "http://[::1]:9000"),
        ("HF_ENDPOINT", "http://127.0.0.1:9001"),
        ("WEIGHTDOCK_GITHUB_URL", "http://127.0.0.1:9001"),
    ],
)
def test_a_loopback_address_is_refused_because_a_container_has_its_own(name: str, url: str) -> None:
    given = loaded(**{name: url})
    for network in (None, "bridge"):
        with pytest.raises(ConfigurationError, match=f"{name} cannot be reached from a container"):
            jobs.upload(request(network=network), given, RUN)
        with pytest.raises(ConfigurationError, match=f"{name} cannot be reached from a container"):
            jobs.bootstrap(request(network=network), given, RUN)
    assert jobs.upload(request(network="host"), given, RUN)
    assert jobs.bootstrap(request(network="container:store"), given, RUN)


def test_the_nodes_of_a_swarm_are_not_told_of_a_compose_network() -> None:
    given, asked = loaded(AWS_S3_ENDPOINT_URL="http://127.0.0.1:9000"), replace(request(), on_swarm=True)
    with pytest.raises(ConfigurationError) as refused:
        jobs.bootstrap(asked, given, RUN)
    assert "compose" not in refused.value.next
    assert "every node" in refused.value.next


def test_the_announcement_says_what_goes_where_and_no_secret() -> None:
    given = loaded(AWS_S3_ENDPOINT_URL="https://account.r2.example.com:8443", AWS_SESSION_TOKEN=SECRET)
    work = jobs.upload(request(network="weightdock"), given, RUN)
    count = sum(len(job.models) for job in work)
    assert jobs.announcement(work, given, "upload") == (
        f"upload: {count} models\n"
        "  images    weightdock/timm-uploader:latest, weightdock/ultralytics-uploader:latest\n"
        "  bucket    vision-platform-prod, under models/pretrained/\n"
        "  endpoint  account.r2.example.com:8443\n"
        "  network   weightdock\n"
        "  cache     volume a-cache"
    )


def test_runs_have_different_ids() -> None:
    first, second = jobs.new_run(), jobs.new_run()
    assert re.fullmatch("[0-9a-f]{8}", first.id)
    assert first.id != second.id


def test_proxies_and_a_ca_bundle_of_this_machine_reach_every_container() -> None:
    given = replace(
        loaded(), proxies=(Variable("HTTPS_PROXY", "http://proxy:3128"),), authorities=Path("/etc/ssl/ours.pem")
    )
    for job in (*jobs.upload(request(), given, RUN), *jobs.bootstrap(request(), given, RUN)):
        told = {one.name: one.value for one in job.spec.environment}
        assert told["HTTPS_PROXY"] == "http://proxy:3128"
        assert {told[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")} == {jobs.AUTHORITIES}
        assert job.spec.mounts[1] == Mount("/etc/ssl/ours.pem", jobs.AUTHORITIES, of_this_machine=True)


@pytest.mark.parametrize("proxy", ["http://user:pass@127.0.0.1:3128", "localhost:3128"])
def test_a_proxy_on_loopback_is_refused_and_its_password_is_not_shown(proxy: str) -> None:
    given = replace(loaded(), proxies=(Variable("HTTPS_PROXY", proxy),))
    with pytest.raises(ConfigurationError) as refused:
        jobs.upload(request(), given, RUN)
    assert refused.value.what == "HTTPS_PROXY cannot be reached from a container"
    assert "pass" not in str(refused.value).replace("password", "")
    assert jobs.upload(request(network="host"), given, RUN)
