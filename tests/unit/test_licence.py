"""The licence policy: what wins over what, and what a run does with what is denied."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fake_loader import FakeLoader
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, digest, entry, judge, spec
from weightdock import events, report
from weightdock.cache import Cache
from weightdock.catalogue.lock import Locked
from weightdock.errors import ExitCode
from weightdock.licence import LicencePolicy, Ruling
from weightdock.report import Outcome, RunReport
from weightdock.store import manifest
from weightdock.store.manifest import Entry
from weightdock.upload.acquire import Acquire
from weightdock.upload.pipeline import Upload
from weightdock.upload.plan import Action, plan, row

ALPHA = spec("alpha")
DENY_MIT = LicencePolicy(deny=("mit",))
WARN_OF_MIT = LicencePolicy(warn=("mit",))


@pytest.mark.parametrize(
    ("policy", "licence", "ruling"),
    [
        (LicencePolicy(), "AGPL-3.0", Ruling.ALLOWED),
        (LicencePolicy(), "", Ruling.ALLOWED),
        (LicencePolicy(deny=("agpl-*",)), "AGPL-3.0", Ruling.DENIED),
        (LicencePolicy(deny=("AGPL-3.0",)), "agpl-3.0", Ruling.DENIED),
        (LicencePolicy(deny=("agpl-*",)), "LGPL-3.0", Ruling.ALLOWED),
        (LicencePolicy(warn=("cc-by-nc-*",)), "cc-by-nc-4.0", Ruling.WARNED),
        (LicencePolicy(warn=("*",), deny=("agpl-*",)), "AGPL-3.0", Ruling.DENIED),
        (LicencePolicy(allow=("*",), warn=("agpl-*",)), "AGPL-3.0", Ruling.WARNED),
        (LicencePolicy(allow=("apache-2.0", "mit")), "apache-2.0", Ruling.ALLOWED),
        (LicencePolicy(allow=("apache-2.0", "mit")), "AGPL-3.0", Ruling.DENIED),
        (LicencePolicy(allow=("apache-2.0", "mit")), "", Ruling.DENIED),
        (LicencePolicy(allow=("mit", "unknown")), "", Ruling.ALLOWED),
        (LicencePolicy(warn=("unknown",)), "", Ruling.WARNED),
    ],
)
def test_a_policy_rules(policy: LicencePolicy, licence: str, ruling: Ruling) -> None:
    assert policy.rule(licence) is ruling


def test_a_policy_is_three_lists_with_commas() -> None:
    assert LicencePolicy.parse("", " agpl-*,, gpl-* ,", "x") == LicencePolicy((), ("agpl-*", "gpl-*"), ("x",))
    assert LicencePolicy(("a", "b"), (), ("c",)).variables() == {
        "WEIGHTDOCK_LICENCE_ALLOW": "a,b",
        "WEIGHTDOCK_LICENCE_WARN": "",
        "WEIGHTDOCK_LICENCE_DENY": "c",
    }


def locked(licence: str) -> Locked:
    return Locked(ALPHA.model, "", "https://origin.example/alpha", "r1", 1, digest(b""), licence, {})


@pytest.mark.parametrize(
    ("known", "licence", "policy", "action"),
    [
        (None, None, DENY_MIT, Action.UPLOAD),  # nobody knows it yet
        (None, "MIT", DENY_MIT, Action.DENY),
        (None, "MIT", LicencePolicy(allow=("apache-2.0",)), Action.DENY),
        (None, "AGPL-3.0", DENY_MIT, Action.UPLOAD),
        (entry(), None, DENY_MIT, Action.DENY),
        (entry(), "AGPL-3.0", DENY_MIT, Action.DENY),  # what is stored counts
        (entry(), None, WARN_OF_MIT, Action.UPLOAD),
    ],
)
def test_a_plan_denies_what_manifest_or_lock_know_to_be_denied(
    known: Entry | None, licence: str | None, policy: LicencePolicy, action: Action
) -> None:
    model = ALPHA._replace(locked=locked(licence) if licence else None)
    [planned] = plan([model], PREFIX, {"alpha": known} if known else {}, {}, licences=policy)
    assert planned.action is action
    assert planned.warned is (policy is WARN_OF_MIT)


def test_a_denied_model_is_an_error_of_the_dry_run_that_names_its_licence() -> None:
    [planned] = plan([ALPHA._replace(locked=locked("MIT"))], PREFIX, {}, {}, licences=DENY_MIT)
    denied = row(planned)
    assert (denied.outcome, denied.licence) == (Outcome.DENIED, "MIT")
    assert denied.error
    assert denied.error.exit_code is ExitCode.INTEGRITY
    assert str(denied.error) == (
        "error: toy/alpha is not to be mirrored: its licence is MIT\n"
        "cause: WEIGHTDOCK_LICENCE_DENY names it, or WEIGHTDOCK_LICENCE_ALLOW does not\n"
        "next: take toy/alpha out of its models.toml (`weightdock prune` then lists what is stored), "
        "or change the policy"
    )


def uploaded(store: MemoryStore, cache: Path, policy: LicencePolicy) -> RunReport:
    loader = FakeLoader({"alpha": content("alpha")})
    run = Upload(Acquire(TOY, Cache(cache), loader, events.ignore, judge, policy), store, PREFIX)
    return run.run(run.plan([ALPHA]))


def test_a_licence_that_only_the_origin_knows_is_refused_before_anything_is_uploaded(tmp_path: Path) -> None:
    store = MemoryStore()
    [refused] = uploaded(store, tmp_path, DENY_MIT).results
    assert (refused.outcome, refused.error and refused.error.exit_code) == (Outcome.FAILED, ExitCode.INTEGRITY)
    assert "its licence is MIT" in str(refused.error)
    assert store.contents() == {}


def test_a_cache_of_a_more_lenient_day_gets_nothing_past_the_policy(tmp_path: Path) -> None:
    assert uploaded(MemoryStore(), tmp_path, LicencePolicy()).exit_code == 0
    store = MemoryStore()
    assert uploaded(store, tmp_path, DENY_MIT).exit_code is ExitCode.INTEGRITY
    assert store.contents() == {}


def test_a_licence_that_is_warned_of_is_mirrored_and_named_in_report_and_manifest(tmp_path: Path) -> None:
    store = MemoryStore()
    done = uploaded(store, tmp_path, WARN_OF_MIT)
    assert done.exit_code == 0
    warned = "warning: toy/alpha: its licence is MIT, of which WEIGHTDOCK_LICENCE_WARN warns"
    assert warned in report.table(done).splitlines()
    assert manifest.read(store, PREFIX, TOY).entries["alpha"].provenance.licence == "MIT"
    again = uploaded(store, tmp_path, WARN_OF_MIT)
    assert [one.outcome for one in again.results] == [Outcome.PRESENT]
    assert warned in report.table(again).splitlines()
