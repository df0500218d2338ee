"""An uploader that is killed -9 wherever it stands leaves nothing half-written, and the next one repeats nothing.

The points are not listed by hand: they are made of the requests that an undisturbed upload was seen to make.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from support.announce import announce
from support.r2_bench import KEY, QUICK, Bench
from support.r2_double import Call, Moment, R2Double, When
from support.r2_double.record import Entry
from support.servers import Server
from support.upload_scene import Scene
from support.uploaders import Uploader, Uploaders

SEED = 20261122
MODELS = {"small": 9_000, "large": 35_000}
WRITES = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
WITHIN_A_BODY = 3
TWICE, ELSEWHERE = 16, 12
"""How many points where a second uploader is killed too, and how many over https and before rclone."""


@dataclass(frozen=True)
class Point:
    """A request of an upload's life, and where in it the uploader dies.

    With ``cut`` nothing comes through after that, else what the kernel has taken of it still does.
    """

    when: When
    moment: Moment
    after_bytes: int = 0
    cut: bool = False

    def __str__(self) -> str:
        when = self.when
        where = f"{self.after_bytes} bytes into" if self.moment is Moment.BODY else str(self.moment)
        return f"{where} {when.operation} {when.key} {when.part or ''} ({when.nth}, {'cut' if self.cut else 'let go'})"


@pytest.fixture(scope="module")
def uploaders() -> Iterator[Uploaders]:
    with Uploaders() as running:
        yield running


def _life(scene: Scene, uploaders: Uploaders) -> list[Entry]:
    """Every request of an upload that nobody disturbs."""
    status, uploader = uploaders.run(scene.job())
    assert status == 0, uploader.output()
    return scene.bench.double.record.entries()


def _points(life: list[Entry], chance: random.Random) -> Iterator[Point]:
    seen: dict[tuple[str, str, int | None], int] = {}
    for one in life:
        which = (str(one.operation), one.key.rpartition("/")[2], one.part)
        seen[which] = seen.get(which, 0) + 1
        when = When(which[0], key=which[1], part=one.part, nth=seen[which])
        yield Point(when, Moment.BEFORE, cut=True)
        yield Point(when, Moment.AFTER)
        if one.operation in WRITES:
            yield Point(when, Moment.BEFORE)
        if one.bytes_in:
            for after_bytes in {1, one.bytes_in - 1, *chance.choices(range(2, one.bytes_in), k=WITHIN_A_BODY - 2)}:
                yield Point(when, Moment.BODY, after_bytes, cut=True)


def _elsewhere(scene: Scene) -> Scene:
    """The same in a bucket that is empty but for another's model, from a cache that is empty."""
    bench = replace(scene.bench, bucket=scene.bench.behind.new_bucket())
    bench.double.injections.clear()
    return replace(scene, bench=bench, id=uuid4().hex[:8]).with_an_earlier_model()


def _kill_at(scene: Scene, uploaders: Uploaders, point: Point) -> bool:
    """Run an uploader that is to be killed there. False if it never came there, and did its work."""
    victim: Future[Uploader] = Future()
    kill = Call(
        function=lambda: victim.result().kill(), moment=point.moment, after_bytes=point.after_bytes, cut=point.cut
    )
    struck = scene.bench.double.inject(kill, point.when)
    victim.set_result(uploaders.start(scene.job()))
    status = victim.result().wait()
    scene.wait_until_quiet()
    scene.bench.double.injections.clear()
    assert status == (-9 if struck.struck else 0), victim.result().output()
    return bool(struck.struck)


def _assert_the_next_one_finishes(scene: Scene, uploaders: Uploaders, where: object, deaths: int = 1) -> None:
    """And repeats nothing that had been done before so many ``deaths``."""
    record = scene.bench.double.record
    visible, cached, parts, acquired = scene.visible(), scene.cached(), scene.parts(), scene.acquired()
    record.clear()
    status, uploader = uploaders.run(scene.job())
    assert status == 0, f"{where}: {uploader.output()}"
    scene.assert_whole()
    for name in scene.models:
        again = scene.acquired().count(name) - acquired.count(name)
        assert again == (name not in cached), f"{where}: the origin was asked {again} times for {name}"
        sent = scene.requests(name, *WRITES)
        if name in visible:
            assert sent == [], f"{where}: {name} was there, and was sent again"
        for kept in parts[name].values():
            twice = kept & {one.part for one in sent}
            assert not twice, f"{where}: parts {twice} of {name} were there, and were sent again"
    # Who dies between R2's word that an upload is begun and the note of it leaves one, empty, that nobody knows.
    # Whoever has none to go on with begins one, so that each death may have left such a one; else not the last one.
    left, begun = sum(map(len, scene.parts().values())), bool(record.entries("CreateMultipartUpload"))
    assert left <= deaths - (not begun), f"{where}: {left} uploads were left behind"
    assert not any(kept for uploads in scene.parts().values() for kept in uploads.values()), where


