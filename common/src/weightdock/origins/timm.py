"""timm: safetensors on the Hugging Face hub, by ``create_model(pretrained=True)``, saved as ``.pth``.

The hub's file is checked against the digest that the hub publishes before timm sees it. What is mirrored is the
model's state dict; ``torch.save`` to a stream (not to a path, whose stem it would write into the archive) gives the
same bytes for the same weights and one torch version, and lets the digest be computed while it writes.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from weightdock.artifact import Digest, Provenance
from weightdock.catalogue import ModelSpec, nearest
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError, IntegrityError, OriginError
from weightdock.origins import AcquiredFile, as_locked, could_not_locate
from weightdock.settings import Settings
from weightdock.verify import Expectation, sha256_of, verify

_FILE = "model.safetensors"
_SHA256_DIGITS = 64


def environment(cache: Path) -> dict[str, str]:
    """What must be set before huggingface_hub, timm and torch are imported."""
    return {
        "HF_HOME": str(cache / "huggingface"),
        "TORCH_HOME": str(cache / "torch"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # weightdock shows its own
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    }


def endpoint(settings: Settings) -> str:
    """The host of these settings, or the mirror in its place."""
    return settings.hf_endpoint


def origin(_settings: Settings) -> Timm:
    """The origin that these settings name; huggingface_hub reads ``HF_ENDPOINT`` by itself."""
    return Timm()


class Timm:
    """timm and its hub."""

    def acquire(self, spec: ModelSpec, into: Path) -> AcquiredFile:
        """Download, check against the hub's digest, load and save. See :class:`weightdock.origins.Origin`."""
        import torch

        asset, repository, licence = _registered(spec)
        said = _said(spec, repository)
        weights = _download(spec, repository, said)
        # Told of the file, because by itself timm asks the hub again, and might load what was not checked.
        model = _built(spec, asset, pretrained=True, pretrained_cfg_overlay={"file": str(weights)})
        path = into / spec.file_name
        with path.open("wb") as stream:
            hashing = _Hashing(stream)
            torch.save(model.state_dict(), hashing)
        digest = f"sha256:{said.sha256}" if said.sha256 else ""
        provenance = Provenance(said.url, said.revision, digest, licence, _versions())
        return AcquiredFile(path=path, streamed=hashing.digest(), provenance=provenance)

    def load(self, spec: ModelSpec, path: Path) -> None:
        """Load the saved file into a fresh model. See :class:`weightdock.origins.Origin`."""
        _built(spec, spec.asset or spec.model.name, pretrained=False, checkpoint_path=str(path))

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        """See :class:`weightdock.origins.Origin`."""
        asset, repository, licence = _registered(spec)
        said = _said(spec, repository)
        size, sha256 = said.size_bytes, said.sha256
        if size is None or sha256 is None:
            path = _download(spec, repository, said)
            size, sha256 = path.stat().st_size, sha256_of(path)
        return Locked(spec.model, asset, said.url, said.revision, size, sha256, licence, _versions())

    def names(self, pattern: str) -> tuple[str, ...]:
        """See :class:`weightdock.origins.Origin`. Says which are left out: 19 of 1,826 are at a URL, not on the hub."""
        timm = library()
        matching = sorted(timm.list_pretrained(pattern))
        on_hub = tuple(name for name in matching if timm.get_pretrained_cfg(name).hf_hub_id)
        if left_out := sorted(set(matching) - set(on_hub)):
            print(f"left out, as the hub does not have them: {', '.join(left_out)}", file=sys.stderr)
        return on_hub


@dataclass(frozen=True)
class _Said:
    """What the hub says of a file: ``sha256`` is the ETag of one in its large-file storage."""

    url: str
    revision: str
    size_bytes: int | None
    sha256: Digest | None


