"""Zones as the explorer draws them: branches, members, verdicts and flows.

Seals are public. Flows are sums of readings: behind a branch with one household they are its load
profile, so they are shown where readings are open, and to authorities.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping

from fastapi import APIRouter, Request

from validator.api import models, zone_models
from validator.api.access import Access
from validator.api.parameters import After, Most, Name, Time
from validator.api.problems import Fault, answers
from validator.api.sources import Sources
from validator.app.entries import Meter, Role, Zone
from validator.app.registry import Registry
from validator.node.stored import StoredSeal
from wire.results import Verdict, ZoneSeal

Energy = tuple[int, int]
"""Import and export of one interval, Wh."""


def router(sources: Sources, access: Access) -> APIRouter:
    """The routes of zones."""
    routes = APIRouter()

    @routes.get("/api/v1/zones", responses=answers())
    async def show_zones() -> list[zone_models.Zone]:
        """All zones with their newest seals."""
        return [_short(sources, zone) for zone in sources.registry.zones.values()]

    @routes.get("/api/v1/zones/{zone}", responses=answers(404))
    async def show_zone(zone: Name) -> zone_models.ZoneDrawing:
        """A zone with what a drawing of it needs."""
        return _drawing(sources, _known(sources, zone))

    @routes.get("/api/v1/zones/{zone}/seals", responses=answers(404))
    async def show_seals(
        zone: Name, after: After = -1, most: Most = 100
    ) -> models.Page[models.Seal]:
        """The newest seal of each window that starts after a time; `next` is for `after`."""
        _known(sources, zone)
        found = [seal(each) for each in sources.ledger.seals(zone, after, most)]
        return models.Page(items=found, next=found[-1].start_s if len(found) == most else None)

    @routes.get("/api/v1/zones/{zone}/flows", responses=answers(401, 404))
    async def show_flows(request: Request, zone: Name, start_s: Time) -> zone_models.Flows:
        """What flowed through each branch in the interval that starts then, by the meters."""
        known = _known(sources, zone)
        access.everything(request)
        registry = sources.application.registries.at(start_s)
        return flows(known, registry, start_s, sources.application.energy)

    return routes


def _known(sources: Sources, zone: str) -> Zone:
    found = sources.registry.zones.get(zone)
    if found is None:
        raise Fault(404, f"no zone {zone} is registered")
    return found


def members(registry: Registry, zone: str) -> list[Meter]:
    """The meters that a zone's seal uses, its child zones' boundary meters among them."""
    below = [each for child in registry.children_of(zone) for each in registry.meters_in(child.id)]
    return registry.meters_in(zone) + [each for each in below if each.role is Role.BOUNDARY]


def _short(sources: Sources, zone: Zone) -> zone_models.Zone:
    stored = sources.ledger.newest_seal(zone.id)
    return zone_models.Zone(
        id=zone.id,
        parent=zone.parent,
        operator=zone.operator,
        meters=len(members(sources.registry, zone.id)),
        seal=None if stored is None else seal(stored),
    )


def _drawing(sources: Sources, zone: Zone) -> zone_models.ZoneDrawing:
    return zone_models.ZoneDrawing(
        **dict(_short(sources, zone)),
        root=zone.root,
        branches=[
            zone_models.Branch(
                id=each.id, **{"from": each.start, "to": each.end}, ampacity_w=each.ampacity_w
            )
            for each in zone.branches
        ],
        members=[
            zone_models.Member(
                id=each.id,
                node=each.node,
                role=each.role.value if each.zone == zone.id else "child",
                zone=each.zone,
                reader=each.reader,
                signs=each.key is not None,
            )
            for each in members(sources.registry, zone.id)
        ],
        unmetered=[
            zone_models.Load(id=each.id, node=each.node)
            for each in sources.registry.loads_in(zone.id)
        ],
    )


def flows(
    zone: Zone, registry: Registry, start_s: int, energy: Callable[[str, int], Energy | None]
) -> zone_models.Flows:
    """Sum readings from the far ends of the tree to its root.

    Args:
        zone: its branches are a tree from its root.
        registry: of the interval.
        start_s: start of the interval, Unix seconds.
        energy: gives a meter's accepted energy of an interval, None when there is none.
    """
    at_node: dict[str, list[Energy | None]] = defaultdict(list)
    boundary: list[Energy | None] = []
    for each in members(registry, zone.id):
        own_boundary = each.role is Role.BOUNDARY and each.zone == zone.id
        (boundary if own_boundary else at_node[each.node]).append(energy(each.id, start_s))
    interval_s = registry.parameters.interval_s
    for load in registry.loads_in(zone.id):
        at_node[load.node].append((load.energy_wh(start_s, interval_s), 0))
    behind = _behind(zone)
    rows = []
    for branch in zone.branches:
        found = [each for node in behind[branch.id] for each in at_node[node]]
        known = [each for each in found if each is not None]
        rows.append(
            zone_models.Flow(
                branch=branch.id,
                flow_wh=sum(taken - given for taken, given in known),
                meters=len(found),
                missing=len(found) - len(known),
            )
        )
    sums = None if not boundary or None in boundary else [each for each in boundary if each]
    return zone_models.Flows(
        zone=zone.id,
        interval_start_s=start_s,
        import_wh=None if sums is None else sum(taken for taken, _ in sums),
        export_wh=None if sums is None else sum(given for _, given in sums),
        branches=rows,
    )


def _behind(zone: Zone) -> Mapping[str, list[str]]:
    """For each branch the nodes on its side away from the root."""
    touching = defaultdict(list)
    for each in zone.branches:
        touching[each.start].append((each.id, each.end))
        touching[each.end].append((each.id, each.start))
    found: dict[str, list[str]] = {}
    order: list[tuple[str, str, str]] = []
    waiting = [("", zone.root, "")]
    while waiting:
        via, node, parent = waiting.pop()
        order.append((via, node, parent))
        waiting += [(branch, end, via) for branch, end in touching[node] if branch != via]
    for via, node, parent in reversed(order):
        found.setdefault(via, []).append(node)
        found.setdefault(parent, []).extend(found[via] if via else ())
    return found


def seal(stored: StoredSeal) -> models.Seal:
    """A seal of the ledger."""
    found = ZoneSeal.decode(stored.seal)
    return models.Seal(
        height=stored.height,
        zone=found.zone,
        start_s=found.start_s,
        end_s=found.end_s,
        revision=found.revision,
        verdict=Verdict(found.verdict).name,
        residual_wh=found.residual_wh,
        loss_low_wh=found.loss_low_wh,
        loss_high_wh=found.loss_high_wh,
        band_wh=found.band_wh,
        coverage_ppm=found.coverage_ppm,
        inputs=len(stored.inputs),
        overloaded=list(found.overloaded),
        marked=found.marked,
    )
