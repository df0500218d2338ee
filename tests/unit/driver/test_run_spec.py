from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from support.driver_fakes import SECRET, SETTINGS
from weightdock import settings
from weightdock.errors import ConfigurationError
from weightdock.settings import Settings
from weightdock_driver import env_files
from weightdock_driver.run_spec import Mount, Role, Run, RunSpec, Variable, environment, sdk_arguments


def loaded(**more: str) -> Settings:
    return settings.load({**SETTINGS, **more}, dotenv=Path("none"))


def spec(**changes: object) -> RunSpec:
    given: dict[str, object] = {
        "name": "weightdock-timm-01234567",
        "image": "weightdock/timm-uploader:latest",
        "role": Role.UPLOADER,
        "run": Run("01234567", "build-host:4711"),
        "args": ("--events", "--dry-run"),
        "environment": environment(loaded()),
        "mounts": (Mount("weightdock-cache", "/workspace/data/.cache"),),
        "memory_bytes": 4 << 30,
        "network": "weightdock",
    }
    return RunSpec(**{**given, **changes})  # type: ignore[arg-type]  # a test changes any field


def test_an_uploader_becomes_exactly_these_arguments_of_the_sdk() -> None:
    assert sdk_arguments(spec()) == {
        "image": "weightdock/timm-uploader:latest",
        "command": ["--events", "--dry-run"],
        "name": "weightdock-timm-01234567",
        "environment": {
            "AWS_S3_ENDPOINT_URL": "https://account.r2.example.com",
            "AWS_ACCESS_KEY_ID": "key-id",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "WEIGHTDOCK_BUCKET": "vision-platform-prod",
            "WEIGHTDOCK_PREFIX": "models/pretrained",
            "WEIGHTDOCK_GITHUB_URL": "https://github.com",
            "HF_ENDPOINT": "https://huggingface.co",
        },
        "mounts": [
            {"Type": "volume", "Source": "weightdock-cache", "Target": "/workspace/data/.cache", "ReadOnly": False}
        ],
        "network": "weightdock",
        "labels": {
            "weightdock.run": "01234567",
            "weightdock.role": "uploader",
            "weightdock.driver": "build-host:4711",
        },
        "init": True,
        "user": "10001:10001",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=67108864"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 1024,
        "mem_limit": 4 << 30,
        "memswap_limit": 4 << 30,
    }


def test_a_session_token_and_settings_pass_into_the_container_and_the_hosts_cache_folder_does_not() -> None:
    given = loaded(
        AWS_SESSION_TOKEN="short-lived",
        WEIGHTDOCK_BUCKET="other",
        WEIGHTDOCK_PREFIX="/p/",
        WEIGHTDOCK_GITHUB_URL="http://local-origin:9001/",
        HF_ENDPOINT="http://local-origin:9001",
        WEIGHTDOCK_CACHE="/somewhere/on/the/host",
    )
    assert {one.name: one.value for one in environment(given)} == {
        "AWS_S3_ENDPOINT_URL": "https://account.r2.example.com",
        "AWS_ACCESS_KEY_ID": "key-id",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": "short-lived",
        "WEIGHTDOCK_BUCKET": "other",
        "WEIGHTDOCK_PREFIX": "p",
        "WEIGHTDOCK_GITHUB_URL": "http://local-origin:9001",
        "HF_ENDPOINT": "http://local-origin:9001",
    }


def test_what_keeps_a_node_in_passes_into_the_container() -> None:
    given = loaded(WEIGHTDOCK_OFFLINE="1", WEIGHTDOCK_CACHE_BYTES="0", WEIGHTDOCK_PINNED="timm/* sam2_t")
    told = {one.name: one.value for one in environment(given) if one.name.startswith("WEIGHTDOCK_")}
    assert {name: told.get(name) for name in ("WEIGHTDOCK_OFFLINE", "WEIGHTDOCK_CACHE_BYTES", "WEIGHTDOCK_PINNED")} == {
        "WEIGHTDOCK_OFFLINE": "1",
        "WEIGHTDOCK_CACHE_BYTES": "0",
        "WEIGHTDOCK_PINNED": "timm/*,sam2_t",
    }


def test_compose_tells_a_container_of_the_same_variables() -> None:
    compose = yaml.safe_load((Path(__file__).parents[3] / "compose.yaml").read_text(encoding="utf-8"))
    every = {
        "AWS_SESSION_TOKEN": "short-lived",
        "WEIGHTDOCK_CACHE_BYTES": "0",
        "WEIGHTDOCK_PINNED": "timm/*",
        "WEIGHTDOCK_OFFLINE": "1",
        "WEIGHTDOCK_LICENCE_ALLOW": "mit",
        "WEIGHTDOCK_LICENCE_WARN": "mit",
        "WEIGHTDOCK_LICENCE_DENY": "mit",
    }
    ours = {one.name for one in environment(loaded(**every))}
    proxies = {spelt for name in env_files.PROXIES for spelt in (name, name.lower())}
    told = {name: set(one["environment"]) for name, one in compose["services"].items() if "environment" in one}
    assert told == dict.fromkeys(("ultralytics-uploader", "timm-uploader", "node"), ours | proxies)


def test_the_licence_policy_passes_into_the_container_and_the_memory_is_a_limit_around_it() -> None:
    given = loaded(WEIGHTDOCK_LICENCE_DENY="agpl-*, gpl-*", WEIGHTDOCK_LICENCE_ALLOW="", WEIGHTDOCK_MEMORY="8g")
    told = {one.name: one.value for one in environment(given)}
    assert {name: value for name, value in told.items() if "LICENCE" in name or "MEMORY" in name} == {
        "WEIGHTDOCK_LICENCE_DENY": "agpl-*,gpl-*"
    }
    assert given.memory_bytes == 8 << 30


def test_without_credentials_there_is_no_environment() -> None:
    with pytest.raises(ConfigurationError, match="R2 credentials not configured"):
        environment(settings.load({}, dotenv=Path("none")))


def test_no_secret_shows_in_a_repr_or_a_label() -> None:
    assert SECRET not in repr(spec())
    assert SECRET not in str(sdk_arguments(spec())["labels"])
    assert repr(Variable("AWS_SECRET_ACCESS_KEY", SECRET)) == "Variable(name='AWS_SECRET_ACCESS_KEY')"


@pytest.mark.parametrize("folder", ["/workspace/data/.cache/models", r"C:\weights", "C:/weights"])
def test_a_folder_of_the_host_is_bound(folder: str) -> None:
    (mount,) = sdk_arguments(spec(mounts=(Mount(folder, "/in"),)))["mounts"]
    assert mount == {"Type": "bind", "Source": folder, "Target": "/in", "ReadOnly": False}


@pytest.mark.parametrize("source", ["", "./weights", "weights/models", "~/weights", "-v", "two words"])
def test_a_cache_that_is_neither_a_volume_nor_a_full_path_is_refused(source: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a cache"):
        Mount(source, "/in")
