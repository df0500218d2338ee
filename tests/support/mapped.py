"""Hosts whose engine has its containers' users as others of the host: with userns-remap, and without root.

What such an engine needs of its machine (a user, subordinate ids, /dev/net/tun for everybody) stands in files that are
mounted over the machine's own, in the host's mount namespace only.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from support.debian import unpacked
from support.fleet import Host

UID, FIRST = 1500, 300_000
"""Who runs the engine without root; and the first of the subordinate ids that either engine takes."""

_USER = "engine"
_PACKAGES = ("rootlesskit", "uidmap", "slirp4netns", "libslirp0")
_SCRIPT = "/usr/share/docker.io/contrib/dockerd-rootless.sh"  # of the package docker.io


def remapped(name: str, address: str, folder: Path) -> Host:
    """Of root; the root of its containers is user ``FIRST`` of the host."""
    return Host(name, address, folder, f"dockerd --userns-remap={_USER}", _users(folder))


def rootless(name: str, address: str, folder: Path) -> Host:
    """Of user ``UID``, who is the root of its containers; ``FIRST`` is their user 1. ``folder`` becomes that user's."""
    mounts, tools, home, runtime = _users(folder), folder / "usr", folder / "home", folder / "run"
    tun = folder / "etc" / "tun"
    os.mknod(tun, stat.S_IFCHR, Path("/dev/net/tun").stat().st_rdev)
    tun.chmod(0o666)
    for package in _PACKAGES:  # copied, as a checkout need not be open to that user
        subprocess.run(["cp", "--archive", unpacked(package, "bookworm") / "usr", folder], check=True)
    for one in (folder, home, runtime):
        one.mkdir(exist_ok=True)
        os.chown(one, UID, UID)
    told = f"HOME={home} XDG_RUNTIME_DIR={runtime} PATH={tools}/bin:$PATH"
    told += f" LD_LIBRARY_PATH={tools}/lib/x86_64-linux-gnu"
    command = f"setpriv --reuid {UID} --regid {UID} --clear-groups --pdeathsig keep env {told} sh {_SCRIPT}"
    return Host(name, address, folder, command, (*mounts, (tun, "/dev/net/tun")))


def _users(folder: Path) -> tuple[tuple[Path, str], ...]:
    """This machine's users and groups with one more, and that one's subordinate ids."""
    etc = folder / "etc"
    etc.mkdir(parents=True)
    folder.chmod(0o711)
    more = {"passwd": f"{_USER}:x:{UID}:{UID}::{folder}/home:/bin/sh", "group": f"{_USER}:x:{UID}:"}
    for name, line in more.items():
        (etc / name).write_text(f"{Path('/etc', name).read_text()}{line}\n")
    for name in ("subuid", "subgid"):
        (etc / name).write_text(f"{_USER}:{FIRST}:65536\n")
    return tuple((etc / name, f"/etc/{name}") for name in (*more, "subuid", "subgid"))
