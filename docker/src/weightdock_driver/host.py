"""What a node is by itself: the folder of its cache, and its GPUs."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
from collections import Counter
from pathlib import Path

from weightdock.errors import ConfigurationError
from weightdock_driver.hardening import CONTAINER_ID

_MAY_ALL = stat.S_IWOTH | stat.S_IXOTH
_NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
_PATIENCE_SECONDS = 30


def have_folder(folder: Path) -> None:
    """Have the cache's folder; as root also so that the container may write there. Raises ConfigurationError."""
    try:
        is_new = not folder.exists()  # it has nobody's group yet, but its parent's, perhaps
        folder.mkdir(parents=True, exist_ok=True)
        found = folder.stat()
        may_all = found.st_mode & _MAY_ALL == _MAY_ALL
        if not _is_root() or may_all or CONTAINER_ID in (found.st_uid, found.st_gid):
            return
        if not is_new and found.st_gid != 0:
            raise ConfigurationError(
                f"the cache {folder} cannot be written by the containers",
                cause=f"they run as {CONTAINER_ID}:{CONTAINER_ID}, it belongs to {found.st_uid}:{found.st_gid}, and "
                "another group would shut that one out",
                next=f"chown {CONTAINER_ID} {shlex.quote(str(folder))}, which leaves it its group",
            )
        os.chown(folder, -1, CONTAINER_ID)
        folder.chmod(stat.S_IMODE(found.st_mode) | 0o2770)
    except OSError as error:
        raise ConfigurationError(
            f"the cache {folder} cannot be made", cause=str(error), next="WEIGHTDOCK_CACHE=<a folder>, or --cache"
        ) from error


def _is_root() -> bool:
    """Windows has no such user, and no group to give a folder to."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def gpus() -> str:
    """What nvidia-smi says, in a few words: that there is none is no error, and a driver that fails is only told."""
    if not shutil.which(_NVIDIA_SMI[0]):
        return "not checked: no nvidia-smi here"
    try:
        listed = subprocess.run(_NVIDIA_SMI, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        return f"warning: nvidia-smi fails: {(error.stdout + error.stderr).strip().splitlines()[:1]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"warning: nvidia-smi fails: {error}"
    counted = Counter(line.strip() for line in listed.stdout.splitlines() if line.strip())
    return ", ".join(f"{count} × {name}" for name, count in counted.items()) or "none"
