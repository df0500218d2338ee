"""An engine of ours that runs nothing: it records what is asked of it and plays what a test wrote down."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from weightdock.artifact import Digest, Framework, ModelId
from weightdock.catalogue import ModelSpec
from weightdock.errors import EngineError, WeightdockError
from weightdock.events import Event
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock_driver.cache_rights import Users
from weightdock_driver.engine import Engine
from weightdock_driver.jobs import Job
from weightdock_driver.run_spec import Role, Run, RunSpec
from weightdock_driver.verdict import Exit

SECRET = "not-for-your-eyes"
TIMM, ULTRALYTICS = "weightdock/timm-uploader", "weightdock/ultralytics-uploader"
SETTINGS = {
    "AWS_S3_ENDPOINT_URL": "https://account.r2.example.com",
    "AWS_ACCESS_KEY_ID": "key-id",
    "AWS_SECRET_ACCESS_KEY": SECRET,
}


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Play:
    """What one container does: prints, perhaps waits until it is asked to stop, and ends."""

    stdout: str = ""
    stderr: str = ""
    status: int = 0
    waits: bool = False
    heeds_sigterm: bool = True
    fails_to_start: bool = False
    breaks: BaseException | None = None
    on_output: Callable[[], None] = lambda: None


class FakeContainer:
    def __init__(self, name: str, play: Play, record: list[str]) -> None:
        self.name = name
        self._play = play
        self._record = record
        self.ended = threading.Event()

    def start(self) -> None:
        if self._play.fails_to_start:
            raise EngineError("cannot start", cause="the test says so", next="nothing")
        self._record.append(f"start {self.name}")

    def output(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        yield self._play.stdout.encode(), None
        yield None, self._play.stderr.encode()
        self._play.on_output()
        if self._play.breaks:
            raise self._play.breaks
        if self._play.waits:
            assert self.ended.wait(30), "a container was forgotten"

    def wait(self) -> Exit:
        return Exit(self._play.status)

    def terminate(self) -> None:
        self._record.append(f"terminate {self.name}")
        if self._play.heeds_sigterm:
            self.ended.set()


@dataclass
class FakeEngine:
    """Plays by the image's name; ``record`` has what happened, in order."""

    plays: dict[str, Play]
    sizes: dict[str, int] = field(default_factory=dict)
    refuses_removal: bool = False
    abandoned: tuple[str, ...] = ()
    users: Users = field(default_factory=Users)
    has_limits: bool = True
    record: list[str] = field(default_factory=list)
    specs: list[RunSpec] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.record.append("close")

    @contextmanager
    def container(self, spec: RunSpec) -> Iterator[FakeContainer]:
        self.specs.append(spec)
        self.record.append(f"make {spec.name}")
        made = FakeContainer(spec.name, self.plays[spec.image.partition(":")[0]], self.record)
        try:
            yield made
        finally:
            self.record.append(f"remove {spec.name}")
            made.ended.set()
            if self.refuses_removal:
                raise EngineError(f"{spec.name} stays", cause="the test says so", next="docker rm")

    def remove_abandoned(self) -> tuple[str, ...]:
        self.record.append("remove abandoned")
        return self.abandoned

    def image_bytes(self, reference: str) -> int:
        return self.sizes[reference]


class FakeDisplay:
    """Records what it is shown."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ticks: list[list[str]] = []
        self.said: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def event(self, event: Event) -> None:
        self.events.append(event)

    def tick(self, running: Sequence[str]) -> None:
        self.ticks.append(list(running))

    def say(self, text: str) -> None:
        self.said.append(text)


def connection_error() -> EngineError:
    """With what the real engine's connection is refused. The SDK leaves its socket open then: it is collected here."""
    try:
        Engine()
    except EngineError as error:
        said = (error.what, error.cause, error.next)
    else:
        raise AssertionError("an engine answered")
    gc.collect()
    what, cause, next = said
    return EngineError(what, cause=cause, next=next)


def model(name: str) -> ModelId:
    return ModelId.parse(name)


def result(name: str, error: WeightdockError | None = None) -> ModelResult:
    outcome = Outcome.FAILED if error else Outcome.UPLOADED
    size, digest = (None, None) if error else (1_000_000, Digest("0" * 64))
    return ModelResult(model(name), f"models/pretrained/{name}.pth", outcome, size, digest, error=error)


def reported(*results: ModelResult) -> str:
    return RunReport(results).to_json() + "\n"


def job(name: str, *models: str) -> Job:
    """A job of the framework that ``name`` gives, for these of its models."""
    spec = RunSpec(
        name=f"weightdock-{name}-01234567",
        image=f"weightdock/{name}-uploader:latest",
        role=Role.UPLOADER,
        run=Run("01234567", "host:1"),
        args=("--events",),
        environment=(),
        mounts=(),
        memory_bytes=1 << 30,
    )
    asked = [ModelSpec(ModelId(Framework(name), one), "pth", "", "classify", "a model") for one in models or ("a",)]
    return Job(spec, tuple(asked), "models/pretrained")
