"""The commands that look after a store, against a real one: what they print, what they change, how they exit."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.command import Ran
from support.samples import PREFIX, TOY, content, digest, entry, key_of, spec
from support.servers import Server
from weightdock import catalogue, cli, report
from weightdock.catalogue import lock
from weightdock.report import Outcome, RunReport
from weightdock.store import manifest
from weightdock.store.manifest import manifest_key
from weightdock.store.r2 import R2Store
from weightdock.upload import locking

MANIFEST = manifest_key(PREFIX, TOY)
TABLE = '[models.{}]\ntask = "classify"\ndescription = "the toy {}"\n'
PATTERN = '\n[models."delta_*"]\ntask = "classify"\ndescription = "all deltas"\n'


def _given(name: str) -> bytes:
    """What the toy's origin gives."""
    return pickle.dumps(f"{name} ", protocol=0)


@dataclass(frozen=True)
class Bench:
    """A bucket, a catalogue of the toy alone, and the command line in this process."""

    server: Server
    bucket: str
    home: Path
    run: Callable[..., Ran]

    def register(self, *names: str, and_also: str = "") -> None:
        """Write models.toml."""
        (self.home / "toy").mkdir(parents=True, exist_ok=True)
        text = 'extension = "bin"\n\n' + "\n".join(TABLE.format(name, name) for name in names) + and_also
        (self.home / "toy" / "models.toml").write_text(text, encoding="utf-8")

    def put(self, name: str, weights: bytes | None = None, sha256: str | None = None) -> None:
        """An object as somebody else puts it there."""
        body = content(name) if weights is None else weights
        self.server.client().put_object(
            Bucket=self.bucket, Key=key_of(name), Body=body, Metadata={"sha256": sha256 or digest(body).hex}
        )

    def publish(self, *names: str) -> None:
        """Their entries."""
        store = R2Store(self.server.settings(self.bucket))
        manifest.publish(store, PREFIX, TOY, {name: entry(name) for name in names})

    def fill(self, *names: str) -> None:
        """Objects and entries, as an upload leaves them."""
        for name in names:
            self.put(name)
        self.publish(*names)

    def stored(self) -> dict[str, bytes]:
        """What another client reads, the manifest aside."""
        client = self.server.client()
        keys = [one["Key"] for one in client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]
        bodies = {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}
        return {key: body for key, body in bodies.items() if key != MANIFEST}

    def published(self) -> set[str]:
        """The names in the manifest."""
        body = self.server.client().get_object(Bucket=self.bucket, Key=MANIFEST)["Body"].read()
        return set(json.loads(body)["models"])

    def begin(self, name: str) -> str:
        """A multipart upload that nobody is going to end."""
        return self.server.client().create_multipart_upload(Bucket=self.bucket, Key=key_of(name))["UploadId"]

    def begun(self) -> list[str]:
        """Multipart uploads that nobody has ended."""
        found = self.server.client().list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [one["UploadId"] for one in found]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``weightdock`` in this process, as its entry point does, with a catalogue of the test's own."""
    home = tmp_path / "catalogue"
    for function in (
        catalogue.frameworks,
        catalogue.check_framework,
        catalogue.load,
        catalogue.reached,
        catalogue.select,
        locking.lock_models,
    ):
        defaults = function.__defaults__
        assert defaults
        assert defaults[-1] == catalogue.HOME
        monkeypatch.setattr(function, "__defaults__", (*defaults[:-1], home))
    monkeypatch.chdir(tmp_path)  # where no .env is

    monkeypatch.setattr(sys, "argv", ["weightdock"])

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        return Ran(int(ended.value.code or 0), *capsys.readouterr())

    return run


def _bench(server: Server, folder: Path, command: Callable[..., Ran], patch: pytest.MonkeyPatch) -> Bench:
    bucket = server.new_bucket()
    for name, value in server.environment(bucket, WEIGHTDOCK_CACHE=str(folder / "cache")).items():
        patch.setenv(name, value)
    bench = Bench(server, bucket, folder / "catalogue", command)
    bench.register("alpha", "beta")
    return bench


