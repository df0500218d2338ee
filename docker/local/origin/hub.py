"""The Hugging Face hub's side of a download.

Headers and failures are those that huggingface_hub 2.4 reads: `get_hf_file_metadata` and
`hf_raise_for_status`. Every file counts as an LFS file, whose ETag is its sha256, and none is
offered through Xet. Each repository has one commit, named by its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import answers
import shelf
from answers import Answer


def file(hub: Path, repository: str, revision: str, name: str) -> Answer:
    """Answer for `/REPOSITORY/resolve/REVISION/NAME`."""
    files = shelf.items(hub / repository)
    if refusal := _refusal(files, revision):
        return refusal
    item = next((item for item in files if item.path.name == name), None)
    if item is None:
        commit = _commit(files)  # the library remembers for this commit that there is no such file
        return _failure(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit)
    etag = f'"{item.sha256}"'
    return answers.of_file(
        item,
        ETag=etag,
        X_Linked_ETag=etag,
        X_Linked_Size=str(item.size),
        X_Repo_Commit=_commit(files),
    )


def description(hub: Path, repository: str, revision: str) -> Answer:
    """Answer with what `HfApi.model_info(repository, files_metadata=True)` reads of the files."""
    files = shelf.items(hub / repository)
    if refusal := _refusal(files, revision):
        return refusal
    siblings = [
        {
            "rfilename": item.path.name,
            "size": item.size,
            "lfs": {"sha256": item.sha256, "size": item.size, "pointerSize": 135},
        }
        for item in files
    ]
    return answers.of_json(200, {"id": repository, "sha": _commit(files), "siblings": siblings})


def tree(hub: Path, repository: str, revision: str) -> Answer:
    """Answer with the list of files that `hf download REPOSITORY` goes by."""
    files = shelf.items(hub / repository)
    if refusal := _refusal(files, revision):
        return refusal
    entries = [
        {
            "type": "file",
            "path": item.path.name,
            "size": item.size,
            "oid": hashlib.sha1(item.sha256.encode(), usedforsecurity=False).hexdigest(),
            "lfs": {"oid": item.sha256, "size": item.size, "pointerSize": 135},
        }
        for item in files
    ]
    return answers.of_json(200, entries)


def _refusal(files: Sequence[shelf.Item], revision: str) -> Answer | None:
    """Give the hub's refusal of an unknown repository or revision; None where both are known."""
    if not files:
        # The hub does not tell strangers whether a repository is private or does not exist.
        return _failure(401, "RepoNotFound", "Invalid username or password.")
    if revision not in ("main", _commit(files)):
        return _failure(404, "RevisionNotFound", "Invalid rev id")
    return None


def _failure(status: int, code: str, message: str, **headers: str) -> Answer:
    return answers.of_text(status, message, X_Error_Code=code, X_Error_Message=message, **headers)


def _commit(files: Sequence[shelf.Item]) -> str:
    """Name a state of a repository by 40 hex digits that change with a file's content or name."""
    lines = "".join(f"{item.sha256}  {item.path.name}\n" for item in files)
    return hashlib.sha1(lines.encode(), usedforsecurity=False).hexdigest()
