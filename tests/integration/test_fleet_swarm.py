"""The driver on a Swarm of three engines on this machine, with a store that keeps R2's rules on the bridge between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from support.fleet import Host
from support.fleet_bench import MODELS, Bench, Ran, bench, manifest, uploaded
from support.r2_bench import Place
from support.servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server

pytestmark = [pytest.mark.fleet, pytest.mark.engine]

UPLOAD = ("swarm", "upload", "--tasks", "3")
BOOTSTRAP = ("swarm", "bootstrap", "--constraint", "node.labels.gpu==true", "--cache", "/srv/models", "--jitter", "1")


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory, behind_r2: Server) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("fleet"), behind_r2) as made:
        yield made


@pytest.fixture(autouse=True)
def near_and_empty(swarm: Bench) -> Iterator[None]:
    yield
    swarm.far.one_way_seconds = swarm.origin.one_way_seconds = 0.0
    assert swarm.fleet.left_on_swarm() == []


@pytest.fixture
def gpu_nodes(swarm: Bench) -> list[Host]:
    """All three have the label, and the cache's folder, empty."""
    for host in swarm.fleet.hosts:
        subprocess.run(["rm", "-rf", host.srv / "models"], check=True)
        (host.srv / "models").mkdir()
        os.chown(host.srv / "models", 10001, 10001)
        swarm.fleet.manager.docker("node", "update", "--label-add", "gpu=true", host.name)
    return list(swarm.fleet.hosts)


def until(told: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def status(swarm: Bench, host: Host) -> str:
    return swarm.fleet.manager.docker("node", "inspect", "--format", "{{.Status.State}}", host.name)


def begun(swarm: Bench, models: int) -> tuple[Place, subprocess.Popen[str]]:
    """An upload to a store that is far away, once so many models are there."""
    place = swarm.place()
    swarm.far.one_way_seconds = 0.4
    process = swarm.start(place, *UPLOAD, "--json")
    until(lambda: len(uploaded(place)) >= models)
    return place, process


def ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=200)
    return Ran(process.returncode, out, err, 0)


def containers(swarm: Bench) -> list[str]:
    return [one for host in swarm.fleet.hosts for one in host.docker("ps", "--quiet").split()]


def filled(host: Host) -> int:
    return len(list((host.srv / "models" / "toy").glob("*.bin")))


def test_sixty_models_are_shared_out_over_three_nodes_and_reported_in_one_table(swarm: Bench) -> None:
    place = swarm.place()
    ran = swarm.run(place, *UPLOAD)
    assert ran.code == 0, ran.err
    assert uploaded(place) == list(MODELS)
    assert sorted(manifest(place)) == list(MODELS)
    assert ran.out.splitlines()[-1].startswith("60 models: 60 uploaded")
    assert [line.split()[0] for line in ran.out.splitlines()[1:61]] == [f"toy/{name}" for name in MODELS]
    assert SECRET_ACCESS_KEY not in ran.out + ran.err


def test_when_all_is_there_no_service_is_made(swarm: Bench) -> None:
    place = swarm.place()
    assert swarm.run(place, *UPLOAD).code == 0
    before = len(swarm.double.record.entries())
    again = swarm.run(place, *UPLOAD)
    assert (again.code, again.out.splitlines()[-1]) == (0, "60 models: 60 Already exists in R2 · 0.0 MB")
    assert len(swarm.double.record.entries()) - before == 2, "a manifest and a listing"


def test_a_service_shows_no_key_publishes_no_port_and_is_one_job_of_three_tasks_on_three_nodes(swarm: Bench) -> None:
    _, process = begun(swarm, 1)
    manager = swarm.fleet.manager
    (service,) = manager.docker("service", "ls", "--quiet").split()
    (told,) = json.loads(manager.docker("service", "inspect", service))
    nodes = manager.docker("service", "ps", "--format", "{{.Node}}", service).split()
    shown = [host.docker("inspect", one) for host in swarm.fleet.hosts for one in host.docker("ps", "-q").split()]
    seen = json.dumps(told) + "".join(shown)
    assert ended(process).code == 0
    assert told["Spec"]["Mode"] == {"ReplicatedJob": {"MaxConcurrent": 3, "TotalCompletions": 3}}
    assert told["Endpoint"] == {"Spec": {}}
    assert sorted(nodes) == [host.name for host in swarm.fleet.hosts]
    assert SECRET_ACCESS_KEY not in seen
    assert ACCESS_KEY_ID not in seen
    container = told["Spec"]["TaskTemplate"]["ContainerSpec"]
    assert (container["Init"], container["CapabilityDrop"]) == (True, ["ALL"])
    assert container["Privileges"]["NoNewPrivileges"] is True
    assert container["Image"].startswith("sha256:"), "by a name, a node would ask a public registry for it"


