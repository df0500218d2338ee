"""From a request's path to the answer that GitHub or the Hugging Face hub would give.

    /ultralytics/assets/releases/download/TAG/ASSET        a release's asset
    /api/v3/repos/ultralytics/assets/releases/tags/TAG     the release, where a GitHub Enterprise
                                                           host has its API
    /OWNER/REPO/resolve/REVISION/FILE                      a hub file
    /api/models/OWNER/REPO[/revision/REVISION]             the hub's description of a repository
    /api/models/OWNER/REPO/tree/REVISION                   the hub's list of its files
    /healthz                                               200 while the server runs

Unlike the real hosts, both answer with the file itself and not with a redirect to a storage host.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import answers
import hub
import shelf
from answers import Answer


def answer(root: Path, path: str, base: str) -> Answer:
    """Answer one request.

    `path` is still percent-encoded; `base` is this server's own URL as the client knows it.
    """
    parts = [unquote(part) for part in path.partition("?")[0].strip("/").split("/")]
    if any(not part or part.startswith(".") or set(part) & set("/\\\0") for part in parts):
        return answers.of_text(404, "Not Found")  # no way out of the root, no view of hidden files
    match parts:
        case ["healthz"]:
            return answers.of_text(200, "ok")
        case ["api", "v3", "repos", owner, repository, "releases", "tags", tag]:
            folder = root / "github" / owner / repository / tag
            return _release(folder, f"{base}/{owner}/{repository}/releases/download", tag)
        case [owner, repository, "releases", "download", tag, asset]:
            item = shelf.find(root / "github" / owner / repository / tag / asset)
            return answers.of_file(item) if item else answers.of_text(404, "Not Found")
        case ["api", "models", owner, repository]:
            return hub.description(root / "hf", f"{owner}/{repository}", "main")
        case ["api", "models", owner, repository, "revision", revision]:
            return hub.description(root / "hf", f"{owner}/{repository}", revision)
        case ["api", "models", owner, repository, "tree", revision]:
            return hub.tree(root / "hf", f"{owner}/{repository}", revision)
        case [owner, repository, "resolve", revision, *file] if file:
            return hub.file(root / "hf", f"{owner}/{repository}", revision, "/".join(file))
    return answers.of_text(404, "Not Found")


def _release(folder: Path, downloads: str, tag: str) -> Answer:
    """Give the members of GitHub's release document that a mirror needs.

    https://docs.github.com/en/rest/releases/releases#get-a-release-by-tag-name
    """
    assets = shelf.items(folder)
    if not assets:
        return answers.of_json(404, {"message": "Not Found", "status": "404"})
    documents = [
        {
            "name": item.path.name,
            "size": item.size,
            "digest": f"sha256:{item.sha256}",
            "browser_download_url": f"{downloads}/{quote(tag)}/{quote(item.path.name)}",
        }
        for item in assets
    ]
    return answers.of_json(200, {"tag_name": tag, "assets": documents})