def _bury(scene: Scene, uploaders: Uploaders, point: Point) -> None:
    fresh = _elsewhere(scene)
    assert _kill_at(fresh, uploaders, point), f"no request came {point}"
    _assert_the_next_one_finishes(fresh, uploaders, point)


def test_killed_at_any_request_an_uploader_spoils_nothing_and_the_next_one_repeats_nothing(
    quick_r2: Bench, tmp_path: Path, uploaders: Uploaders, pytestconfig: pytest.Config
) -> None:
    scene = Scene(quick_r2, tmp_path, MODELS)
    points = list(_points(_life(scene, uploaders), random.Random(SEED)))
    assert {point.when.operation for point in points} >= {*WRITES, "GetObject", "ListObjects"}
    for point in points:
        _bury(scene, uploaders, point)
    announce(pytestconfig, f"crash loop: killed at {len(points)} points before, within and after each of its requests")


def test_killed_at_anything_that_it_does_in_its_cache_an_uploader_spoils_nothing_either(
    quick_r2: Bench, tmp_path: Path, uploaders: Uploaders, pytestconfig: pytest.Config
) -> None:
    for kill_at in count(1):
        fresh = _elsewhere(Scene(quick_r2, tmp_path, {"large": MODELS["large"]}))
        status, victim = uploaders.run(fresh.job(kill_at=kill_at))
        assert status in (0, -9), victim.output()
        fresh.wait_until_quiet()
        _assert_the_next_one_finishes(fresh, uploaders, f"the {kill_at}th thing that is done in the cache")
        if status == 0:
            break
    assert kill_at > 20
    announce(pytestconfig, f"crash loop: killed at {kill_at - 1} points at all that it does in its cache")


def test_whoever_goes_on_may_be_killed_too(
    quick_r2: Bench, tmp_path: Path, uploaders: Uploaders, pytestconfig: pytest.Config
) -> None:
    scene, chance, deaths = Scene(quick_r2, tmp_path, MODELS), random.Random(SEED), 0
    points = list(_points(_life(scene, uploaders), chance))
    for first in chance.sample(points, TWICE):
        fresh = _elsewhere(scene)
        deaths += _kill_at(fresh, uploaders, first)
        second = Point(When(nth=chance.randint(3, 9)), chance.choice([Moment.BEFORE, Moment.AFTER]), cut=True)
        deaths += _kill_at(fresh, uploaders, second)
        _assert_the_next_one_finishes(fresh, uploaders, f"{first}, then {second}", deaths=2)
    assert deaths > 1.5 * TWICE
    announce(pytestconfig, f"crash loop: killed at {deaths} points when it went on where another had been killed")


def test_over_https_too_a_killed_uploader_spoils_nothing(
    secure_r2: Bench, tmp_path: Path, uploaders: Uploaders, pytestconfig: pytest.Config
) -> None:
    scene, chance = Scene(secure_r2, tmp_path, MODELS), random.Random(SEED)
    for point in chance.sample(list(_points(_life(scene, uploaders), chance)), ELSEWHERE):
        _bury(scene, uploaders, point)
    announce(pytestconfig, f"crash loop: killed at {ELSEWHERE} points over https")


def test_before_rclone_too_a_killed_uploader_spoils_nothing(
    rclone: Server, tmp_path: Path, uploaders: Uploaders, pytestconfig: pytest.Config
) -> None:
    with R2Double(rclone.url, [KEY], QUICK, without=["condition_holds"]) as double:
        scene, chance = Scene(Bench.of(double, rclone), tmp_path, MODELS), random.Random(SEED)
        for point in chance.sample(list(_points(_life(scene, uploaders), chance)), ELSEWHERE):
            _bury(scene, uploaders, point)
    announce(pytestconfig, f"crash loop: killed at {ELSEWHERE} points before rclone, which keeps no conditions")
