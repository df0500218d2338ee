"""One model as a path: from the local cache without asking anybody, else from :mod:`weightdock.node.sources`."""

from __future__ import annotations

from weightdock import catalogue, settings
from weightdock.artifact import ModelId
from weightdock.cache import Cache
from weightdock.errors import ConfigurationError
from weightdock.events import Event, Observer, Stage, State, ignore
from weightdock.verify import VerifiedFile


def resolve(name: str, observe: Observer | None = None) -> VerifiedFile:
    """The verified file of ``framework/model``. See :func:`weightdock.resolve`."""
    configured, model, hear = settings.load(), _model(name), _told_apart(observe) if observe else ignore
    extension = catalogue.extension(model.framework)
    cache = Cache(configured.cache)
    file = cache.find(model, extension)
    if file and cache.used(file):
        hear(Event(model, Stage.FETCH, State.SKIPPED, note="in the cache"))
        return file
    from weightdock.node.sources import Sources  # dear, and not needed above

    sources = Sources(configured, cache, hear)
    while True:
        obtained = sources.obtain(model, extension)
        if cache.used(obtained):  # or somebody made room meanwhile, and this one went for it
            return obtained


def _told_apart(observe: Observer) -> Observer:
    """So that no OSError of a listener's is taken for one of the cache's disk."""

    def hear(event: Event) -> None:
        try:
            observe(event)
        except OSError as error:
            raise RuntimeError("what hears of progress failed") from error

    return hear


def _model(name: str) -> ModelId:
    if "/" in name:
        return ModelId.parse(name)
    raise ConfigurationError(
        f"{name or 'nothing'} is not a model name",
        cause="a model is named FRAMEWORK/MODEL",
        next=f"nearest names: {catalogue.nearest(name, [str(spec.model) for spec in catalogue.select()])}",
    )