def _registered(spec: ModelSpec) -> tuple[str, str, str]:
    """Timm's name for the model, its repository on the hub, and its licence. Raises ConfigurationError."""
    timm = library()
    asset = spec.asset or spec.model.name
    cfg = None
    with suppress(RuntimeError):  # of an architecture that timm knows, with a training that it does not
        cfg = timm.get_pretrained_cfg(asset) if timm.is_model(asset) else None
    if cfg is not None and cfg.url and not cfg.hf_hub_id:
        raise ConfigurationError(
            f"the weights of {spec.model} are not on the hub",
            cause=f"timm {timm.__version__} takes {asset} from {cfg.url}, where nobody publishes a digest",
            next="take it out of models.toml, until its weights are on the hub",
        )
    if cfg is None or not cfg.hf_hub_id:
        raise ConfigurationError(
            "Model weight file mapping unknown",
            cause=f"{spec.model} maps to {asset!r}, for which timm {timm.__version__} knows no weights",
            next=f"set `asset` in its models.toml; nearest: {nearest(asset, timm.list_pretrained())}",
        )
    return asset, str(cfg.hf_hub_id), str(cfg.license or "")


def _said(spec: ModelSpec, repository: str) -> _Said:
    """Ask the hub; at the locked revision where there is one, so that a moved branch changes nothing."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository, _FILE, revision=spec.locked.revision if spec.locked else None)
    with _given(spec, url):
        said = get_hf_file_metadata(url)
    sha256 = Digest(said.etag) if said.etag and len(said.etag) == _SHA256_DIGITS else None
    return _Said(url, said.commit_hash or "", said.size, sha256)


def _download(spec: ModelSpec, repository: str, said: _Said) -> Path:
    """The hub's file in the hub's own cache, checked.

    huggingface_hub itself compares sizes only, and would use a blob with a flipped bit for ever.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.file_download import repo_folder_name

    with _given(spec, said.url):
        path = Path(hf_hub_download(repository, _FILE, revision=said.revision or None))
    home = Path(constants.HF_HUB_CACHE)
    if not path.is_file():
        raise OriginError(
            "Could not locate downloaded weights",
            cause=could_not_locate(spec, (path.parent, home)),
            next="run again; if it stays so, the library's way of saving has changed: pin the version that worked",
        )
    expected = [Expectation("the hub", said.size_bytes, said.sha256)]
    if spec.locked:
        expected.append(as_locked(spec.locked))
    try:
        verify(spec.model, path, expected)
    except IntegrityError:
        shutil.rmtree(home / repo_folder_name(repo_id=repository, repo_type="model"))
        raise
    return path


@contextmanager
def _given(spec: ModelSpec, url: str) -> Iterator[None]:
    """Whatever keeps the hub from giving a file is one kind of error."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx2.HTTPError, OSError) as error:
        raise OriginError(
            f"the origin did not give {spec.model}",
            cause=f"{url}: {error}".splitlines()[0],
            next="check that the host is reached from here, or set HF_ENDPOINT to a mirror; then run again",
        ) from error


def _versions() -> dict[str, str]:
    return {"timm": version("timm"), "torch": version("torch")}


class _Hashing:
    """A stream that hashes what passes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()

    def digest(self) -> Digest:
        return Digest(self._sha256.hexdigest())


def _built(spec: ModelSpec, asset: str, **options: object) -> Any:
    """A model with its weights. Raises IntegrityError when they do not load into it."""
    try:
        return library().create_model(asset, **options)
    except Exception as error:
        # A foreign file can make a loader raise anything; each means that this file gives no model.
        raise IntegrityError(
            f"{spec.model} does not load",
            cause=f"timm says: {type(error).__name__}: {error}",
            next="nothing was kept of it; run again, and if it stays so, timm and its weights do not fit",
        ) from error


def library() -> ModuleType:
    """timm, imported so that it works beside the CPU build of torch.

    PyPI's torchvision is built for CUDA: beside a CPU torch its operators do not load, and importing it fails on the
    first that it looks up. Naming their schemas is enough, as nothing here calls them; naming them twice is an error.
    """
    try:
        import_module("torchvision")
    except RuntimeError:
        import torch

        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    return import_module("timm")