def test_a_node_that_loses_its_power_half_way_costs_no_model_and_no_truth(swarm: Bench) -> None:
    before = len(swarm.double.record.entries("PutObject", key=".bin"))
    place, process = begun(swarm, 15)
    dead = swarm.fleet.hosts[1]
    swarm.fleet.kill(dead)
    try:
        ran = ended(process)
    finally:
        swarm.fleet.start(dead)
    until(lambda: status(swarm, dead) == "ready")
    assert ran.code == 0, ran.err
    assert uploaded(place) == list(MODELS)
    stands = manifest(place)
    assert sorted(stands) == list(MODELS)
    rows = {row["model"]: row for row in ran.report["results"]}
    assert list(rows) == [f"toy/{name}" for name in MODELS]
    assert {row["outcome"] for row in rows.values()} == {"uploaded", "adopted"}
    # What the dead task had put there, and nothing else, was found and adopted: each object was written once.
    assert 0 < sum(row["outcome"] == "adopted" for row in rows.values()) <= 20
    assert {name: row["sha256"] for name, row in stands.items()} == {
        name: rows[f"toy/{name}"]["sha256"] for name in MODELS
    }
    puts = swarm.double.record.entries("PutObject", key=".bin")[before:]
    kept = [entry.key for entry in puts if entry.status == 200]
    assert len(kept) == len(set(kept)) == 60


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_on_the_swarm_and_no_container_on_any_node(
    swarm: Bench, number: signal.Signals, code: int
) -> None:
    _, process = begun(swarm, 1)
    assert len(containers(swarm)) == 3
    process.send_signal(number)
    ran = ended(process)
    assert (ran.code, ran.out) == (code, ""), ran.err
    assert swarm.fleet.left_on_swarm() == []
    assert containers(swarm) == []


def test_time_that_is_up_ends_the_services_and_says_which_models_are_not_done(swarm: Bench) -> None:
    swarm.far.one_way_seconds = 0.6
    ran = swarm.run(swarm.place(), *UPLOAD, "--timeout", "5s", "--json")
    assert ran.code == 1
    assert {row["error"]["what"] for row in ran.report["results"]} == {"ended after 5 s, before there was a report"}
    assert containers(swarm) == []


def test_what_a_killed_driver_leaves_is_removed_by_the_next_run_which_finishes_the_work(swarm: Bench) -> None:
    place, process = begun(swarm, 5)
    process.kill()
    ended(process)
    left = swarm.fleet.left_on_swarm()
    assert len(left) == 4, "a service, two keys and the CA bundle"
    swarm.far.one_way_seconds = 0.0
    ran = swarm.run(place, *UPLOAD)
    assert ran.code == 0, ran.err
    assert ran.err.count(": its driver was killed\n") == 4
    assert sorted(manifest(place)) == list(MODELS)


def test_a_node_without_the_image_is_named(swarm: Bench) -> None:
    place, bare = swarm.place(), swarm.fleet.hosts[2]
    saved = subprocess.run(["docker", "save", "weightdock/node:fleettest"], check=True, capture_output=True).stdout
    bare.docker("image", "rm", "--force", "weightdock/node:fleettest")
    try:
        ran = swarm.run(
            place, "swarm", "bootstrap", "--constraint", f"node.hostname=={bare.name}", "--cache", "a-volume"
        )
    finally:
        bare.docker("load", input=saved)
    assert ran.code == 6
    assert f"{bare.name} has no image weightdock/node:fleettest" in ran.out


def test_a_worker_says_that_it_is_no_manager(swarm: Bench) -> None:
    store = swarm.folder / "worker.env"
    store.write_text("AWS_S3_ENDPOINT_URL=https://r2.example.com\nAWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n")
    command = [*swarm.driver, "--env-file", str(store), *UPLOAD, "--framework", "toy"]
    environment = {**swarm.environment, "DOCKER_HOST": swarm.fleet.hosts[1].socket}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 6
    assert "error: this engine is no Swarm manager\n" in ran.stderr


