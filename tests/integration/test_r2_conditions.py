"""R2's rule 4: nothing is written over but what was seen. http and https."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.errand import MODELS, SIZES, Errand
from support.r2_bench import Bench
from support.r2_double import Call, Moment, When
from support.samples import PREFIX, TOY, key_of
from support.upload_scene import Scene
from support.uploader import weights
from weightdock.errors import ExitCode
from weightdock.report import Outcome
from weightdock.store import manifest

pytestmark = pytest.mark.usefixtures("small_thresholds")

COMMITS = ("PutObject", "CompleteMultipartUpload")


@pytest.fixture
def errand(either_r2: Bench, tmp_path: Path) -> Errand:
    return Errand(Scene(either_r2, tmp_path, MODELS))


def test_rule_4_what_is_there_is_found_by_reading_since_a_refused_write_is_billed_too(errand: Errand) -> None:
    errand.upload()
    errand.scene.bench.double.record.clear()
    assert [one.outcome for one in errand.upload().results] == [Outcome.PRESENT] * 2
    assert errand.scene.bench.double.record.operations() == ["GetObject", "ListObjects"]


@SIZES
def test_rule_4_who_finds_the_same_bytes_there_has_succeeded(errand: Errand, name: str) -> None:
    file = errand.file(name)
    errand.store_by_another(name, errand.loader.files[name], sha256=file.sha256.hex, who="another")
    before = errand.etag(name)
    assert not errand.store.put_file(file, key_of(name), lambda _: None)
    assert 412 in [one.status for one in errand.scene.requests(name, *COMMITS)]
    assert errand.etag(name) == before
    assert not any(errand.scene.parts().values())


@SIZES
@pytest.mark.parametrize("theirs", ["other bytes", "as many"])
def test_rule_4_who_finds_other_bytes_there_overwrites_nothing(errand: Errand, name: str, theirs: str) -> None:
    other = b"others" if theirs == "other bytes" else weights("others", MODELS[name])
    double = errand.scene.bench.double
    double.inject(Call(moment=Moment.AFTER, function=lambda: errand.store_by_another(name, other)), When("ListObjects"))
    report = errand.upload(name)
    assert report.exit_code is ExitCode.INTEGRITY
    assert errand.scene.bench.content(key_of(name)) == other
    assert not any(errand.scene.parts().values())
    assert manifest.read(errand.store, PREFIX, TOY).entries == {}


@SIZES
def test_rule_4_force_replaces_what_was_seen(errand: Errand, name: str) -> None:
    errand.store_by_another(name, b"what somebody put there by mistake")
    seen = errand.etag(name)
    report = errand.upload(name, force=True)
    assert [one.outcome for one in report.results] == [Outcome.REPLACED]
    (write,) = errand.scene.requests(name, *COMMITS)
    assert write.headers["if-match"] == seen
    assert errand.scene.visible() == {name}


@SIZES
def test_rule_4_force_does_not_replace_what_changed_since_it_was_seen(errand: Errand, name: str) -> None:
    errand.store_by_another(name, b"what was seen")
    double = errand.scene.bench.double
    double.inject(
        Call(moment=Moment.AFTER, function=lambda: errand.store_by_another(name, b"newer")), When("ListObjects")
    )
    assert errand.upload(name, force=True).exit_code is ExitCode.INTEGRITY
    assert errand.scene.bench.content(key_of(name)) == b"newer"
    assert not any(errand.scene.parts().values())


@SIZES
def test_rule_4_force_does_not_bring_back_what_was_deleted_since_it_was_seen(errand: Errand, name: str) -> None:
    errand.store_by_another(name, b"what was seen")
    bench = errand.scene.bench
    delete = Call(
        moment=Moment.AFTER,
        function=lambda: bench.behind.client().delete_object(Bucket=bench.bucket, Key=key_of(name)),
    )
    bench.double.inject(delete, When("ListObjects"))
    assert errand.upload(name, force=True).exit_code is ExitCode.STORE
    assert errand.scene.visible() == set()
