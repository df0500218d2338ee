"""The local origin, as a client of the hub reads it that asks for a whole repository."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from support.samples import content, digest
from support.servers import running

SERVE = Path(__file__).parents[2] / "docker" / "local" / "origin" / "serve.py"
NAMES = ("alpha.bin", "beta.bin")


def test_a_repository_s_files_are_listed_at_its_commit_with_their_digests(tmp_path: Path) -> None:
    home = tmp_path / "hf" / "owner" / "repository"
    home.mkdir(parents=True)
    for name in NAMES:
        (home / name).write_bytes(content(name))
        (home / f"{name}.sha256").write_text(f"{digest(content(name))}  {name}\n")
    with running("hub", [sys.executable, SERVE, "--root", tmp_path, "--port", "0"]) as server:
        api = f"{server.url}/api/models/owner/repository"
        with urlopen(f"{api}/revision/main") as answer:
            commit = json.load(answer)["sha"]
        with urlopen(f"{api}/tree/{commit}?recursive=true&expand=false") as answer:
            listed = json.load(answer)
        assert [(one["type"], one["path"], one["size"], one["lfs"]["oid"]) for one in listed] == [
            ("file", name, len(content(name)), str(digest(content(name)))) for name in NAMES
        ]
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{api}/tree/another")
