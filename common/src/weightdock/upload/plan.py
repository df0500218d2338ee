"""What is to be done, as a diff of catalogue, lock, manifest and store. Pure: this is the dry run.

The pipeline executes the same plan. Nothing here asks anybody: the caller brings what the store holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from weightdock.artifact import Digest, Framework, ModelId, ObjectKey, Provenance
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.errors import IntegrityError
from weightdock.licence import UNKNOWN, LicencePolicy, Ruling
from weightdock.report import ModelResult, Operations, Outcome, RunReport
from weightdock.store import StoredObject
from weightdock.store.manifest import Entry
from weightdock.store.multipart import put_operations

_ANY_LICENCE = LicencePolicy()
_LISTED_AT_ONCE = 1000
_FOREIGN = re.compile(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]")
_LONGEST_NAME = 200


class Action(StrEnum):
    """What has to be done for a model."""

    UPLOAD = "upload"
    REPLACE = "replace"  # asked for by --force
    ADOPT = "adopt"  # the object is there and the manifest does not say so: a run ended between the two
    NOTHING = "nothing"
    REFUSE = "refuse"  # what is there is not what the manifest or the lock says; `difference` has both
    DENY = "deny"  # its licence is one that the policy denies


_OUTCOMES = {
    Action.UPLOAD: Outcome.PLANNED,
    Action.REPLACE: Outcome.REPLACEABLE,
    Action.ADOPT: Outcome.ADOPTABLE,
    Action.NOTHING: Outcome.PRESENT,
    Action.REFUSE: Outcome.DIFFERS,
    Action.DENY: Outcome.DENIED,
}


@dataclass(frozen=True)
class PlannedUpload:
    """One model, its key and what has to be done.

    ``entry`` is the manifest's, ``found`` the store's; None where there is none. ``difference`` is the reason of a
    REFUSE, naming both values. ``warned`` is whether the policy warns of its licence.
    """

    spec: ModelSpec
    key: ObjectKey
    action: Action
    entry: Entry | None = None
    found: StoredObject | None = None
    difference: str = ""
    warned: bool = False

    @property
    def licence(self) -> str:
        """What manifest or lock say of its licence; empty while neither knows the model, or its origin names none."""
        if self.entry:
            return self.entry.provenance.licence
        return self.spec.locked.licence if self.spec.locked else ""

    @property
    def size_bytes(self) -> int | None:
        """The object's size, or what it is going to be; None while nobody knows."""
        if self.entry:
            return self.entry.size_bytes
        if self.found:
            return self.found.size_bytes
        # Of the origin's file: what timm's becomes is larger by less than a thousandth.
        return self.spec.locked.size_bytes if self.spec.locked else None


def plan(
    specs: Sequence[ModelSpec],
    prefix: str,
    entries: Mapping[str, Entry],
    objects: Mapping[ObjectKey, StoredObject],
    *,
    force: bool = False,
    licences: LicencePolicy = _ANY_LICENCE,
) -> tuple[PlannedUpload, ...]:
    """Compare the models with the manifest's ``entries`` and the store's ``objects``."""
    planned = (_planned(spec, spec.key(prefix), entries.get(spec.model.name), objects, force) for spec in specs)
    return tuple(_ruled(one, licences) for one in planned)


