"""Which licences may be mirrored: three lists of globs, ``WEIGHTDOCK_LICENCE_ALLOW``, ``…_WARN`` and ``…_DENY``."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

UNKNOWN = "unknown"
"""What a glob sees where an origin names no licence."""


class Ruling(StrEnum):
    """What the policy says of a licence."""

    ALLOWED = "allowed"
    WARNED = "warned"
    DENIED = "denied"


class LicencePolicy(NamedTuple):
    """Globs over licences as their origins write them (``AGPL-3.0``, ``apache-2.0``), in upper or lower case.

    ``deny`` wins over ``warn``, and ``warn`` over ``allow``. With an ``allow`` list, a licence that is on no list is
    denied; without one it is allowed.
    """

    allow: tuple[str, ...] = ()
    warn: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    @classmethod
    def parse(cls, allow: str, warn: str, deny: str) -> LicencePolicy:
        """From lists as a variable has them: ``agpl-*, cc-by-nc-*``."""
        return cls(*(tuple(glob.strip() for glob in given.split(",") if glob.strip()) for given in (allow, warn, deny)))

    def rule(self, licence: str) -> Ruling:
        """What holds for a licence; an empty one is ``unknown``."""
        if _listed(licence, self.deny):
            return Ruling.DENIED
        if _listed(licence, self.warn):
            return Ruling.WARNED
        return Ruling.DENIED if self.allow and not _listed(licence, self.allow) else Ruling.ALLOWED

    def variables(self) -> dict[str, str]:
        """The policy as the variables that say so, for a container."""
        lists = {"ALLOW": self.allow, "WARN": self.warn, "DENY": self.deny}
        return {f"WEIGHTDOCK_LICENCE_{name}": ",".join(globs) for name, globs in lists.items()}


def _listed(licence: str, globs: tuple[str, ...]) -> bool:
    word = (licence or UNKNOWN).lower()
    return any(fnmatchcase(word, glob.lower()) for glob in globs)
