"""Several container engines on this machine, each as good as a host of its own, joined by a bridge.

A host is a ``dockerd`` in network, process, mount and host name namespaces of its own. When its first process is
killed, everything on it ends at once, containers included, as when a machine loses its power; nothing has to be hunted
down.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BRIDGE = "wdfleet"
GATEWAY = "10.213.77.1"
"""This machine's address on the bridge: where a test's store listens."""

_READY_SECONDS = 30


@dataclass(frozen=True)
class Host:
    """A host of the fleet. ``socket`` is what DOCKER_HOST names; ``mounts`` are files in the place of others."""

    name: str
    address: str
    folder: Path
    dockerd: str = "dockerd"
    mounts: Sequence[tuple[Path, str]] = ()

    @property
    def srv(self) -> Path:
        """What stands at /srv on the host."""
        return self.folder / "srv"

    @property
    def socket(self) -> str:
        """The engine's address."""
        return f"unix://{self.folder}/docker.sock"

    def docker(self, *arguments: str, input: bytes | None = None) -> str:
        """What the docker command says there."""
        command = ["docker", "--host", self.socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, input=input).stdout.decode().strip()

    @contextmanager
    def connected(self, veth: str) -> Iterator[None]:
        """Its network namespace, on the bridge."""
        with ExitStack() as stack:
            _run("ip", "netns", "add", self.name)
            stack.callback(_run, "ip", "netns", "delete", self.name)
            _run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            # The kernel takes its time to free a namespace, and the link with it; a next fleet wants the name.
            stack.callback(_run, "ip", "link", "delete", veth)
            _run("ip", "link", "set", veth, "master", BRIDGE, "up")
            _run("ip", "-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _run("ip", "-n", self.name, "link", "set", link, "up")
            _run("ip", "-n", self.name, "route", "add", "default", "via", GATEWAY)
            yield

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Its engine, once it answers; killed at the end, with whatever it runs."""
        here, socket = self.folder, self.socket
        self.srv.mkdir(parents=True, exist_ok=True)
        for stale in ("docker.pid", "docker.sock", "exec/containerd/containerd.pid"):
            (here / stale).unlink(missing_ok=True)
        dockerd = f"exec {self.dockerd} --data-root {here}/data --exec-root {here}/exec --pidfile {here}/docker.pid"
        # `ip netns exec` would hide the control groups, hence nsenter.
        command = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--pid", "--fork", "--kill-child"]
        command += ["--mount", "--mount-proc", "--uts", "sh", "-c"]
        mounts = " && ".join(f"mount --bind {own} {there}" for own, there in ((self.srv, "/srv"), *self.mounts))
        command += [f"hostname {self.name} && {mounts} && {dockerd} --host {socket} {' '.join(options)}"]
        # No registry: whatever an engine would pull, it is to miss at once, not after a minute.
        environment = {**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        with (here / "dockerd.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        try:
            self._await(process)
            yield process
        finally:
            process.kill()
            process.wait()
            self._forget_control_groups()

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + _READY_SECONDS
        while time.monotonic() < until and process.poll() is None:
            with suppress(subprocess.CalledProcessError):
                self.docker("info")
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not answer:\n{(self.folder / 'dockerd.log').read_text()[-3000:]}")

    def _forget_control_groups(self) -> None:
        """Killed containers leave theirs, empty."""
        data = self.folder / "data"
        for containers in (*data.glob("containers/*"), *data.glob("*.*/containers/*")):  # the second: userns-remap
            for group in Path("/sys/fs/cgroup").glob(f"*/docker/{containers.name}"):
                with suppress(OSError):
                    group.rmdir()


@contextmanager
def bridge() -> Iterator[None]:
    """What joins the hosts and this machine."""
    with ExitStack() as stack:
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        stack.callback(_run, "ip", "link", "delete", BRIDGE)
        _run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        for direction in ("-i", "-o"):  # a running engine makes DROP the rule
            _run("iptables", "-I", "FORWARD", direction, BRIDGE, "-j", "ACCEPT")
            stack.callback(_run, "iptables", "-D", "FORWARD", direction, BRIDGE, "-j", "ACCEPT")
        yield


@dataclass
class Fleet:
    """Hosts that are up; the first is the Swarm's manager."""

    hosts: Sequence[Host]
    stack: ExitStack
    engines: dict[str, subprocess.Popen[bytes]]

    @property
    def manager(self) -> Host:
        """Where the driver connects to."""
        return self.hosts[0]

    def kill(self, host: Host) -> None:
        """Its power goes."""
        self.engines[host.name].kill()
        self.engines[host.name].wait()

    def start(self, host: Host) -> None:
        """It comes back, with its disk as it was."""
        self.engines[host.name] = self.stack.enter_context(host.running())

    def cut_off(self, host: Host) -> None:
        """Its network cable is pulled ..."""
        _run("ip", "link", "set", _veth(host), "down")

    def reconnect(self, host: Host) -> None:
        """... and put back."""
        _run("ip", "link", "set", _veth(host), "up")

    def load(self, *images: str) -> None:
        """Have these images of this machine's engine on every host."""
        saved = subprocess.run(["docker", "save", *images], check=True, capture_output=True).stdout
        for host in self.hosts:
            host.docker("load", "--quiet", input=saved)

    def form_swarm(self) -> None:
        """A manager and its workers."""
        self.manager.docker("swarm", "init", "--advertise-addr", self.manager.address)
        token = self.manager.docker("swarm", "join-token", "--quiet", "worker")
        for host in self.hosts[1:]:
            host.docker("swarm", "join", "--token", token, f"{self.manager.address}:2377")

    def left_on_swarm(self) -> list[str]:
        """Services, secrets and configs."""
        kinds = ("service", "secret", "config")
        return [name for kind in kinds for name in self.manager.docker(kind, "ls", "--quiet").split()]


@contextmanager
def fleet(folder: Path, count: int = 3) -> Iterator[Fleet]:
    """``count`` hosts from nothing; at the end none of their namespaces, processes and files is left."""
    hosts = [Host(f"wdfleet-{n}", f"10.213.77.{10 + n}", folder / f"host-{n}") for n in range(1, count + 1)]
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["rm", "-rf", *(str(host.folder) for host in hosts)], check=True)
        stack.enter_context(bridge())
        for host in hosts:
            stack.enter_context(host.connected(_veth(host)))
        made = Fleet(hosts, stack, {})
        for host in hosts:
            made.start(host)
        yield made


def _veth(host: Host) -> str:
    return f"{BRIDGE}{host.name.rpartition('-')[2]}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
