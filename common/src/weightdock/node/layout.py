"""A model's file in the place where its framework's own code looks for it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError
from weightdock.shared_files import unique
from weightdock.verify import VerifiedFile, sha256_of


class Layout(StrEnum):
    """Whose way of keeping files.

    ``ultralytics``: by the framework's own name, as ``YOLO("yolo11n.pt")`` looks for it in the current folder and in
    ``weights_dir``. ``hub``: below TORCH_HOME, in hub/checkpoints.
    """

    ULTRALYTICS = "ultralytics"
    HUB = "hub"


def place(file: VerifiedFile, layout: Layout, root: Path, spec: ModelSpec) -> Path:
    """The file below ``root``, as a hard link, or where there can be none as a copy. Gives where it is.

    Raises ConfigurationError when it cannot be written there, and when another file is there, which may be somebody's.
    """
    if layout is Layout.HUB:
        target = root / "hub" / "checkpoints" / spec.file_name
    else:
        target = root / (spec.asset or spec.file_name)
    try:
        if os.path.lexists(target):
            if target.exists() and (target.samefile(file.path) or sha256_of(target) == file.sha256):
                return target
            raise ConfigurationError(
                f"{target} is another file",
                cause=f"its bytes are not those of {file.model}, and they may be somebody's"
                if target.exists()
                else "it is a link to what is not there now",
                next="move it away, or name another folder",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        # A unique name and a rename, so that a reader sees what was there or all that is to be.
        temporary = target.with_name(f".{target.name}.{unique()}")
        try:
            _link_or_copy(file.path, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{target} cannot be written", cause=str(error), next="name a folder that this user may write"
        ) from error
    return target


def _link_or_copy(source: Path, target: Path) -> None:
    with suppress(OSError):  # another file system, one without links, or somebody else's file
        os.link(source, target)
        return
    shutil.copyfile(source, target)
