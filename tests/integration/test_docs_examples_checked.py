"""The examples under docs/, by cloud-init's schema and systemd's own check: Debian's packages, only unpacked."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among our requirements
import pytest
import yaml

from support.debian import unpacked

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
LIBRARIES = ("libsystemd-shared", "libapparmor1", "libip4tc2", "libkmod2", "libseccomp2")
"""What systemd-analyze is linked with and a machine without systemd may lack."""

releases = pytest.mark.parametrize("release", ["", pytest.param("trixie", marks=pytest.mark.fleet)])
"""That of this machine; Debian 13's where its packages are among apt's sources, as for the fleet's tests."""


def user_data() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DOCS / "cloud-init.yaml").read_text(encoding="utf-8"))
    return document


def refused(document: dict[str, Any], release: str) -> list[str]:
    """What is wrong with it by the schema of cloud-init, which says itself which draft it is written in."""
    schema = json.loads((unpacked("cloud-init", release) / SCHEMA).read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    return [error.json_path for error in validator(schema).iter_errors(document)]


@releases
def test_the_user_data_fits_the_schema_that_cloud_init_publishes(release: str) -> None:
    assert refused(user_data(), release) == []


@releases
def test_user_data_with_a_wrong_field_does_not_fit(release: str) -> None:
    document = user_data()
    document["write_files"][0]["permission"] = document["write_files"][0].pop("permissions")
    assert refused(document, release) == ["$.write_files[0]"]
    assert refused({**document, "write_files": [], "runcmd": "reboot"}, release)


def complaints(text: str, folder: Path) -> list[str]:
    """What ``systemd-analyze verify`` says of the unit, beside an engine's unit and systemd's own; nothing runs."""
    unit = folder / "weightdock-node.service"
    unit.write_text(text)
    (folder / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
    systemd = unpacked("systemd")
    libraries = [library.parent for name in LIBRARIES for library in unpacked(name).glob("**/*.so*")]
    given = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": ":".join(map(str, dict.fromkeys(libraries))),
        # Debian 13 has all of it below /usr.
        "SYSTEMD_UNIT_PATH": ":".join(map(str, (folder, *systemd.glob("**/lib/systemd/system")))),
    }
    command: list[str | Path] = [systemd / "usr/bin/systemd-analyze", "verify", unit]
    ran = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr  # 127 is a library that is not there
    # It ends with 0 for a value that it would ignore, too. Of other units than this one nothing is ours.
    return [line for line in ran.stderr.splitlines() if unit.name in line] + [""] * ran.returncode


@pytest.mark.fleet  # it fetches systemd, which takes half a minute
def test_systemd_s_own_check_has_nothing_to_say_of_the_unit(tmp_path: Path) -> None:
    script = tmp_path / "bootstrap-node"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    text = (DOCS / "weightdock-node.service").read_text(encoding="utf-8")
    text = text.replace("/opt/weightdock/bootstrap-node", str(script))
    assert complaints(text, tmp_path) == []
    (said,) = complaints(text.replace("=oneshot", "=once"), tmp_path)
    assert "Failed to parse service type, ignoring: once" in said
    assert complaints(text.replace(str(script), f"{script}-of-yesterday"), tmp_path)
