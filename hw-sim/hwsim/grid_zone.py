"""The zone of a grid, computed and explained: loss coefficients, ratings, no-load loss.

Decides how a line and a transformer become a branch of a zone: `rho` from resistance and voltage,
or from the transformer's load loss and rating; `kappa` from what hangs behind; the largest power
from the largest current. Every figure comes with the words and numbers that it was made of. Which
elements of a network file these are is decided by `hwsim.grid_network`.

    line          rho = R / (V^2 dt) 10^12        R = ohms per km * km / circuits, dt in hours
    transformer   rho = Pk / (Sn^2 dt) 10^12      Pk = load loss at rating
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hwsim.feeder import INTERVAL_S
from wire.errors import Malformed

HOURS = INTERVAL_S / 3600
BALANCED_KAPPA = 2
"""Three-phase services: the load's shape within an interval."""

UNBALANCED_KAPPA = 6
"""One single-phase service: one conductor and the neutral carry what three would."""

MIXED_KAPPA = 3
"""Least where single-phase services hang behind, however many: what is left of their imbalance, and
their shape."""

IMBALANCE = 20
"""Over the number of single-phase services: how far beyond 1 their imbalance may raise the loss. On
phases taken by chance the mean loss is 1 + 5 / n of the balanced one when n equal services share it
(Fortescue's components of n equal currents of random phase); a quarter of them may carry it all."""

LV, HV = "lv", "hv"


@dataclass(frozen=True, slots=True)
class MeterPoint:
    """A place of the grid where energy enters or leaves, and what it is built for."""

    id: str
    """Id of the meter to be."""

    node: str
    """Node of the zone."""

    role: str
    """boundary, customer or source."""

    rating_w: int
    """Service rating, watts."""

    installed_w: int
    """Generation behind it, watts; 0 for none."""

    phases: int
    """1 or 3; 1 as well where the network does not say and the service is small."""


@dataclass(frozen=True, slots=True)
class GridBranch:
    """A line or transformer of the zone and where its figures come from."""

    id: str
    """Branch id."""

    upstream: str
    """Node towards the boundary."""

    downstream: str
    """Node away from it."""

    rho: int
    """Loss coefficient, 10^-12 per Wh of an interval."""

    kappa: int
    """Factor from the loss of the mean flow to its bound."""

    ampacity_w: int
    """Largest power, watts."""

    words: str
    """How `rho` and the largest power were computed."""

    kappa_words: str
    """Why this kappa."""

    @property
    def entry(self) -> dict[str, Any]:
        """As a zone of the genesis file writes it."""
        ends = {"id": self.id, "from": self.upstream, "to": self.downstream}
        return ends | {"rho": self.rho, "kappa": self.kappa, "ampacity_w": self.ampacity_w}

    @property
    def is_line(self) -> bool:
        """No transformer, that is."""
        return self.id.startswith("line-")

    @property
    def full_load_loss_wh(self) -> float:
        """What it loses in an interval at its largest power, Wh."""
        return float(self.rho * (self.ampacity_w * HOURS) ** 2 / 1e12)


@dataclass(frozen=True, slots=True)
class GridZone:
    """A zone made of a grid."""

    grid: str
    """Name of the grid."""

    side: str
    """lv or hv: on which side of the transformer the boundary meter sits."""

    root: str
    """Node of the boundary meter."""

    p0_mw: int
    """No-load loss inside the boundary, milliwatts."""

    p0_words: str
    """Where it comes from."""

    branches: tuple[GridBranch, ...]
    """A tree from the root, upstream branches first."""

    points: tuple[MeterPoint, ...]
    """The boundary first."""

    def entry(self, zone: str, operator: str) -> dict[str, Any]:
        """The zone's part of a genesis file."""
        return {
            "id": zone,
            "parent": "",
            "operator": operator,
            "p0_mw": self.p0_mw,
            "branches": [each.entry for each in self.branches],
            "root": self.root,
        }


def line_branch(
    ends: tuple[str, str],
    name: str,
    ohms_per_km: float,
    km: float,
    circuits: int,
    volts: float,
    amperes: float,
) -> GridBranch:
    """A line between its upstream and downstream node; kappa is decided by `with_kappas`.

    Args:
        ends: nodes.
        name: branch id.
        ohms_per_km: of one conductor.
        km: length.
        circuits: parallel circuits.
        volts: between two phases.
        amperes: largest current of all circuits together.
    """
    ohms = ohms_per_km * km / circuits
    rho = round(ohms / (volts * volts * HOURS) * 1e12)
    most_w = round(math.sqrt(3) * volts * amperes)
    parallel = f" / {circuits} circuits" if circuits > 1 else ""
    words = (
        f"R = {ohms_per_km:.4g} ohm/km x {km:.4g} km{parallel} = {ohms:.4g} ohm;"
        f" rho = R / (V^2 dt) = {ohms:.4g} / ({volts:g}^2 x {HOURS:g} h) = {rho} x 10^-12/Wh;"
        f" largest power sqrt(3) x {volts:g} V x {amperes:.4g} A = {most_w} W"
    )
    return GridBranch(name, *ends, rho, UNBALANCED_KAPPA, most_w, words, "")


