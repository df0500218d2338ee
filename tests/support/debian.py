"""Programs of Debian's that the tests run without installing them: their packages, fetched by apt and only unpacked."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

_POOL = Path(__file__).parents[2] / ".build" / "debian"


def unpacked(package: str, release: str = "") -> Path:
    """The root of ``package`` as ``release`` has it (12 is bookworm, 13 trixie); fetched once for a checkout.

    apt must have that release among its sources, as docker/engine leaves it. None is this machine's own.
    """
    release = release or platform.freedesktop_os_release()["VERSION_CODENAME"]
    root = _POOL / f"{package}-{release}"
    if not root.exists():
        version = _version(package, release)
        _POOL.mkdir(parents=True, exist_ok=True)
        fetch = ["apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", f"{package}={version}"]
        subprocess.run(fetch, check=True, capture_output=True, cwd=_POOL)
        (archive,) = _POOL.glob(f"{package}_{version.replace(':', '%3a')}_*.deb")
        made = root.with_name(f"{root.name}.new")
        subprocess.run(["dpkg-deb", "-x", archive, made], check=True)
        made.rename(root)
        archive.unlink()
    return root


def _version(package: str, release: str) -> str:
    told = subprocess.run(["apt-cache", "madison", package], check=True, capture_output=True, text=True).stdout
    rows = [[part.strip() for part in line.split("|")] for line in told.splitlines()]
    for _, version, source in rows:
        if f" {release}/" in source:
            return version
    raise RuntimeError(f"apt knows no {package} of {release}; apt-get update, or add the source:\n{told}")
