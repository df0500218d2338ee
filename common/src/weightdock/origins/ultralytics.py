"""ultralytics: release assets on GitHub, by the library's own ``safe_download`` and checkpoint loader.

The library knows no host but GitHub, so the URL is built here and may point at a mirror
(``WEIGHTDOCK_GITHUB_URL``), which answers as GitHub Enterprise does: its API lies under ``/api/v3``.
"""

from __future__ import annotations

import inspect
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from weightdock.artifact import Digest, Provenance
from weightdock.catalogue import ModelSpec, nearest
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError, IntegrityError, OriginError
from weightdock.origins import AcquiredFile, could_not_locate
from weightdock.settings import Settings
from weightdock.verify import sha256_of

_REPOSITORY = "ultralytics/assets"
_LICENCE = "AGPL-3.0"
_TIMEOUT_SECONDS = 15
# Which class reads which file; everything else is YOLO's.
_LOADERS = {"sam": "SAM", "mobile_sam": "SAM", "FastSAM": "FastSAM", "rtdetr": "RTDETR"}


def environment(cache: Path) -> dict[str, str]:
    """What must be set before ultralytics and torch are imported."""
    return {
        "YOLO_CONFIG_DIR": str(cache / "config"),
        "MPLCONFIGDIR": str(cache / "matplotlib"),
        "YOLO_AUTOINSTALL": "false",  # an image is what it was built as
        "ULTRALYTICS_SAFE_LOAD": "1",  # weights_only, with ultralytics' own allow-list
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",  # SAM's builder asks torch for an unsafe load; torch says no
    }


def endpoint(settings: Settings) -> str:
    """The host of these settings, or the mirror in its place."""
    return settings.github_url


def origin(settings: Settings) -> Ultralytics:
    """The origin that these settings name."""
    return Ultralytics(settings.github_url)


class Ultralytics:
    """One release of ``ultralytics/assets``: the one that the installed library asks for."""

    def __init__(self, github_url: str) -> None:
        self._github_url = github_url

    def acquire(self, spec: ModelSpec, into: Path) -> AcquiredFile:
        """Download the asset. See :class:`weightdock.origins.Origin`."""
        from ultralytics.utils import SETTINGS
        from ultralytics.utils.downloads import safe_download

        asset = _asset(spec)
        url = self._url(asset)
        try:
            safe_download(url, file=asset, dir=into, unzip=False, progress=False)
        except (OSError, ValueError) as error:  # requests' and ultralytics' own ConnectionErrors are OSErrors
            raise self._refused(spec, url, error) from error
        path = into / asset
        if not path.is_file():
            raise OriginError(
                "Could not locate downloaded weights",
                cause=could_not_locate(spec, (into, Path(SETTINGS["weights_dir"]), Path.cwd())),
                next="run again; if it stays so, the library's way of saving has changed: pin the version that worked",
            )
        size, digest = self._published.get(asset, (None, ""))
        return AcquiredFile(
            path=path,
            published=Digest.parse(digest) if digest else None,
            published_bytes=size,
            provenance=Provenance(url, self._tag, digest, _LICENCE, _versions()),
        )

    def load(self, spec: ModelSpec, path: Path) -> None:
        """Load by the class that the asset's name calls for. See :class:`weightdock.origins.Origin`."""
        import ultralytics

        loader = next((name for prefix, name in _LOADERS.items() if path.name.startswith(prefix)), "YOLO")
        try:
            getattr(ultralytics, loader)(str(path))
        except Exception as error:
            # A foreign file can make a loader raise anything; each means that this file gives no model.
            raise IntegrityError(
                f"{spec.model} does not load",
                cause=f"ultralytics' {loader} says: {type(error).__name__}: {error}",
                next="nothing was kept of it; run again, and if it stays so, the origin's file is not a checkpoint",
            ) from error

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        """See :class:`weightdock.origins.Origin`."""
        asset = _asset(spec)
        size, digest = self._published.get(asset, (None, ""))
        if size is None or not digest:
            path = self.acquire(spec, into).path
            size, digest = path.stat().st_size, sha256_of(path).hex
        sha256 = Digest.parse(digest)
        return Locked(spec.model, asset, self._url(asset), self._tag, size, sha256, _LICENCE, _versions())

    def names(self, pattern: str) -> tuple[str, ...]:
        """See :class:`weightdock.origins.Origin`."""
        from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

        stems = (name.removesuffix(".pt") for name in GITHUB_ASSETS_NAMES if name.endswith(".pt"))
        return tuple(sorted(stem for stem in stems if fnmatchcase(stem, pattern)))

    def _url(self, asset: str) -> str:
        return f"{self._github_url}/{_REPOSITORY}/releases/download/{self._tag}/{asset}"

    @cached_property
    def _tag(self) -> str:
        from ultralytics.utils.downloads import attempt_download_asset

        return str(inspect.signature(attempt_download_asset).parameters["release"].default)

    @cached_property
    def _published(self) -> dict[str, tuple[int, str]]:
        """Size and digest of each asset, by one call of the release API.

        A mirror need not have the API and GitHub limits who may ask how often, so its absence leaves the origin's
        digest unknown, which the manifest then says; the file still has to load.
        """
        import requests

        host = "https://api.github.com" if self._github_url == "https://github.com" else f"{self._github_url}/api/v3"
        try:
            answer = requests.get(f"{host}/repos/{_REPOSITORY}/releases/tags/{self._tag}", timeout=_TIMEOUT_SECONDS)
            answer.raise_for_status()
            assets = answer.json()["assets"]
            return {asset["name"]: (int(asset["size"]), asset.get("digest") or "") for asset in assets}
        # The last four are what another answer than GitHub's makes of that line.
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
            print(f"no published digests: {type(error).__name__} from {host}", flush=True)
            return {}

    def _refused(self, spec: ModelSpec, url: str, error: Exception) -> OriginError:
        reason: BaseException = error
        while reason.__cause__ or reason.__context__:
            reason = reason.__cause__ or reason.__context__ or reason
        return OriginError(
            f"the origin did not give {spec.model}",
            cause=f"{url}: {reason or error}",
            next="check that the host is reached from here and has this file (a mirror, or the demo's origin, may lack "
            "it: `make demo` makes what is registered), or set WEIGHTDOCK_GITHUB_URL to one that has; then run again",
        )


def _asset(spec: ModelSpec) -> str:
    """The file's name in a release. Raises ConfigurationError for one that the library does not know."""
    import ultralytics
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

    asset = spec.asset or spec.file_name
    if asset not in GITHUB_ASSETS_NAMES:
        raise ConfigurationError(
            "Model weight file mapping unknown",
            cause=f"{spec.model} maps to {asset!r}, which ultralytics {ultralytics.__version__} does not know",
            next=f"set `asset` in its models.toml; nearest: {nearest(asset, sorted(GITHUB_ASSETS_NAMES))}",
        )
    return asset


def _versions() -> dict[str, str]:
    import ultralytics

    return {"ultralytics": str(ultralytics.__version__), "torch": version("torch")}