@pytest.mark.parametrize(
    ("make", "what", "help"),
    [
        (["true"], "the cache's folder is not there", "cause: on {node}: "),
        (["mkdir"], "the cache /srv/closed cannot be written by the containers", "sudo chown 10001:10001 /srv/closed"),
    ],
)
def test_a_cache_that_a_node_does_not_have_or_may_not_write_is_the_callers_to_mend(
    swarm: Bench, make: list[str], what: str, help: str
) -> None:
    place, host = swarm.place(), swarm.fleet.hosts[1]
    assert swarm.run(place, *UPLOAD).code == 0
    subprocess.run([*make, host.srv / "closed"], check=True)
    there = ("--constraint", f"node.hostname=={host.name}", "--cache", "/srv/closed")
    ran = swarm.run(place, "swarm", "bootstrap", *there)
    assert ran.code == 2, ran.out
    assert f"error: {what}\n" in ran.out
    assert help.format(node=host.name) in ran.out
    assert ran.seconds < 20, "it was tried again and again"


@pytest.mark.parametrize(("network", "code"), [("wdlocal", 2), ("host", 0), ("wdoverlay", 0)])
def test_a_swarm_takes_networks_of_its_own(swarm: Bench, network: str, code: int) -> None:
    manager, place = swarm.fleet.manager, swarm.place()
    manager.docker("network", "create", "wdlocal")
    manager.docker("network", "create", "--driver", "overlay", "--attachable", "wdoverlay")
    try:
        ran = swarm.run(place, *UPLOAD, "--network", network)
    finally:
        manager.docker("network", "rm", "wdlocal", "wdoverlay")
    assert ran.code == code, ran.out + ran.err


def test_every_gpu_node_is_filled_and_a_second_run_finds_all_there(swarm: Bench, gpu_nodes: list[Host]) -> None:
    place = swarm.place()
    assert swarm.run(place, *UPLOAD).code == 0
    swarm.fleet.manager.docker("node", "update", "--label-rm", "gpu", gpu_nodes[2].name)
    first = swarm.run(place, *BOOTSTRAP, "--at-once", "1")
    assert first.code == 0, first.err
    assert list(map(filled, gpu_nodes)) == [60, 60, 0]
    assert first.out.splitlines()[-1] == "2 nodes: 2 filled"
    # One that joins later is filled by the same command, at no cost to the others.
    swarm.fleet.manager.docker("node", "update", "--label-add", "gpu=true", gpu_nodes[2].name)
    again = swarm.run(place, *BOOTSTRAP)
    assert list(map(filled, gpu_nodes)) == [60, 60, 60]
    rows = [line.split() for line in again.out.splitlines()[1:4]]
    assert [(row[0], " ".join(row[7:])) for row in rows] == [
        ("wdfleet-1", "60 in the cache"),
        ("wdfleet-2", "60 in the cache"),
        ("wdfleet-3", "60 fetched"),
    ]


def test_a_node_that_is_away_is_left_out_and_filled_when_it_is_back(swarm: Bench, gpu_nodes: list[Host]) -> None:
    place, away = swarm.place(), gpu_nodes[2]
    assert swarm.run(place, *UPLOAD).code == 0
    swarm.fleet.cut_off(away)
    try:
        until(lambda: status(swarm, away) == "down")
        without = swarm.run(place, *BOOTSTRAP, "--json")
    finally:
        swarm.fleet.reconnect(away)
    assert without.code == 6
    assert [(one["node"], one["error"] and one["error"]["cause"]) for one in without.report["nodes"]] == [
        ("wdfleet-1", None),
        ("wdfleet-2", None),
        ("wdfleet-3", "it does not answer (docker node ls)"),
    ]
    assert list(map(filled, gpu_nodes)) == [60, 60, 0]
    until(lambda: status(swarm, away) == "ready")
    assert swarm.run(place, *BOOTSTRAP).code == 0
    assert list(map(filled, gpu_nodes)) == [60, 60, 60]


def test_a_node_that_is_cut_off_in_mid_run_and_comes_back_is_filled_in_the_same_run(
    swarm: Bench, gpu_nodes: list[Host]
) -> None:
    place, away = swarm.place(), gpu_nodes[1]
    assert swarm.run(place, *UPLOAD).code == 0
    swarm.far.one_way_seconds = 0.3
    process = swarm.start(place, *BOOTSTRAP)
    until(lambda: filled(away) >= 5)
    swarm.fleet.cut_off(away)
    try:
        until(lambda: status(swarm, away) == "down")
        assert filled(away) < 60
    finally:
        swarm.fleet.reconnect(away)
    ran = ended(process)
    assert ran.code == 0, ran.out
    assert list(map(filled, gpu_nodes)) == [60, 60, 60]
    assert ran.out.splitlines()[-1] == "3 nodes: 3 filled"
