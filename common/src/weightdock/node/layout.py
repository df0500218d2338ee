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
        if not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if _put(file.path, target):
                return target
        if not (target.exists() and (target.samefile(file.path) or sha256_of(target) == file.sha256)):
            raise ConfigurationError(
                f"{target} is another file",
                cause=f"its bytes are not those of {file.model}, and they may be somebody's"
                if target.exists()
                else "it is a link to what is not there now",
                next="move it away, or name another folder",
            )
    except OSError as error:
        raise ConfigurationError(
            f"{target} cannot be written", cause=str(error), next="name a folder that this user may write"
        ) from error
    return target


def _put(source: Path, target: Path) -> bool:
    """Have all of it there at once. False when somebody has put a file there meanwhile, which stays."""
    temporary = target.with_name(f".{target.name}.{unique()}")
    try:
        _link_or_copy(source, temporary)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:  # there are no links: then a rename, which would replace what is put there just now
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _link_or_copy(source: Path, target: Path) -> None:
    with suppress(OSError):  # another file system, one without links, or somebody else's file
        os.link(os.path.realpath(source), target)  # of what a symbolic link in the cache means, and not of that link
        return
    shutil.copyfile(source, target)
