"""A zone prepared for sealing: its members, and its lines as a tree.

Decides that the registered branches are a tree from the zone's root that reaches every member, in
which order a backward sum visits it, and what of it grows with a window of several intervals.
Computed once from the registry.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from validator.app.capacity import Capacity, capacity
from validator.app.entries import Branch, Meter, Role, Zone
from validator.app.parameters import Parameters
from validator.app.unmetered import UnmeteredLoad
from wire.errors import Malformed

_WH_PERMILLE = 3_600_000
_S_PER_H = 3600
_UNSTATED_WH = 2**128


class ClassLimit(NamedTuple):
    """How wrong a meter in its class may be from a load on."""

    from_wh: int
    """Energy of an interval from which it holds, Wh."""

    ppm: int
    """The meter's limit and that of its transformers, added: the worst case."""

    square: int
    """The sum of their squares, ppm^2: the two errors know nothing of each other."""


class Member(NamedTuple):
    """A meter as its zone's seal needs it."""

    id: str
    """Meter id."""

    place: int
    """Index of its node in the tree."""

    limits: tuple[ClassLimit, ...]
    """Class limits by energy, descending."""

    worst: ClassLimit
    """The largest of these limits, from 0 Wh."""

    registers: int
    """How many registers its energy is a difference of."""

    step_wh: int
    """Step of its registers, Wh."""

    rating_w: int
    """Service rating, watts."""

    dead_wh: int
    """Energy below which it may count nothing, Wh."""

    most: Capacity
    """The most that it can count in the window."""

    row: bytes
    """Its id and a NUL: how rows about it begin."""


class Scheduled(NamedTuple):
    """An unmetered load as its zone's seal needs it."""

    place: int
    """Index of its node in the tree."""

    load: UnmeteredLoad
    """The load."""


class Line(NamedTuple):
    """A branch, seen from its far end."""

    child: int
    """Index of the node away from the root."""

    parent: int
    """Index of the node towards the root."""

    rho: int
    """Loss coefficient, 10^-12 per Wh."""

    kappa: int
    """Factor from the loss of the mean flow to its bound."""

    most_wh: int
    """The most that it is built to carry in the window, Wh, rounded down."""

    id: str
    """Branch id."""


@dataclass(frozen=True, slots=True)
class Feeder:
    """A zone prepared for sealing."""

    zone: str
    """Zone id."""

    parent: str
    """Zone around it; empty for none."""

    boundary: tuple[Member, ...]
    """Reference meters, by id."""

    inner: tuple[Member, ...]
    """Customers, sources and the child zones' boundary meters, by id."""

    nodes: int
    """Nodes of the tree; node 0 is the root."""

    lines: tuple[Line, ...]
    """Every branch, far ends first."""

    p0_mw: int
    """No-load loss inside the boundary, milliwatts."""

    parameters_hash: bytes
    """SHA-256 over the parameters, the zone and its members as registered, 32 bytes."""

    unmetered: tuple[Scheduled, ...] = ()
    """Loads without a meter, by id."""

    intervals: int = 1
    """How many intervals its windows have."""

    @classmethod
    def of(
        cls,
        zone: Zone,
        boundary: Sequence[Meter],
        inner: Sequence[Meter],
        parameters: Parameters,
        parameters_hash: bytes,
        unmetered: Sequence[UnmeteredLoad] = (),
    ) -> Self:
        """Prepare a zone; raises Malformed when its branches are no tree over its members."""
        index, lines = _tree(zone, parameters)
        branched = bool(zone.branches)
        for meter in boundary:
            if zone.branches and meter.node != zone.root:
                raise Malformed(f"boundary meter {meter.id} is not at the root {zone.root}")
        return cls(
            zone.id,
            zone.parent,
            tuple(_member(meter, 0, parameters) for meter in _by_id(boundary)),
            tuple(
                _member(meter, _place(f"meter {meter.id}", meter.node, index, branched), parameters)
                for meter in _by_id(inner)
            ),
            len(index),
            lines,
            zone.p0_mw,
            parameters_hash,
            tuple(
                Scheduled(_place(f"load {load.id}", load.node, index, branched), load)
                for load in sorted(unmetered, key=lambda load: load.id)
            ),
        )

    def over(self, intervals: int) -> "Feeder":
        """The zone for a merged window of so many intervals.

        How the load was spread over them is not known, so each meter has its widest class limit.
        """
        if intervals == 1:
            return self
        return replace(
            self,
            boundary=tuple(_over(member, intervals) for member in self.boundary),
            inner=tuple(_over(member, intervals) for member in self.inner),
            lines=tuple(each._replace(most_wh=each.most_wh * intervals) for each in self.lines),
            intervals=intervals,
        )


def _over(member: Member, intervals: int) -> Member:
    most = Capacity(*(each_wh * intervals for each_wh in member.most))
    return member._replace(limits=(member.worst,), most=most)


def _by_id(meters: Sequence[Meter]) -> list[Meter]:
    return sorted(meters, key=lambda meter: meter.id)


def _place(name: str, node: str, index: Mapping[str, int], has_branches: bool) -> int:
    """Index of a member's node; a zone without registered branches is one node."""
    if not has_branches:
        return 0
    if node not in index:
        raise Malformed(f"no branch reaches node {node} of {name}")
    return index[node]


def _member(meter: Meter, place: int, parameters: Parameters) -> Member:
    full_load = meter.rating_w * parameters.interval_s
    limits = [
        # A load's threshold in Wh is rounded up: below it the wider limit of the lower load holds.
        ClassLimit(
            -(-load * full_load // _WH_PERMILLE),
            limit + meter.ct_ppm,
            limit * limit + meter.ct_ppm * meter.ct_ppm,
        )
        for load, limit in meter.class_ppm
    ]
    both_ways = meter.role is Role.BOUNDARY or meter.installed_w > 0
    return Member(
        meter.id,
        place,
        tuple(reversed(limits)),
        max(limits, key=lambda limit: limit.ppm)._replace(from_wh=0),
        2 if both_ways else 1,
        meter.register_wh,
        meter.rating_w,
        meter.dead_wh,
        capacity(meter, parameters),
        meter.id.encode() + b"\0",
    )


def _line(child: int, parent: int, branch: Branch, parameters: Parameters) -> Line:
    most_wh = branch.ampacity_w * parameters.interval_s // _S_PER_H
    rho, kappa = branch.rho, branch.kappa
    return Line(child, parent, rho, kappa, most_wh or _UNSTATED_WH, branch.id)


def _tree(zone: Zone, parameters: Parameters) -> tuple[dict[str, int], tuple[Line, ...]]:
    """Number the nodes breadth first from the root; return the branches far ends first."""
    ends: dict[str, list[tuple[str, Branch]]] = defaultdict(list)
    for branch in zone.branches:
        ends[branch.start].append((branch.end, branch))
        ends[branch.end].append((branch.start, branch))
    index = {zone.root: 0}
    queue = [zone.root]
    lines = []
    for node in queue:
        for neighbour, branch in ends[node]:
            if neighbour not in index:
                index[neighbour] = len(index)
                queue.append(neighbour)
                lines.append(_line(index[neighbour], index[node], branch, parameters))
    if len(lines) != len(zone.branches):
        raise Malformed(f"the branches are not a tree from the root {zone.root}")
    return index, tuple(reversed(lines))
