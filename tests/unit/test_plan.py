"""The plan: what is missing, as a table of cases. It is the dry run, and asks nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.samples import PREFIX, content, entry, spec
from weightdock.artifact import Digest, ObjectKey
from weightdock.catalogue.lock import Locked
from weightdock.errors import ExitCode
from weightdock.report import ModelResult, Operations, Outcome
from weightdock.store import StoredObject
from weightdock.store.manifest import Entry
from weightdock.upload.plan import Action, PlannedUpload, operations, plan, row

ALPHA, BETA = spec("alpha"), spec("beta")
KEY = ALPHA.key(PREFIX)
SIZE = len(content("alpha"))
ENTRY = entry("alpha")
OTHER = Digest("b" * 64)
LOCK = Locked(
    ALPHA.model, "alpha.bin", "https://origin.example/alpha", "r1", 7, Digest("a" * 64), "MIT", {"toy": "1.0"}
)
LOCKED = ALPHA._replace(locked=LOCK)


def _stored(size: int = SIZE) -> StoredObject:
    return StoredObject(KEY, size, '"e"')


@pytest.mark.parametrize(
    ("known", "found", "action", "difference"),
    [
        (None, None, Action.UPLOAD, ""),
        (ENTRY, None, Action.UPLOAD, ""),
        (None, _stored(), Action.ADOPT, ""),
        (None, _stored(0), Action.ADOPT, ""),
        (ENTRY, _stored(), Action.NOTHING, ""),
        (ENTRY, _stored(SIZE - 1), Action.REFUSE, f"it has {SIZE - 1} bytes, and the manifest says {SIZE}"),
        (ENTRY, _stored(0), Action.REFUSE, f"it has 0 bytes, and the manifest says {SIZE}"),
        (replace(ENTRY, size_bytes=0), _stored(), Action.REFUSE, f"it has {SIZE} bytes, and the manifest says 0"),
        (replace(ENTRY, extension="sh"), _stored(), Action.REFUSE, "the manifest names a file that ends in .sh"),
    ],
    ids=[
        "new",
        "lost",
        "unknown",
        "unknown and empty",
        "there",
        "truncated",
        "emptied",
        "entry says empty",
        "of no use",
    ],
)
def test_what_is_done_for_a_model_follows_from_its_entry_and_its_object(
    known: Entry | None, found: StoredObject | None, action: Action, difference: str
) -> None:
    entries = {"alpha": known} if known else {}
    objects = {KEY: found} if found else {}
    assert plan([ALPHA], PREFIX, entries, objects) == (PlannedUpload(ALPHA, KEY, action, known, found, difference),)


def test_force_makes_anew_what_the_manifest_has_and_the_store_has_lost() -> None:
    assert plan([ALPHA], PREFIX, {"alpha": ENTRY}, {}, force=True) == (PlannedUpload(ALPHA, KEY, Action.UPLOAD),)


def test_each_model_is_planned_by_itself_in_the_order_given() -> None:
    planned = plan([BETA, ALPHA], PREFIX, {"alpha": ENTRY}, {KEY: _stored()})
    assert planned == (
        PlannedUpload(BETA, BETA.key(PREFIX), Action.UPLOAD),
        PlannedUpload(ALPHA, KEY, Action.NOTHING, ENTRY, _stored()),
    )
    assert plan([], PREFIX, {}, {}) == ()


def test_an_object_under_another_prefix_is_not_the_models() -> None:
    assert plan([ALPHA], "elsewhere", {}, {KEY: _stored()})[0].action is Action.UPLOAD


@pytest.mark.parametrize(
    ("action", "known", "expected"),
    [
        (Action.UPLOAD, None, ModelResult(ALPHA.model, KEY, Outcome.PLANNED)),
        (Action.UPLOAD, ENTRY, ModelResult(ALPHA.model, KEY, Outcome.MISSING, SIZE, ENTRY.sha256, licence="MIT")),
        (Action.ADOPT, None, ModelResult(ALPHA.model, KEY, Outcome.ADOPTABLE)),
        (Action.NOTHING, ENTRY, ModelResult(ALPHA.model, KEY, Outcome.PRESENT, SIZE, ENTRY.sha256, licence="MIT")),
    ],
)
def test_a_plan_reads_as_rows_of_a_report(action: Action, known: Entry | None, expected: ModelResult) -> None:
    assert row(PlannedUpload(ALPHA, KEY, action, known)) == expected


def test_an_object_that_is_not_what_the_manifest_says_is_an_error_even_of_a_dry_run() -> None:
    [planned] = plan([ALPHA], PREFIX, {"alpha": ENTRY}, {KEY: _stored(1)})
    refused = row(planned)
    assert refused == ModelResult(
        ALPHA.model, KEY, Outcome.DIFFERS, SIZE, ENTRY.sha256, error=refused.error, licence="MIT"
    )
    assert refused.error
    assert refused.error.exit_code is ExitCode.INTEGRITY
    assert str(refused.error) == (
        "error: toy/alpha in the store is not what it should be\n"
        f"cause: {KEY}: it has 1 bytes, and the manifest says {SIZE}\n"
        "next: nothing was overwritten; find out who changed what, "
        "then `weightdock-driver upload --force --model toy/alpha` or `make lock`"
    )


@pytest.mark.parametrize(
    ("planned", "others", "expected"),
    [
        (Action.NOTHING, 0, Operations(1, 1)),
        (Action.REFUSE, 0, Operations(1, 1)),
        (Action.DENY, 0, Operations(1, 1)),
        (Action.UPLOAD, 0, Operations(3, 2)),
        (Action.ADOPT, 0, Operations(2, 3)),
        (Action.NOTHING, 999, Operations(1, 1)),
        (Action.NOTHING, 1000, Operations(2, 1)),
    ],
)
def test_a_plan_costs_what_its_run_asks_for(planned: Action, others: int, expected: Operations) -> None:
    # The manifest's own object is listed, too.
    objects = {ObjectKey(f"{PREFIX}/toy/{number}"): _stored() for number in range(others)}
    assert operations([PlannedUpload(ALPHA, KEY, planned)], objects) == expected