def transformer_branch(
    ends: tuple[str, str], name: str, rating_va: float, load_loss_percent: float
) -> GridBranch:
    """A transformer behind the boundary meter; raises Malformed when it is not rated.

    Args:
        ends: nodes, the upper voltage first.
        name: branch id.
        rating_va: of all parallel units together.
        load_loss_percent: real part of the short-circuit voltage, which is Pk / Sn.
    """
    if rating_va <= 0:
        raise Malformed(f"{name} has no rating")
    loss_w = load_loss_percent / 100 * rating_va
    rho = round(loss_w / (rating_va * rating_va * HOURS) * 1e12)
    words = (
        f"Pk = {load_loss_percent:.4g} % x {rating_va / 1000:g} kVA = {loss_w:.4g} W;"
        f" rho = Pk / (Sn^2 dt) = {loss_w:.4g} / ({rating_va:g}^2 x {HOURS:g} h)"
        f" = {rho} x 10^-12/Wh; largest power its rating"
    )
    return GridBranch(name, *ends, rho, UNBALANCED_KAPPA, round(rating_va), words, "")


def with_kappas(
    branches: Sequence[GridBranch], points: Sequence[MeterPoint]
) -> tuple[GridBranch, ...]:
    """Give each branch the kappa of what hangs behind it.

    Args:
        branches: a tree, upstream branches first.
        points: the meters.
    """
    single: dict[str, int] = {}
    for point in points:
        if point.phases == 1:
            single[point.node] = single.get(point.node, 0) + 1
    found = []
    for branch in reversed(branches):
        behind = single.get(branch.downstream, 0)
        single[branch.upstream] = single.get(branch.upstream, 0) + behind
        kappa, words = _kappa(behind)
        found.append(replace(branch, kappa=kappa, kappa_words=words))
    return tuple(reversed(found))


def _kappa(single: int) -> tuple[int, str]:
    """Kappa of a branch by the single-phase services behind it, and why."""
    if single == 0:
        return BALANCED_KAPPA, f"kappa {BALANCED_KAPPA}: only three-phase services hang behind it"
    raised = 1 - (-IMBALANCE // single)
    kappa = min(UNBALANCED_KAPPA, max(MIXED_KAPPA, raised))
    return kappa, (
        f"kappa {kappa}: {single} single-phase services hang behind it, 1 + {IMBALANCE} / {single}"
        f" rounded up, at least {MIXED_KAPPA}, at most {UNBALANCED_KAPPA}"
    )


def join_series(
    branches: Sequence[GridBranch], points: Sequence[MeterPoint]
) -> tuple[GridBranch, ...]:
    """Make one branch of lines that follow each other with nothing between: their flow is one.

    Args:
        branches: a tree, upstream branches first.
        points: the meters; a node with one is kept.
    """
    kept = {each.node for each in points}
    outgoing: dict[str, int] = {}
    for branch in branches:
        outgoing[branch.upstream] = outgoing.get(branch.upstream, 0) + 1
    runs: dict[str, list[GridBranch]] = {}
    for branch in branches:
        node = branch.upstream
        passes = node not in kept and outgoing[node] == 1 and node in runs
        if passes and runs[node][-1].is_line:
            runs[branch.downstream] = [*runs.pop(node), branch]
        else:
            runs[branch.downstream] = [branch]
    return tuple(_joined(run) for run in runs.values())


def _joined(run: Sequence[GridBranch]) -> GridBranch:
    """Lines of one flow: loss coefficients add, the weakest one limits."""
    first, last = run[0], run[-1]
    if len(run) == 1:
        return first
    rho, most_w = sum(each.rho for each in run), min(each.ampacity_w for each in run)
    words = (
        f"{len(run)} lines in series, {first.id} to {last.id}: rho is the sum of"
        f" theirs, {rho} x 10^-12/Wh; largest power the weakest one's, {most_w} W"
    )
    downstream = last.downstream
    return replace(first, downstream=downstream, rho=rho, ampacity_w=most_w, words=words)


def tree_from(
    root: str, edges: Sequence[tuple[str, str, str]]
) -> tuple[list[tuple[str, str, str]], str | None]:
    """Order edges (id, one end, other end) as a tree from the root.

    Returns:
        (id, upstream, downstream), upstream ones first, and the id of an edge that closes a ring,
        None when there is none. Edges that the root does not reach are left out.
    """
    ends: dict[str, list[tuple[str, str]]] = {}
    for name, one, other in edges:
        ends.setdefault(one, []).append((name, other))
        ends.setdefault(other, []).append((name, one))
    reached, queue = {root}, [root]
    used: set[str] = set()
    found: list[tuple[str, str, str]] = []
    for node in queue:
        for name, other in ends.get(node, []):
            if name in used:
                continue
            used.add(name)
            if other in reached:
                return found, name
            reached.add(other)
            queue.append(other)
            found.append((name, node, other))
    return found, None