@pytest.fixture
def bench(moto: Server, tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Before moto, which keeps conditions."""
    return _bench(moto, tmp_path, command, monkeypatch)


@pytest.fixture(params=["moto", "rclone"])
def either(
    request: pytest.FixtureRequest, tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> Bench:
    """Before each server in turn."""
    return _bench(request.getfixturevalue(request.param), tmp_path, command, monkeypatch)


def _report(ran: Ran) -> RunReport:
    [line] = ran.stdout.splitlines()
    return report.from_json(json.loads(line))


def _outcomes(ran: Ran) -> dict[str, Outcome]:
    return {one.key.removeprefix(f"{PREFIX}/toy/"): one.outcome for one in _report(ran).results}


@pytest.mark.parametrize("name", ["upload", "lock", "verify", "status", "prune"])
def test_the_help_of_each_command_has_examples(command: Callable[..., Ran], name: str) -> None:
    ran = command(name, "--help")
    assert (ran.code, ran.stderr) == (0, "")
    assert f"\n  Examples:\n    weightdock {name}" in ran.stdout


@pytest.mark.parametrize("name", ["verify", "status", "prune", "lock"])
def test_a_framework_that_nobody_registered_is_a_usage_error_before_anybody_is_asked(bench: Bench, name: str) -> None:
    ran = bench.run(name, "--framework", "tyo")
    assert (ran.code, ran.stdout, ran.stderr) == (
        2,
        "",
        "error: unknown framework 'tyo'\n"
        "cause: no framework of the catalogue has that name\n"
        "next: nearest names: toy\n",
    )


# verify


def test_a_store_that_is_as_it_should_be_verifies(either: Bench) -> None:
    either.fill("alpha", "beta")
    ran = either.run("verify")
    assert ran.code == 0
    header, alpha, beta, _, total = ran.stdout.splitlines()
    assert header.split() == ["MODEL", "RESULT", "SIZE", "SHA256", "FROM", "SECONDS"]
    assert alpha.split()[:5] == ["toy/alpha", "verified", "0.0", "MB", digest(content("alpha")).short]
    assert beta.split()[0] == "toy/beta"
    assert total == "2 models: 2 verified · 0.0 MB"
    assert sorted(ran.stderr.splitlines()) == ["toy/alpha  verify done 0.0 MB", "toy/beta  verify done 0.0 MB"]


def test_reading_every_byte_finds_what_metadata_hides(either: Bench) -> None:
    either.fill("alpha", "beta")
    either.put("beta", content("beta").swapcase(), sha256=digest(content("beta")).hex)
    assert either.run("verify").code == 0
    ran = either.run("verify", "--deep")
    assert ran.code == 4
    assert (
        "toy/beta\nerror: toy/beta in the store is not what it should be\n"
        f"cause: {key_of('beta')}: it has sha256 {digest(content('beta').swapcase())}, "
        f"and the manifest says {digest(content('beta'))}\n"
        "next: find out who changed it; `weightdock upload --force --model toy/beta` replaces it\n"
    ) in ran.stdout
    assert "2 models: 1 verified, 1 failed" in ran.stdout
    assert "toy/beta  verify started 0.0 MB" in ran.stderr
    assert either.run("verify", "--deep", "--model", "alpha").code == 0


def test_what_is_missing_fails_verification(bench: Bench) -> None:
    bench.fill("alpha")
    ran = bench.run("verify")
    assert ran.code == 5
    assert (
        f"toy/beta\nerror: toy/beta is not in the manifest\ncause: there is no entry for {key_of('beta')}\n"
        "next: make upload/toy\n"
    ) in ran.stdout


@pytest.mark.parametrize("options", [[], ["--deep"]], ids=["fast", "deep"])
def test_verification_says_the_same_to_machines(bench: Bench, options: list[str]) -> None:
    bench.fill("alpha", "beta")
    bench.put("beta", b"other")
    ran = bench.run("verify", "--json", *options)
    assert (ran.code, _outcomes(ran)) == (4, {"alpha.bin": Outcome.VERIFIED, "beta.bin": Outcome.FAILED})
    ran = bench.run("verify", "--events", *options)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (ran.code, ran.stderr) == (4, "")
    assert [line["event"] for line in lines].index("report") == len(lines) - 1
    assert {line["stage"] for line in lines[:-1]} == {"verify"}


# status


def test_the_status_shows_where_each_model_is(either: Bench) -> None:
    either.fill("alpha")
    ran = either.run("status")
    assert (ran.code, ran.stderr) == (0, "")
    header, alpha, beta = ran.stdout.splitlines()
    sha256 = digest(content("alpha")).short
    assert header == "MODEL      TASK      LOCK  MANIFEST  R2   HERE    SIZE  SHA256        LICENCE  AGE"
    assert alpha.startswith(f"toy/alpha  classify  -     yes       yes  -     0.0 MB  {sha256}  MIT      ")
    assert beta == "toy/beta   classify  -     -         -    -          -  -             -        -"


def test_the_status_for_machines_parses(bench: Bench) -> None:
    bench.fill("alpha")
    bench.put("beta")
    ran = bench.run("status", "--json", "--framework", "toy")
    [line] = ran.stdout.splitlines()
    document = json.loads(line)
    assert (ran.code, document["event"]) == (0, "status")
    assert {one["model"]: (one["in_manifest"], one["in_store"]) for one in document["models"]} == {
        "toy/alpha": (True, True),
        "toy/beta": (False, True),
    }
    assert [one["model"] for one in json.loads(bench.run("status", "--json", "--model", "b*").stdout)["models"]] == [
        "toy/beta"
    ]


def test_the_status_is_also_a_page_to_look_at_beside_the_table(bench: Bench, tmp_path: Path) -> None:
    bench.fill("alpha")
    (tmp_path / "run.json").write_text(bench.run("fetch", "--json", "--model", "alpha").stdout, encoding="utf-8")
    ran = bench.run("status", "--html", "page.html", "--run", "run.json")
    assert (ran.code, ran.stdout) == (0, bench.run("status").stdout)
    assert ran.stderr == f"to look at: {(tmp_path / 'page.html').as_uri()}\n"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [
        text for text in ("toy alpha", "toy beta", "Last run", "1 model: 1 fetched", "</html>") if text not in page
    ] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--run", "run.json"], "--run is for the page"),
        (["--run", "run.json", "--html", "page.html"], "run.json is no report of a run"),
        (["--html", "nowhere/page.html"], "nowhere/page.html cannot be written"),
    ],
)
def test_a_page_that_cannot_be_made_is_a_usage_error(
    bench: Bench, tmp_path: Path, options: list[str], said: str
) -> None:
    ran = bench.run("status", *options)
    assert (ran.code, ran.stdout, ran.stderr.splitlines()[0]) == (2, "", f"error: {said}")
    assert not (tmp_path / "page.html").exists()


# prune


def test_without_yes_what_is_in_vain_is_listed_and_stays(either: Bench) -> None:
    either.fill("alpha", "gamma")
    before = either.stored()
    ran = either.run("prune", "--grace-days", "0")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == (
        "KEY                              PLAN            SIZE  SHA256\n"
        "models/pretrained/toy/gamma.bin  would remove  0.0 MB  -\n"
        "\n"
        "1 model: 1 would remove · 0.0 MB\n"
    )
    assert (either.stored(), either.published()) == (before, {"alpha", "gamma"})


def test_with_yes_what_was_listed_goes(either: Bench) -> None:
    either.fill("alpha", "gamma")
    ran = either.run("prune", "--grace-days", "0", "--yes", "--json")
    assert (ran.code, _outcomes(ran)) == (0, {"gamma.bin": Outcome.REMOVED})
    assert (either.stored(), either.published()) == ({key_of("alpha"): content("alpha")}, {"alpha"})
    again = either.run("prune", "--grace-days", "0", "--yes")
    assert (again.code, again.stdout.splitlines()[-1]) == (0, "0 models: nothing to do")


def test_what_was_put_there_this_week_stays(bench: Bench) -> None:
    bench.fill("alpha", "gamma")
    before = bench.stored()
    for options in ([], ["--yes"], ["--grace-days", "1", "--yes"]):
        ran = bench.run("prune", *options)
        assert (ran.code, ran.stdout.splitlines()[-1]) == (0, "0 models: nothing to do")
    assert bench.stored() == before


def test_a_model_that_only_the_lock_names_stays(bench: Bench) -> None:
    # The help says so: "objects that no models.toml or models.lock names".
    bench.fill("alpha", "gamma")
    locked = [_locked("alpha"), _locked("gamma")]
    lock.lock_path(TOY, bench.home).write_text(lock.render(locked), encoding="utf-8")
    ran = bench.run("prune", "--grace-days", "0", "--yes", "--json")
    assert (ran.code, _outcomes(ran)) == (0, {})
    assert set(bench.stored()) == {key_of("alpha"), key_of("gamma")}


def _locked(name: str) -> lock.Locked:
    return lock.Locked(
        spec(name).model, "", entry(name).provenance.url, "r1", 1, digest(content(name)), "MIT", {"toy": "1.0"}
    )


def test_a_catalogue_that_cannot_be_expanded_prunes_nothing(bench: Bench) -> None:
    bench.register("alpha", and_also=PATTERN)
    bench.fill("alpha", "delta_tiny")
    ran = bench.run("prune", "--grace-days", "0", "--yes")
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[0] == "error: the pattern 'delta_*' of toy stands for no model yet"
    assert set(bench.stored()) == {key_of("alpha"), key_of("delta_tiny")}


@pytest.mark.parametrize("frameworks", [["toy", "tyo"], ["tyo", "toy"]], ids=" ".join)
def test_a_mistyped_framework_prunes_nothing_of_the_others(bench: Bench, frameworks: list[str]) -> None:
    bench.fill("alpha", "gamma")
    named = [part for name in frameworks for part in ("--framework", name)]
    ran = bench.run("prune", *named, "--grace-days", "0", "--yes")
    assert (ran.code, ran.stdout) == (2, "")
    assert set(bench.stored()) == {key_of("alpha"), key_of("gamma")}


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "1e12", "a week"])
def test_a_grace_period_that_is_none_is_a_usage_error(bench: Bench, days: str) -> None:
    bench.fill("alpha", "gamma")
    ran = bench.run("prune", "--grace-days", days, "--yes")
    assert (ran.code, ran.stdout) == (2, "")
    assert set(bench.stored()) == {key_of("alpha"), key_of("gamma")}


def test_uploads_that_nobody_ended_are_listed_and_with_yes_aborted(bench: Bench) -> None:
    bench.fill("alpha", "gamma")
    upload = bench.begin("alpha")
    for days, listed in (("10000", 0), ("1", 1)):  # for moto it is always 2010
        ran = bench.run("prune", "--uploads", "--grace-days", days)
        assert (ran.code, len(ran.stdout.splitlines()), ran.stderr) == (0, listed, "")
    assert ran.stdout == f"{key_of('alpha')}  begun 2010-11-10 20:48  would abort\n"
    assert bench.begun() == [upload]
    ran = bench.run("prune", "--uploads", "--grace-days", "1", "--yes")
    assert (ran.code, ran.stdout) == (0, f"{key_of('alpha')}  begun 2010-11-10 20:48  aborted\n")
    assert (bench.begun(), set(bench.stored())) == ([], {key_of("alpha"), key_of("gamma")})


@pytest.mark.parametrize("options", [[], ["--yes"]], ids=["listed", "aborted"])
def test_uploads_that_nobody_ended_are_told_to_machines_too(bench: Bench, options: list[str]) -> None:
    bench.begin("alpha")
    ran = bench.run("prune", "--uploads", "--grace-days", "0", "--json", *options)
    assert ran.code == 0
    assert [json.loads(line)["weightdock"] for line in ran.stdout.splitlines()] == [1]


# upload --dry-run --check


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_plan_with_work_exits_1_only_when_checked(bench: Bench, options: list[str]) -> None:
    bench.fill("alpha")
    assert bench.run("upload", "--dry-run", *options).code == 0
    assert bench.run("upload", "--dry-run", "--check", *options).code == 1
    assert bench.stored() == {key_of("alpha"): content("alpha")}


def test_a_plan_without_work_exits_0_also_with_unknown_objects(bench: Bench) -> None:
    bench.fill("alpha", "beta")
    bench.put("gamma")
    ran = bench.run("upload", "--dry-run", "--check")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == (
        "KEY                              PLAN                    SIZE  SHA256        LICENCE\n"
        f"models/pretrained/toy/alpha.bin  Already exists in R2  0.0 MB  {digest(content('alpha')).short}  MIT\n"
        f"models/pretrained/toy/beta.bin   Already exists in R2  0.0 MB  {digest(content('beta')).short}  MIT\n"
        "models/pretrained/toy/gamma.bin  unknown in R2         0.0 MB  -             -\n"
        "\n"
        "3 models: 1 unknown in R2, 2 Already exists in R2 · 0.0 MB · 1 class A and 1 class B operations, $0.000005\n"
    )


@pytest.mark.parametrize(
    ("spoil", "outcome", "code"),
    [
        (lambda bench: bench.put("beta", b"other"), Outcome.DIFFERS, 4),
        (lambda bench: bench.put("gamma"), Outcome.PRESENT, 0),
        (lambda bench: _lose(bench, "beta"), Outcome.MISSING, 1),
    ],
    ids=["differs", "unknown", "missing in the store"],
)
def test_what_a_checked_plan_finds_decides_its_exit_code(
    bench: Bench, spoil: Callable[[Bench], None], outcome: Outcome, code: int
) -> None:
    bench.fill("alpha", "beta")
    spoil(bench)
    ran = bench.run("upload", "--dry-run", "--check", "--json")
    assert (ran.code, _outcomes(ran)["beta.bin"]) == (code, outcome)


def _lose(bench: Bench, name: str) -> None:
    bench.server.client().delete_object(Bucket=bench.bucket, Key=key_of(name))


def test_an_object_to_adopt_is_work(bench: Bench) -> None:
    bench.fill("alpha")
    bench.put("beta")
    ran = bench.run("upload", "--dry-run", "--check", "--json")
    assert (ran.code, _outcomes(ran)["beta.bin"]) == (1, Outcome.ADOPTABLE)


def test_a_manifest_that_differs_from_the_lock_exits_4_even_unchecked_and_names_both(bench: Bench) -> None:
    bench.fill("alpha", "beta")
    lock.lock_path(TOY, bench.home).write_text(
        lock.render([_locked("alpha"), _locked("gamma")]).replace(
            digest(content("alpha")).hex, digest(b"as it was locked").hex
        ),
        encoding="utf-8",
    )
    for options in ([], ["--check"]):
        ran = bench.run("upload", "--dry-run", *options)
        assert ran.code == 4
        assert (
            f"cause: {key_of('alpha')}: the manifest says sha256 {digest(content('alpha'))}, "
            f"and models.lock says {digest(b'as it was locked')}\n"
        ) in ran.stdout


# upload --force


@pytest.mark.parametrize(
    ("options", "count"),
    [([], 2), (["--framework", "toy"], 2), (["--model", "*a"], 2), (["--model", "alpha", "--model", "beta"], 2)],
    ids=["nothing", "a framework", "a glob", "two names"],
)
def test_force_is_for_one_named_model(bench: Bench, options: list[str], count: int) -> None:
    bench.fill("alpha", "beta")
    before = bench.stored()
    ran = bench.run("upload", "--force", *options)
    assert (ran.code, ran.stdout, ran.stderr) == (
        2,
        "",
        f"error: --force replaces one model\ncause: the options name {count}\n"
        "next: weightdock upload --force --model toy/alpha\n",
    )
    assert bench.stored() == before


def test_a_forced_plan_would_replace_and_does_not(bench: Bench) -> None:
    bench.fill("alpha", "beta")
    before = bench.stored()
    ran = bench.run("upload", "--force", "--model", "alpha", "--dry-run", "--check", "--json")
    assert (ran.code, _outcomes(ran)) == (1, {"alpha.bin": Outcome.REPLACEABLE})
    assert bench.stored() == before


@pytest.mark.usefixtures("toy_origin")
def test_force_replaces_the_one_model_and_its_entry(bench: Bench) -> None:
    bench.fill("alpha", "beta")
    bench.put("alpha", b"what somebody else put there")
    assert bench.run("upload", "--model", "alpha").code == 4
    assert bench.stored()[key_of("alpha")] == b"what somebody else put there"
    ran = bench.run("upload", "--force", "--model", "alpha", "--json")
    assert (ran.code, _outcomes(ran)) == (0, {"alpha.bin": Outcome.REPLACED})
    assert bench.stored() == {key_of("alpha"): _given("alpha"), key_of("beta"): content("beta")}
    assert bench.run("verify", "--deep").code == 0


@pytest.mark.usefixtures("toy_origin")
def test_force_where_nothing_is_is_an_upload_like_any_other(bench: Bench) -> None:
    ran = bench.run("upload", "--force", "--model", "toy/alpha", "--json")
    assert (ran.code, _outcomes(ran)) == (0, {"alpha.bin": Outcome.UPLOADED})


# lock


@pytest.fixture
def locking_toy(bench: Bench, toy_origin: None) -> Bench:
    """The bench where the toy's child can be asked."""
    return bench


def test_a_lock_goes_to_stdout_whole_and_progress_to_stderr(locking_toy: Bench) -> None:
    bench = locking_toy
    bench.register("beta", "alpha")
    ran = bench.run("lock", "--framework", "toy")
    assert ran.code == 0
    said = {
        name: {
            "asset": "",
            "url": f"https://toys.example/{name}.bin",
            "revision": "r1",
            "size": len(_given(name)),
            "sha256": str(digest(_given(name))),
            "licence": "MIT",
            "versions": {"toy": "1.0"},
        }
        for name in ("alpha", "beta")
    }
    assert ran.stdout == json.dumps({"schema": 1, "models": said}, indent=1) + "\n"
    assert ran.stderr.splitlines() == [
        f"toy/{name}  {digest(_given(name)).short}  {len(_given(name))} bytes" for name in ("beta", "alpha")
    ]
    assert bench.stored() == {}


def test_a_lock_expands_patterns_and_uploads_then_keep_to_it(locking_toy: Bench) -> None:
    bench = locking_toy
    bench.register("alpha", and_also=PATTERN)
    assert bench.run("upload", "--dry-run").code == 2
    path = lock.lock_path(TOY, bench.home)
    path.write_text(bench.run("lock", "--framework", "toy").stdout, encoding="utf-8")
    assert list(lock.read(TOY, bench.home)) == ["alpha", "delta_base", "delta_tiny"]

    ran = bench.run("upload", "--json")
    assert (ran.code, set(_outcomes(ran).values())) == (0, {Outcome.UPLOADED})
    assert set(bench.stored()) == {key_of(name) for name in ("alpha", "delta_base", "delta_tiny")}
    assert bench.run("upload", "--dry-run", "--check").code == 0
    assert bench.run("prune", "--grace-days", "0", "--yes").stdout.splitlines()[-1] == "0 models: nothing to do"
    again = bench.run("lock", "--framework", "toy").stdout
    assert again == path.read_text(encoding="utf-8")

    # Somebody reviewed another file than the origin gives: a new store stays empty of it.
    path.write_text(again.replace(digest(_given("alpha")).hex, digest(b"reviewed").hex), encoding="utf-8")
    assert bench.run("upload", "--dry-run", "--check").code == 4
    assert bench.run("verify").code == 4
    _lose(bench, "alpha")
    ran = bench.run("upload", "--json", "--model", "alpha")
    [result] = _report(ran).results
    assert (ran.code, result.outcome) == (4, Outcome.FAILED)
    assert result.error
    assert str(digest(b"reviewed")) in result.error.cause
    assert str(digest(_given("alpha"))) in result.error.cause
    assert key_of("alpha") not in bench.stored()


def test_an_origin_that_refuses_leaves_no_half_of_a_lock(locking_toy: Bench) -> None:
    bench = locking_toy
    refusing = '\n[models.gamma]\ntask = "classify"\ndescription = "it refuses"\nasset = "refuses"\n'
    bench.register("alpha", and_also=refusing)
    ran = bench.run("lock", "--framework", "toy")
    assert (ran.code, ran.stdout) == (3, "")
    assert ran.stderr.splitlines()[-3:] == ["error: the toy says no", 'cause: "refuses"', "next: ask the toy"]


def test_a_lock_is_of_one_framework(bench: Bench) -> None:
    ran = bench.run("lock")
    assert (ran.code, ran.stdout, ran.stderr) == (
        2,
        "",
        "error: Missing option '--framework'.\ncause: the command line\nnext: weightdock lock --help\n",
    )
