"""Everything that is installed is pinned, with its hashes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_HASHES = ROOT / "images" / "torch-requirements.txt"  # it says why
PINNED = sorted({*ROOT.glob("[bdit]*/**/*requirements.txt")} - {WITHOUT_HASHES})


def pins(text: str) -> set[tuple[str, str]]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", text, re.MULTILINE)
    return {(re.sub(r"[._-]+", "-", name).lower(), version) for name, version in found}


def test_the_lists_are_found() -> None:
    assert len(PINNED) == 8


@pytest.mark.parametrize("path", PINNED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_list_of_requirements_has_its_lock_with_a_hash_for_each(path: Path) -> None:
    lock = path.with_suffix(".lock").read_text()
    assert pins(lock) == pins(path.read_text())
    assert all("--hash=sha256:" in requirement for requirement in re.split(r"\n(?=\w)", lock.strip()))


def test_whatever_installs_asks_for_hashes_except_for_torch() -> None:
    builders = [*ROOT.glob("images/*/Dockerfile"), *ROOT.glob("docker/local/*/Dockerfile"), ROOT / "Makefile"]
    commands = re.split(r"&&|\n(?=\S)|\n\t", "\n".join(path.read_text().replace("\\\n", " ") for path in builders))
    installing = [one for one in commands if re.search(r"pip\S*( --python \S+)? install|host-venv \.venv", one)]
    ours = [one for one in installing if "--no-index" not in one and "--editable" not in one]
    assert len(ours) >= 8
    assert {one for one in ours if "--require-hashes" not in one} == {one for one in ours if "torch-req" in one}
