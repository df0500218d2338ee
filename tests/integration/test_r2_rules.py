"""weightdock keeps the eleven rules of R2, by number: a strict double would refuse it otherwise. http and https."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.errand import MODELS, SIZES, Errand
from support.r2_bench import KEY, QUICK, Bench
from support.r2_double import Call, Expect, Key, R2Double, When
from support.r2_double.record import Entry
from support.samples import ORIGIN, PREFIX, TOY, digest, entry, key_of, spec
from support.servers import Server
from support.upload_scene import MANIFEST, Scene
from weightdock.artifact import ObjectKey
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.errors import ExitCode, StoreError
from weightdock.report import Operations, Outcome
from weightdock.store import manifest, multipart
from weightdock.store.bucket import Bucket
from weightdock.store.holdings import Holdings
from weightdock.store.pace import Pace
from weightdock.upload import plan

pytestmark = pytest.mark.usefixtures("small_thresholds")

MIB = 1024 * 1024

WRITES = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")

COMMITS = ("PutObject", "CompleteMultipartUpload")


@pytest.fixture
def errand(either_r2: Bench, tmp_path: Path) -> Errand:
    return Errand(Scene(either_r2, tmp_path, MODELS))


@pytest.fixture
def entries(errand: Errand) -> list[Entry]:
    """Every request of a whole life: models are uploaded, found there, fetched and replaced."""
    assert errand.upload().exit_code == 0
    assert errand.upload().exit_code == 0
    assert errand.fetch().exit_code == 0
    for name in MODELS:
        assert [one.outcome for one in errand.upload(name, force=True).results] == [Outcome.REPLACED]
    assert errand.store.pending(PREFIX) == ()
    errand.scene.assert_whole()
    found = errand.scene.bench.double.record.entries()
    assert {one.refused_by for one in found} == {""}
    return found


def test_rule_1_every_request_is_signed_for_the_region_auto(entries: list[Entry]) -> None:
    assert {one.status for one in entries} <= {200, 206, 404}  # the double answers 400 to any other region


@pytest.mark.parametrize("host", ["account.r2.cloudflarestorage.com", "account.eu.r2.cloudflarestorage.com"])
def test_rule_1_the_endpoint_is_the_one_that_was_given_whatever_its_jurisdiction(host: str) -> None:
    client = Bucket(Server("r2", f"https://{host}").settings("bucket")).client
    assert (client.meta.endpoint_url, client.meta.region_name) == (f"https://{host}", "auto")


def test_rule_2_no_request_has_a_checksum_that_r2_does_not_know(entries: list[Entry]) -> None:
    for one in entries:
        assert not [name for name in one.headers if "checksum" in name or name == "x-amz-trailer"], one
        assert not one.headers.get("x-amz-content-sha256", "").startswith("STREAMING"), one
        assert "aws-chunked" not in one.headers.get("content-encoding", ""), one


def test_rule_3_parts_are_equal_but_for_the_last_and_of_a_size_that_r2_takes(
    either_r2: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    either_r2.double.limit(min_part_bytes=5 * MIB)
    monkeypatch.setattr(multipart, "PART_BYTES", 16 * MIB)
    errand = Errand(Scene(either_r2, tmp_path, {"large": 33 * MIB}))
    assert errand.upload().exit_code == 0
    parts = {one.part: one.bytes_in for one in errand.scene.requests("large", "UploadPart")}
    assert parts == {1: 16 * MIB, 2: 16 * MIB, 3: MIB}
    errand.scene.assert_whole()


def test_rule_3_a_file_of_too_many_parts_gets_larger_ones(errand: Errand, monkeypatch: pytest.MonkeyPatch) -> None:
    errand.scene.bench.double.limit(max_parts=3)
    monkeypatch.setattr(multipart, "_MAX_PARTS", 3)
    assert errand.upload("large").exit_code == 0
    sent = {one.part: one.bytes_in for one in errand.scene.requests("large", "UploadPart")}
    assert sent == {1: 11_667, 2: 11_667, 3: 11_666}


@pytest.mark.parametrize("when", ["UploadPart", "CompleteMultipartUpload"])
def test_rule_3_an_upload_that_expires_on_the_way_is_begun_anew(errand: Errand, when: str) -> None:
    double = errand.scene.bench.double
    double.inject(Call(function=double.expire_uploads), When(when))
    assert [one.outcome for one in errand.upload().results] == [Outcome.UPLOADED] * 2
    assert len(errand.scene.requests("large", "CreateMultipartUpload")) == 2
    errand.scene.assert_whole()
    assert not any(errand.scene.parts().values())


def test_rule_3_an_upload_that_expired_between_two_runs_is_begun_anew(errand: Errand) -> None:
    double = errand.scene.bench.double
    refusal = double.inject(
        Call(function=lambda: double.set_key(replace(KEY, read_only=True))), When("UploadPart", nth=3)
    )
    with pytest.raises(StoreError):
        errand.store.put_file(errand.file("large"), key_of("large"), lambda _: None)
    assert refusal.struck == 1
    double.set_key(KEY)
    assert double.expire_uploads() == 1
    assert errand.store.put_file(errand.file("large"), key_of("large"), lambda _: None)
    assert errand.scene.bench.content(key_of("large")) == errand.loader.files["large"]


def test_rule_3_an_upload_that_never_lasts_is_an_error_of_the_store(errand: Errand) -> None:
    double = errand.scene.bench.double
    double.inject(Call(function=double.expire_uploads), When("UploadPart", times=None))
    report = errand.upload()
    assert report.exit_code is ExitCode.STORE
    assert [one.outcome for one in report.results] == [Outcome.UPLOADED, Outcome.FAILED]
    assert errand.scene.visible() == {"small"}


def test_rule_4_an_object_is_written_only_where_there_is_none_or_the_one_that_was_seen(entries: list[Entry]) -> None:
    conditions = [
        (one.operation, one.headers.get("if-none-match", ""), one.headers.get("if-match", "")[:1])
        for one in entries
        if one.operation in COMMITS and one.key != MANIFEST
    ]
    assert conditions == [
        ("PutObject", "*", ""),
        ("CompleteMultipartUpload", "*", ""),
        ("PutObject", "", '"'),
        ("CompleteMultipartUpload", "", '"'),
    ]


@SIZES
def test_rule_5_the_digest_of_the_whole_file_is_metadata_and_in_the_manifest(errand: Errand, name: str) -> None:
    errand.upload()
    sha256 = digest(errand.loader.files[name])
    found = errand.store.head(key_of(name))
    assert found
    assert found.sha256 == sha256
    assert manifest.read(errand.store, PREFIX, TOY).entries[name].sha256 == sha256


def test_rule_5_the_etag_of_an_object_is_never_taken_for_a_digest(errand: Errand) -> None:
    body, bucket, key = errand.loader.files["large"], errand.scene.bench.bucket, key_of("large")
    client = errand.scene.bench.behind.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    sent = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body)
    client.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]},
    )
    assert errand.etag("large").endswith('-1"')
    assert [one.outcome for one in errand.upload("large").results] == [Outcome.ADOPTED]
    assert [one.bytes_out for one in errand.scene.requests("large", "GetObject")] == [len(body)]
    assert manifest.read(errand.store, PREFIX, TOY).entries["large"].sha256 == digest(body)


def test_rule_6_a_key_that_was_written_within_this_second_is_written_in_the_next(errand: Errand) -> None:
    errand.scene.bench.double.limit(writes_per_second=3)
    store = errand.store
    assert errand.upload().exit_code == 0
    for name in ("one", "two", "three"):
        manifest.publish(store, PREFIX, TOY, {name: entry(name)})
    assert manifest.read(store, PREFIX, TOY).entries.keys() == {"small", "large", "one", "two", "three"}
    refused = [one for one in errand.scene.bench.double.record.entries("PutObject") if one.status == 429]
    assert {one.refused_by for one in refused} == {"one_write_a_second"}


@SIZES
def test_rule_6_a_model_whose_key_was_just_written_is_waited_for(errand: Errand, name: str) -> None:
    errand.scene.bench.double.limit(writes_per_second=1)  # R2's own number: in a second, no machine is too slow
    errand = replace(errand, pace=Pace())
    errand.store_by_another(name, b"what was seen")
    seen = errand.etag(name)
    assert errand.store.put_file(errand.file(name), key_of(name), lambda _: None, seen)
    assert not errand.store.put_file(errand.file(name), key_of(name), lambda _: None)
    assert 429 in [one.status for one in errand.scene.requests(name, *COMMITS)]
    assert errand.scene.bench.content(key_of(name)) == errand.loader.files[name]


def test_rule_7_no_request_expects_100_continue(entries: list[Entry]) -> None:
    assert not [one for one in entries if "expect" in one.headers]


def test_rule_7_a_store_that_hangs_on_expectations_takes_everything(errand: Errand) -> None:
    errand.scene.bench.double.limit(expect=Expect.HANG)
    assert errand.upload().exit_code == 0
    errand.scene.assert_whole()


def test_rule_8_no_bucket_is_asked_for_made_or_listed(entries: list[Entry]) -> None:
    assert {one.operation for one in entries} == {
        *WRITES,
        "GetObject",
        "ListObjects",
        "ListMultipartUploads",
    }


def test_rule_9_a_run_costs_what_its_plan_said(errand: Errand) -> None:
    specs, record = [_locked(errand, name) for name in MODELS], errand.scene.bench.double.record
    held = Holdings.read(errand.store, PREFIX, TOY)
    forecast = plan.report(plan.plan(specs, PREFIX, held.entries, held.objects), specs, PREFIX, held.objects).operations
    record.clear()
    errand.upload()
    assert Operations(record.billed("A"), record.billed("B")) == forecast == Operations(1 + 1 + (2 + 4) + 1, 2)


def _locked(errand: Errand, name: str) -> ModelSpec:
    body = errand.loader.files[name]
    locked = Locked(spec(name).model, name, f"{ORIGIN}/{name}", "r1", len(body), digest(body), "MIT", {"toy": "1.0"})
    return spec(name)._replace(locked=locked)


def test_rule_10_a_node_needs_no_more_than_a_temporary_token_that_reads(errand: Errand) -> None:
    bench = errand.scene.bench
    errand.upload()
    bench.double.set_key(Key("a-node", "its-secret", session_token="its-session", read_only=True))
    given = {
        "AWS_ACCESS_KEY_ID": "a-node",
        "AWS_SECRET_ACCESS_KEY": "its-secret",
        "AWS_SESSION_TOKEN": "its-session",
    }
    node = replace(errand, given=given)
    assert node.fetch().exit_code == 0
    with pytest.raises(StoreError) as refused:
        node.store.put_file(errand.file("small"), ObjectKey(f"{PREFIX}/toy/another.bin"), lambda _: None)
    assert refused.value.next == (
        "use a token that may: uploaders need Object Read & Write on the bucket, nodes Object Read only"
    )
    bench.double.set_key(Key("a-node", "its-secret", session_token="its-session", expired=True))
    with pytest.raises(StoreError, match="did not list") as expired:
        node.store.objects(PREFIX)
    assert expired.value.cause.startswith("the credentials have expired (ExpiredToken")


def test_rule_11_metadata_is_far_below_8192_bytes(entries: list[Entry]) -> None:
    begun = [one for one in entries if one.operation in WRITES[:2] and one.key != MANIFEST]
    assert len(begun) == 4
    for one in begun:
        metadata = {name: value for name, value in one.headers.items() if name.startswith("x-amz-meta-")}
        assert metadata.keys() == {"x-amz-meta-sha256", "x-amz-meta-size"}
        assert sum(len(name) + len(value) for name, value in metadata.items()) < 200


def test_the_store_can_tell_from_every_body_that_it_arrived_as_it_was_sent(
    entries: list[Entry], errand: Errand
) -> None:
    for one in entries:
        if one.operation in ("PutObject", "UploadPart") and one.key != MANIFEST:
            name = one.key.rpartition("/")[2].removesuffix(".bin")
            start = 10_000 * ((one.part or 1) - 1)
            body = errand.loader.files[name][start : start + one.bytes_in]
            assert one.headers["x-amz-content-sha256"] == digest(body).hex, one


def test_a_server_that_keeps_no_conditions_gets_and_gives_the_same(rclone: Server, tmp_path: Path) -> None:
    with R2Double(rclone.url, [KEY], QUICK, without=["condition_holds"]) as double:
        errand = Errand(Scene(Bench.of(double, rclone), tmp_path, MODELS))
        for outcome, force in ((Outcome.UPLOADED, False), (Outcome.PRESENT, False), (Outcome.REPLACED, True)):
            for name in MODELS:
                assert [one.outcome for one in errand.upload(name, force=force).results] == [outcome]
            errand.scene.assert_whole()
        assert errand.fetch().exit_code == 0
        assert not any(errand.scene.parts().values())
