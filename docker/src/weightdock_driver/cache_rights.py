"""What a container says of its files, told by their names on the engine's host and with what helps there.

A container knows neither: for it the cache is always in one place, and its user always 10001. An engine that maps
users (``userns-remap``) or runs without root is another user's there, so what is right on other hosts is wrong.
"""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from weightdock.errors import ConfigurationError, WeightdockError, of_kind
from weightdock.report import RunReport
from weightdock_driver.hardening import CONTAINER_ID, USER
from weightdock_driver.run_spec import RunSpec

_UNWRITABLE = re.compile(r"the cache .* cannot be written")  # as weightdock.cache says it,
_NO_RIGHT = (
    f"[Errno {errno.EACCES}]"  # with what the system said: another cause, such as a read-only disk, has another cure
)
_REMAPPED = re.compile(r"(\d+)\.(\d+)")
_OR_A_VOLUME = "or --cache NAME: a volume of that name, which can always be written"


@dataclass(frozen=True)
class Users:
    """How an engine has its containers' users on its host. ``first`` is root's ids there, where they can be known."""

    rootless: bool = False
    first: tuple[int, int] | None = None

    @classmethod
    def of(cls, security_options: Sequence[str], root_folder: str) -> Users:
        """From what ``docker info`` says. An engine with userns-remap calls its folder by root's ids."""
        names = {option.partition(",")[0] for option in security_options}
        ids = _REMAPPED.fullmatch(PurePosixPath(root_folder).name) if "name=userns" in names else None
        return cls("name=rootless" in names, (int(ids[1]), int(ids[2])) if ids else None)


def explained(report: RunReport, spec: RunSpec, users: Users, where: str = "the engine's host") -> RunReport:
    """The report, with what helps ``where`` the folder is in the place of what helps inside. A volume needs none."""
    rows = (one._replace(error=_told(one.error, spec, users, where)) if one.error else one for one in report.results)
    return report._replace(results=tuple(rows))


def _told(error: WeightdockError, spec: RunSpec, users: Users, where: str) -> WeightdockError:
    if not spec.mounts or not spec.mounts[0].is_folder:
        return error
    if _UNWRITABLE.fullmatch(error.what) and error.cause.startswith(_NO_RIGHT):
        return _unwritable(error, spec, users, where)
    parts = [error.what, error.cause, error.next.replace("WEIGHTDOCK_CACHE=", "--cache ")]
    for mount in spec.mounts:
        parts = [part.replace(mount.target, mount.source) for part in parts]
    return of_kind(error.exit_code, parts[0], cause=parts[1], next=parts[2])


def _unwritable(error: WeightdockError, spec: RunSpec, users: Users, where: str) -> ConfigurationError:
    folder = shlex.quote(spec.mounts[0].source)
    if users.rootless:
        # What belongs to the engine's own user belongs to root inside, who may give it away; nobody else there may.
        whose = f"user {USER} of an engine without root, which is one of its user's subordinate ids"
        give = f"docker run --rm --user 0 --entrypoint chown --volume {folder}:/cache {spec.image} {USER} /cache"
    else:
        uid, gid = (CONTAINER_ID + first for first in users.first or (0, 0))
        whose = f"user {uid}:{gid}" + (f" there, as this engine maps {USER} (userns-remap)" if users.first else "")
        give = f"sudo chown {uid}:{gid} {folder}"
    return ConfigurationError(
        f"the cache {spec.mounts[0].source} cannot be written by the containers",
        cause=f"{error.cause}; they run as {whose}",
        next=f"on {where}: {give}; {_OR_A_VOLUME}",
    )
