"""The nodes of a Swarm: which a bootstrap is for, how far each is, and the table that it ends with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weightdock.artifact import Framework, ModelId
from weightdock.errors import ConfigurationError, EngineError, ExitCode, WeightdockError
from weightdock.events import SCHEMA, Event, Stage, State, megabytes
from weightdock.report import RunReport, aligned, totals

_LABEL = "node.labels."


@dataclass(frozen=True)
class Node:
    """A node as Swarm gives it. ``attributes`` are what a constraint may ask of it, such as ``node.labels.gpu``."""

    id: str
    hostname: str
    is_ready: bool
    is_active: bool
    attributes: Mapping[str, str]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Node:
        """Read one."""
        spec, description = given["Spec"], given["Description"]
        platform, engine = description.get("Platform", {}), description.get("Engine", {})
        attributes = {
            "node.id": given["ID"],
            "node.hostname": description["Hostname"],
            "node.role": spec["Role"],
            "node.platform.os": platform.get("OS", ""),
            "node.platform.arch": platform.get("Architecture", ""),
            **{f"node.labels.{name}": value for name, value in (spec.get("Labels") or {}).items()},
            **{f"engine.labels.{name}": value for name, value in (engine.get("Labels") or {}).items()},
        }
        return cls(
            id=given["ID"],
            hostname=description["Hostname"],
            is_ready=given["Status"]["State"] == "ready",
            is_active=spec["Availability"] == "active",
            attributes=attributes,
        )

    def meets(self, constraint: str) -> bool:
        """Whether ``node.labels.gpu==true`` or ``…!=…`` holds here, as Swarm compares. Raises ConfigurationError."""
        name, operator, value = _parts(constraint)
        return (self.attributes.get(name, "").lower() == value.lower()) is (operator == "==")


@dataclass(frozen=True)
class Nodes:
    """All of them, by hostname."""

    all: tuple[Node, ...]

    @classmethod
    def of(cls, given: Sequence[Mapping[str, Any]]) -> Nodes:
        """Read the engine's list."""
        return cls(tuple(sorted(map(Node.of, given), key=lambda node: (node.hostname, node.id))))

    @property
    def ready(self) -> frozenset[str]:
        """The ids of those that answer."""
        return frozenset(node.id for node in self.all if node.is_ready)

    @property
    def names(self) -> dict[str, str]:
        """Hostnames by id."""
        return {node.id: node.hostname for node in self.all}

    def that_meet(self, constraints: Sequence[str]) -> tuple[Node, ...]:
        """Those where every constraint holds. Raises ConfigurationError where that is none."""
        found = tuple(node for node in self.all if all(map(node.meets, constraints)))
        if not found:
            raise ConfigurationError(
                f"no node meets {' and '.join(constraints)}",
                cause=f"the Swarm has {', '.join(node.hostname for node in self.all)}",
                next=f"{self._labelling(constraints)}`docker node inspect NODE` shows what a --constraint may ask for",
            )
        return found

    def _labelling(self, constraints: Sequence[str]) -> str:
        """The command that gives a node the labels that none has, if that is what is wrong."""
        unmet = [_parts(one) for one in constraints if not any(node.meets(one) for node in self.all)]
        labels = [
            f" --label-add {shlex.quote(f'{name.removeprefix(_LABEL)}={value}')}"
            for name, operator, value in unmet
            if name.startswith(_LABEL) and operator == "=="
        ]
        return f"docker node update{''.join(labels)} NODE; " if labels else ""


class NodeProgress:
    """The events of a node's models as events of the node: a display then has one row for each node."""

    def __init__(self, hostname: str, count: int) -> None:
        # A row's name is a model's; hostnames are made of the same letters.
        self._row = ModelId(Framework("node"), hostname)
        self._count = count
        self._done: dict[ModelId, int] = {}
        self._ended: dict[ModelId, State] = {}

    def of(self, event: Event) -> Event:
        """What the node's row shows now."""
        self._done[event.model] = event.done_bytes or self._done.get(event.model, 0)
        if event.state not in (State.STARTED, State.PROGRESS):
            self._ended[event.model] = event.state
        failed = sum(state is State.FAILED for state in self._ended.values())
        note = f"{len(self._ended) - failed} of {self._count} models" + (f", {failed} failed" if failed else "")
        state = State.PROGRESS
        if len(self._ended) >= self._count:
            state = State.FAILED if failed else State.DONE
        return Event(self._row, Stage.FETCH, state, sum(self._done.values()), None, note)


@dataclass(frozen=True)
class NodeResult:
    """How a node ended. ``error`` says why it was not even begun."""

    node: str
    report: RunReport = field(default_factory=lambda: RunReport(()))
    seconds: float = 0.0
    error: WeightdockError | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The worst of it."""
        return max(self.report.exit_code, self.error.exit_code if self.error else ExitCode.DONE)


def unreachable(node: Node) -> NodeResult:
    """A node that cannot be given work now."""
    state = "is drained or paused" if node.is_ready else "does not answer"
    error = EngineError(
        f"node {node.hostname} was left out",
        cause=f"it {state} (docker node ls)",
        next="the same command, once it is back: nodes that are filled cost nothing",
    )
    return NodeResult(node.hostname, error=error)


def table(results: Sequence[NodeResult]) -> str:
    """A row per node, then each error once, then one line of totals."""
    rows = [("NODE", "MODELS", "SIZE", "SECONDS", "RESULT")]
    rows += [
        (
            one.node,
            f"{sum(row.error is None for row in one.report.results)} of {len(one.report.results)}"
            if one.report.results
            else "-",
            megabytes(sum(row.size_bytes or 0 for row in one.report.results)),
            f"{one.seconds:.1f}" if one.seconds else "-",
            "left out" if one.error else totals(one.report).partition(": ")[2].partition(" · ")[0],
        )
        for one in results
    ]
    errors: dict[str, list[str]] = {}
    for one in results:
        for error in [one.error, *(row.error for row in one.report.results)]:
            if error and one.node not in errors.setdefault(str(error), []):
                errors[str(error)].append(one.node)
    filled = sum(one.exit_code is ExitCode.DONE for one in results)
    last = f"{len(results)} node{'' if len(results) == 1 else 's'}: {filled} filled"
    if filled < len(results):
        last += f", {len(results) - filled} not"
    return "\n\n".join(
        [aligned(rows, right=(2, 3)), *(f"{', '.join(names)}\n{e}" for e, names in errors.items()), last]
    )


def to_json(results: Sequence[NodeResult]) -> str:
    """One line for machines: each node with its report."""
    return json.dumps(
        {
            "weightdock": SCHEMA,
            "event": "fleet",
            "exit_code": max(one.exit_code for one in results),
            "nodes": [
                {
                    "node": one.node,
                    "seconds": round(one.seconds, 3),
                    "error": one.error and one.error.fields,
                    "report": json.loads(one.report.to_json()),
                }
                for one in results
            ],
        }
    )


def check(constraints: Sequence[str]) -> None:
    """Raises ConfigurationError for what is no constraint."""
    for constraint in constraints:
        _parts(constraint)


def _parts(constraint: str) -> tuple[str, str, str]:
    for operator in ("==", "!="):
        name, found, value = (part.strip() for part in constraint.partition(operator))
        if found and name.startswith(("node.", "engine.labels.")) and value:
            return name, operator, value
    raise ConfigurationError(
        f"{constraint!r} is no constraint",
        cause="a constraint is node.labels.NAME, node.hostname, node.role, node.id, node.platform.os or .arch, or "
        "engine.labels.NAME, then == or !=, then a value",
        next="--constraint node.labels.gpu==true",
    )
