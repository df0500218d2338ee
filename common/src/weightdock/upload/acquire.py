"""One model from its origin into the cache, verified; or from the cache, where an earlier run put it.

The first half of the upload's pipeline, and the last place where a node that may do so looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from weightdock.artifact import Framework, Provenance
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.errors import IntegrityError, OriginError
from weightdock.events import BytesObserver, Event, Observer, Stage, State
from weightdock.licence import LicencePolicy, Ruling
from weightdock.origins import AcquiredFile, as_locked
from weightdock.safety import Verdict
from weightdock.upload.plan import Action, PlannedUpload, denied, difference
from weightdock.verify import Expectation, VerifiedFile, verify


class Loader(Protocol):
    """An origin as the pipeline uses it: :class:`weightdock.origins.child.OriginProcess`."""

    @property
    def endpoint(self) -> str:
        """With what the URLs of its files begin."""

    def acquire(self, spec: ModelSpec, into: Path, arrived: BytesObserver) -> AcquiredFile:
        """Get the model's file into ``into``."""

    def load(self, spec: ModelSpec, path: Path) -> None:
        """Load it into its model."""


def judge(path: Path, framework: str) -> Verdict:
    """The safety gate's verdict: see :func:`weightdock.safety.gate.check`."""
    from weightdock.safety import gate  # 30 ms, which a run with nothing to do goes without

    return gate.check(path, framework)


@dataclass(frozen=True)
class Acquire:
    """One framework's acquisition: through which cache, by which loader, past which gate, and who hears of it."""

    framework: Framework
    cache: Cache
    loader: Loader
    observe: Observer
    judge: Callable[[Path, str], Verdict] = judge
    licences: LicencePolicy = field(default_factory=LicencePolicy)

    def obtain(self, planned: PlannedUpload) -> tuple[VerifiedFile, str]:
        """The verified file, from the cache of an earlier run or from the origin, and a word on which.

        Raises as :meth:`weightdock.origins.Origin.acquire`, the gate and the loader do.
        """
        spec = planned.spec
        cached = self.cache.find(spec.model, spec.extension)
        if cached and self._usable(cached, planned):
            self._refuse_denied(spec, cached.provenance)
            # Judged again, in milliseconds: an older run may have had an older allow-list, or none.
            return cached._replace(verdict=self.judge(cached.path, self.framework)), "local cache"
        self.observe(Event(spec.model, Stage.ACQUIRE, State.STARTED))
        with self.cache.partial(spec.model) as folder:
            acquired = self.loader.acquire(
                spec, folder, lambda count: self.observe(Event(spec.model, Stage.ACQUIRE, State.PROGRESS, count))
            )
            if not acquired.path.is_file():
                raise OriginError(
                    "Could not locate downloaded weights",
                    cause=f"the loader of {spec.model} named {acquired.path}, which is not there",
                    next="run again; if it stays so, the library's way of saving has changed",
                )
            self._refuse_denied(spec, acquired.provenance)
            self.observe(Event(spec.model, Stage.VERIFY, State.STARTED))
            verified = verify(
                spec.model,
                acquired.path,
                self._expected(planned, acquired),
                streamed=acquired.streamed,
                judge=lambda path: self.judge(path, self.framework),
                load=lambda path: self.loader.load(spec, path),
                provenance=acquired.provenance,
            )
            if spec.locked and (
                differs := difference(acquired.provenance, verified.sha256, spec.locked, "the origin gave")
            ):
                raise IntegrityError(
                    f"{spec.model} is not what it should be",
                    cause=differs,
                    next="nothing was kept of it; `make lock` and review the difference, if it is meant",
                )
            return self.cache.publish_once(verified, spec.extension), acquired.provenance.host

    def _refuse_denied(self, spec: ModelSpec, provenance: Provenance | None) -> None:
        licence = provenance.licence if provenance else ""
        if self.licences.rule(licence) is Ruling.DENIED:
            raise denied(spec, licence)

    def _usable(self, cached: VerifiedFile, planned: PlannedUpload) -> bool:
        """Only what came from this origin: a demo's random weights must not get from a cache into a real bucket."""
        if cached.provenance is None or not cached.provenance.url.startswith(f"{self.loader.endpoint}/"):
            return False
        locked = planned.spec.locked
        if planned.action is Action.REPLACE and not locked:  # whoever forces means what the origin has now
            return False
        if locked and difference(cached.provenance, cached.sha256, locked):
            return False
        return planned.entry is None or planned.entry.sha256 == cached.sha256

    def _expected(self, planned: PlannedUpload, acquired: AcquiredFile) -> list[Expectation]:
        expected = [Expectation("the origin", acquired.published_bytes, acquired.published)]
        if planned.entry:
            # With an object it would be no upload. Timm's files are other bytes by another torch.
            advice = (
                "find out who removed the object, and why the file is another now; if it is meant: "
                f"weightdock-driver upload --force --model {planned.spec.model}"
            )
            expected.append(Expectation("the manifest", planned.entry.size_bytes, planned.entry.sha256, advice))
        if planned.spec.locked and acquired.streamed is None:  # else we wrote it, and its source was compared instead
            expected.append(as_locked(planned.spec.locked))
        return expected
