"""What holds every container of ours in. ``x-hardening`` of compose.yaml says the same, and a test compares the two."""

from __future__ import annotations

from typing import Any

CONTAINER_ID = 10001
"""The images' user, and its group (images/node/Dockerfile)."""

USER = f"{CONTAINER_ID}:{CONTAINER_ID}"
"""Said once more, so that it holds whatever an image says."""

CAP_DROP = ("ALL",)

PIDS = 1024
"""Processes and threads. torch and its libraries start one for each core, several times over."""

TMP = "/tmp"  # noqa: S108  # inside a container, where nobody else is
"""The only place beside the cache that may be written to, in memory: the root file system is read-only."""

TMP_BYTES = 64 * 1024 * 1024


def sdk_arguments(memory_bytes: int) -> dict[str, Any]:
    """Keyword arguments for ``containers.create``. More memory than that is not swapped: the kernel ends the loader."""
    return {
        "init": True,  # a pid 1 that passes SIGTERM on and reaps the children that load checkpoints
        "user": USER,
        "read_only": True,
        "tmpfs": {TMP: f"rw,noexec,nosuid,nodev,size={TMP_BYTES}"},
        "cap_drop": list(CAP_DROP),
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": PIDS,
        "mem_limit": memory_bytes,
        "memswap_limit": memory_bytes,
    }


def service_arguments(memory_bytes: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same in a Swarm service's words: of its ``ContainerSpec`` (whose ``Mounts`` grow), and ``Resources``."""
    return {
        "Init": True,
        "User": USER,
        "ReadOnly": True,
        "Mounts": [{"Type": "tmpfs", "Target": TMP, "TmpfsOptions": {"SizeBytes": TMP_BYTES, "Mode": 0o1777}}],
        "CapabilityDrop": list(CAP_DROP),
        "Privileges": {"NoNewPrivileges": True},  # engines before 23.0 take it and do nothing with it
    }, {"Limits": {"MemoryBytes": memory_bytes, "Pids": PIDS}}
