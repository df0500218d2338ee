"""Eight uploaders at once, each a process: all of them succeed, every object is made once and no entry is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event
from uuid import uuid4

import pytest

from support.announce import announce
from support.r2_bench import Bench
from support.r2_double import Call, Moment, When
from support.samples import PREFIX, TOY
from support.upload_scene import EARLIER, Scene
from support.uploaders import Uploaders
from weightdock.store import manifest

RACERS = 8
ROUNDS = 2
MODELS = {"small": 9_000, "large": 35_000}
OWN = {f"model-{number}": 5_000 + number for number in range(RACERS)}
COMMITS = ("PutObject", "CompleteMultipartUpload")


@pytest.fixture(scope="module")
def uploaders() -> Iterator[Uploaders]:
    with Uploaders() as running:
        yield running


def _round(scene: Scene) -> Scene:
    """The same in a bucket of its own, where nobody sends anything before all have seen that it is missing."""
    bench = replace(scene.bench, bucket=scene.bench.behind.new_bucket())
    bench.double.injections.clear()
    bench.double.record.clear()
    fresh = replace(scene, bench=bench, id=uuid4().hex[:8]).with_an_earlier_model()
    together = Barrier(RACERS)
    meet = Call(moment=Moment.AFTER, function=lambda: together.wait(60))
    bench.double.inject(meet, When("ListObjects", times=RACERS))
    return fresh


def _race(
    scene: Scene, uploaders: Uploaders, shares: list[dict[str, int]], cache: str = "cache-{}"
) -> list[dict[str, str]]:
    """One process for each share of the models, each with this cache. How each model ended for each."""
    racers = [uploaders.start(scene.job(cache.format(number), models=share)) for number, share in enumerate(shares)]
    for racer, status in [(racer, racer.wait()) for racer in racers]:
        assert status == 0, racer.output()
    return [racer.outcomes() for racer in racers]


def _assert_each_was_made_once(scene: Scene, ended: list[dict[str, str]]) -> None:
    for name in scene.models:
        assert Counter(one[name] for one in ended) == {"uploaded": 1, "Already exists in R2": RACERS - 1}
        writes = Counter(one.status for one in scene.requests(name, *COMMITS))
        assert writes == {200: 1, 412: RACERS - 1}, name
    assert not any(scene.parts().values())


@pytest.mark.parametrize("cache", ["cache-{}", "shared"])
def test_eight_uploaders_of_the_same_models_make_each_object_once_and_all_succeed(
    either_r2: Bench, tmp_path: Path, uploaders: Uploaders, pytestconfig: pytest.Config, cache: str
) -> None:
    for _ in range(ROUNDS):
        scene = _round(Scene(either_r2, tmp_path, MODELS))
        _assert_each_was_made_once(scene, _race(scene, uploaders, [MODELS] * RACERS, cache))
        scene.assert_whole()
    scheme = either_r2.url.partition(":")[0]
    announce(pytestconfig, f"races: {ROUNDS} rounds of {RACERS} uploaders of the same models, over {scheme}, {cache}")


def test_eight_uploaders_of_a_model_each_lose_no_entry_of_the_manifest(
    quick_r2: Bench, tmp_path: Path, uploaders: Uploaders, pytestconfig: pytest.Config
) -> None:
    quick_r2.double.limit(writes_per_second=5)  # R2 takes one, at which eight writers are busy for a minute
    for _ in range(ROUNDS):
        scene = _round(Scene(quick_r2, tmp_path, OWN))
        ended = _race(scene, uploaders, [{name: size} for name, size in OWN.items()])
        assert [list(one.values()) for one in ended] == [["uploaded"]] * RACERS
        scene.assert_whole()
        assert manifest.read(scene.store, PREFIX, TOY).entries.keys() == {EARLIER, *OWN}
        refused = {one.status for one in quick_r2.double.record.entries("PutObject", key="manifest.json")}
        assert refused & {412, 429}, "they did not race"
    announce(pytestconfig, f"races: {ROUNDS} rounds of {RACERS} uploaders of a model each, one manifest")


def test_an_uploader_leaves_another_s_parts_alone_though_they_share_a_cache(
    quick_r2: Bench, tmp_path: Path, uploaders: Uploaders
) -> None:
    scene = Scene(quick_r2, tmp_path, {"large": MODELS["large"]}).with_an_earlier_model()
    under_way, released = Event(), Event()

    def hold() -> None:
        under_way.set()
        assert released.wait(60)

    quick_r2.double.inject(Call(function=hold), When("UploadPart"))
    first = uploaders.start(scene.job("shared"))
    assert under_way.wait(60)
    second = uploaders.start(scene.job("shared"))
    assert second.wait() == 0, second.output()
    released.set()
    assert first.wait() == 0, first.output()
    assert (first.outcomes(), second.outcomes()) == ({"large": "Already exists in R2"}, {"large": "uploaded"})
    assert len(scene.requests("large", "CreateMultipartUpload")) == 2
    assert not any(scene.parts().values())
    scene.assert_whole()