def operations(planned: Sequence[PlannedUpload], objects: Mapping[ObjectKey, StoredObject]) -> Operations:
    """What planning took and the uploads are going to take, retries aside."""
    lists = -(-(len(objects) + 1) // _LISTED_AT_ONCE)  # with the manifest's own
    work = [one for one in planned if one.action in (Action.UPLOAD, Action.REPLACE)]
    puts = sum(put_operations(one.size_bytes or 0) for one in work)
    publish = 1 if any(one.action not in (Action.NOTHING, Action.DENY, Action.REFUSE) for one in planned) else 0
    heads = sum(one.action is Action.ADOPT for one in planned)
    return Operations(class_a=lists + puts + publish, class_b=1 + publish + heads)


def report(
    planned: Sequence[PlannedUpload],
    registered: Sequence[ModelSpec],
    prefix: str,
    objects: Mapping[ObjectKey, StoredObject],
) -> RunReport:
    """The plan as rows, with the objects that no ``registered`` model has."""
    keys = {spec.key(prefix) for spec in registered}
    framework = registered[0].model.framework
    unknown = [unknown_row(found, framework) for key, found in sorted(objects.items()) if key not in keys]
    return RunReport((*map(row, planned), *unknown), operations(planned, objects))


def row(planned: PlannedUpload) -> ModelResult:
    """The row of a model for which nothing is done: only planned, there already, or not to be touched."""
    sha256 = planned.entry.sha256 if planned.entry else None
    result = ModelResult(
        planned.spec.model,
        planned.key,
        _OUTCOMES[planned.action],
        planned.size_bytes,
        sha256,
        licence=planned.licence,
        warning=warning(planned.licence) if planned.warned else "",
    )
    if planned.action is Action.DENY:
        return result._replace(error=denied(planned.spec, planned.licence))
    if planned.action is Action.UPLOAD and planned.entry:
        return result._replace(outcome=Outcome.MISSING)
    if planned.action is Action.REFUSE:
        return result._replace(error=differs(planned.spec, planned.key, planned.difference))
    return result


def differs(spec: ModelSpec, key: ObjectKey, difference: str) -> IntegrityError:
    """The error of a REFUSE, and of a verification that finds the same."""
    return IntegrityError(
        f"{spec.model} in the store is not what it should be",
        cause=f"{key}: {difference}",
        next="nothing was overwritten; find out who changed what, then `weightdock-driver upload --force --model "
        f"{spec.model}` or `make lock`",
    )


def denied(spec: ModelSpec, licence: str) -> IntegrityError:
    """The error of a licence that the policy denies."""
    return IntegrityError(
        f"{spec.model} is not to be mirrored: its licence is {licence or UNKNOWN}",
        cause="WEIGHTDOCK_LICENCE_DENY names it, or WEIGHTDOCK_LICENCE_ALLOW does not",
        next=f"take {spec.model} out of its models.toml (`weightdock prune` then lists what is stored), "
        "or change the policy",
    )


def warning(licence: str) -> str:
    """What is said of a licence that the policy warns of."""
    return f"its licence is {licence or UNKNOWN}, of which WEIGHTDOCK_LICENCE_WARN warns"


def difference(provenance: Provenance, sha256: Digest, locked: Locked, said: str = "the manifest says") -> str:
    """How a mirrored file of this provenance differs from the lock, by whom ``said`` names; empty when it does not.

    The lock's digest is of the origin's own file. That is what the provenance has as the origin's digest, or, where the
    origin publishes none, the mirrored file itself.
    """
    published = provenance.digest.removeprefix("sha256:")
    if locked.sha256.hex in (published, sha256.hex):
        return ""
    return f"{said} sha256 {published or sha256.hex}, and models.lock says {locked.sha256}"


def contradiction(spec: ModelSpec, entry: Entry, found: StoredObject) -> str:
    """How catalogue, lock, manifest and store contradict each other; empty when they do not."""
    if entry.extension != spec.extension:  # which no node takes
        return f"the manifest names a file that ends in .{entry.extension}"
    if entry.size_bytes != found.size_bytes:
        return f"it has {found.size_bytes} bytes, and the manifest says {entry.size_bytes}"
    return difference(entry.provenance, entry.sha256, spec.locked) if spec.locked else ""


def unknown_row(found: StoredObject, framework: Framework, outcome: Outcome = Outcome.UNKNOWN) -> ModelResult:
    """The row of an object that no model has, under the nearest thing to a model's name that its key gives."""
    name = _FOREIGN.sub("", found.key.rpartition("/")[2].rpartition(".")[0])[:_LONGEST_NAME]
    return ModelResult(ModelId(framework, name or "unnamed"), found.key, outcome, found.size_bytes)


def _planned(
    spec: ModelSpec,
    key: ObjectKey,
    entry: Entry | None,
    objects: Mapping[ObjectKey, StoredObject],
    force: bool,
) -> PlannedUpload:
    found = objects.get(key)
    if found is None:
        return PlannedUpload(spec, key, Action.UPLOAD, None if force else entry)
    if force:
        return PlannedUpload(spec, key, Action.REPLACE, None, found)
    if entry is None:
        return PlannedUpload(spec, key, Action.ADOPT, None, found)
    differs = contradiction(spec, entry, found)
    return PlannedUpload(spec, key, Action.REFUSE if differs else Action.NOTHING, entry, found, differs)


def _ruled(planned: PlannedUpload, licences: LicencePolicy) -> PlannedUpload:
    """What the policy makes of it. A licence that nobody knows yet is ruled on when the file is acquired."""
    if not (planned.entry or planned.spec.locked):
        return planned
    ruling = licences.rule(planned.licence)
    if ruling is Ruling.DENIED:
        return replace(planned, action=Action.DENY)
    return replace(planned, warned=ruling is Ruling.WARNED)
