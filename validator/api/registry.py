"""What is registered now: meters, gateways, authorities, technicians.

Decides which entry is shown and for which intervals it holds. Everything here is public: who may
witness, sign and seal is what anybody has to know who verifies.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from validator.api import models, zone_models
from validator.api.parameters import MOST, AfterName, Most, Name
from validator.api.problems import Fault, answers
from validator.api.sources import Sources
from validator.app.entries import Meter
from validator.node.tally import Sighting

if TYPE_CHECKING:
    from validator.app.changes import Change
    from validator.app.registries import Registries


class Table(StrEnum):
    """What there is a register of, beside meters."""

    GATEWAYS = "gateways"
    ZONES = "zones"
    TECHNICIANS = "technicians"
    UNMETERED = "unmetered"


def router(sources: Sources) -> APIRouter:
    """The registry's routes of one validator."""
    routes = APIRouter()
    _coming_route(routes, sources)  # Before the tables, whose pattern takes its name too.
    _meter_routes(routes, sources)
    _table_routes(routes, sources)

    @routes.get("/api/v1/gateways", responses=answers())
    async def show_gateways() -> list[models.Gateway]:
        """Gateways, what each brought last, and how far behind it is."""
        await sources.tally.catch_up()
        seen = {each.gateway: each for each in sources.tally.sightings}
        return [_gateway(sources, name, seen.get(name)) for name in sources.registry.gateways]

    return routes


def _coming_route(routes: APIRouter, sources: Sources) -> None:
    @routes.get("/api/v1/registry/changes", responses=answers())
    async def show_changes() -> list[zone_models.ComingChange]:
        """Changes accepted for later, also withdrawn ones, the next one first; at most 1,000."""
        registries = sources.application.registries
        now_s = sources.time_ms // 1000
        first = bisect_right(registries.changes, now_s, key=lambda each: each.from_s)
        return [
            zone_models.ComingChange(
                transaction=each.id.hex(),
                kind=each.kind,
                from_s=each.from_s,
                height=each.height,
                tables=sorted({edit.table for edit in each.edits}),
                ids=list(dict.fromkeys(edit.id for edit in each.edits)),
                withdrawn=each.id in registries.withdrawn,
            )
            for each in islice(registries.changes, first, first + MOST)
        ]


def _meter_routes(routes: APIRouter, sources: Sources) -> None:
    @routes.get("/api/v1/registry/meters", responses=answers())
    async def show_meters(
        after: AfterName = "", most: Most = 100
    ) -> models.Page[zone_models.MeterRow]:
        """Meters that are registered now, by id; `next` is for `after`."""
        meters = sources.registry.meters
        names = _page(sources, "meters", after, most)
        registries = sources.application.registries
        rows = [_row(meters[name], registries.enrolment(name)) for name in names if name in meters]
        return models.Page(items=rows, next=names[-1] if len(names) == most else None)

    @routes.get("/api/v1/registry/meters/{meter}", responses=answers(404))
    async def show_meter(meter: Name) -> zone_models.MeterEntry:
        """A meter as it is registered, and for which intervals."""
        found = registered(sources.application.registries, meter)
        if found is None:
            raise Fault(404, f"no meter {meter} is registered")
        return zone_models.MeterEntry(**found)


def _row(meter: Meter, enrolment: "Change | None") -> zone_models.MeterRow:
    return zone_models.MeterRow(
        id=meter.id,
        from_s=None if enrolment is None else enrolment.from_s,
        zone=meter.zone,
        node=meter.node,
        role=meter.role.value,
        reader=meter.reader,
        signs=meter.key is not None,
        kid="" if meter.key is None else meter.key.kid.hex(),
        has_holder=meter.holder is not None,
    )


def _page(sources: Sources, table: str, after: str, most: int) -> Sequence[str]:
    """Ids that are, were or will be registered, from behind one on."""
    names = sources.application.registries.ids_ever(table)
    return list(islice((name for name in names if name > after), most))


def _table_routes(routes: APIRouter, sources: Sources) -> None:
    @routes.get("/api/v1/registry/{table}", responses=answers())
    async def show_table(
        table: Table, after: AfterName = "", most: Most = 100
    ) -> models.Page[zone_models.Entry]:
        """What is or was registered, by id; `next` is for `after`."""
        names = _page(sources, table, after, most)
        rows = [_entry(sources, table, name) for name in names]
        return models.Page(items=rows, next=names[-1] if len(names) == most else None)

    @routes.get("/api/v1/registry/{table}/{name}", responses=answers(404))
    async def show_entry(table: Table, name: Name) -> zone_models.Entry:
        """One thing as it is registered now, and as it was."""
        if not sources.application.registries.was_registered(table, name):
            raise Fault(404, f"nothing of the name {name} was ever registered there")
        return _entry(sources, table, name)


def _entry(sources: Sources, table: str, name: str) -> zone_models.Entry:
    registries = sources.application.registries
    found = registries.find(table, name, sources.time_ms // 1000)
    return zone_models.Entry(
        id=name,
        entry=None if found is None else dict(found.written),
        history=[zone_models.Step(**each) for each in _history(registries, table, name)],
    )


def _history(registries: "Registries", table: str, name: str) -> list[dict[str, Any]]:
    return [
        {
            "from_s": step.from_s,
            "until_s": step.until_s,
            "entry": None if step.written is None else dict(step.written),
            "transaction": None if step.change is None else step.change.id.hex(),
            "height": None if step.change is None else step.change.height,
        }
        for step in registries.history(table, name)
    ]


def _gateway(sources: Sources, name: str, seen: Sighting | None) -> models.Gateway:
    entry = sources.registry.gateways[name]
    final_ms = None if seen is None else seen.block_time_ms - seen.witnessed_at_s * 1000
    return models.Gateway(
        id=name,
        operator=entry.operator,
        zones=sorted(entry.zones),
        batch_sequence=None if seen is None else seen.sequence,
        height=None if seen is None else seen.height,
        witnessed_at_s=None if seen is None else seen.witnessed_at_s,
        readings=None if seen is None else seen.readings,
        final_after_ms=final_ms,
        silent_ms=None if seen is None else sources.time_ms - seen.block_time_ms,
    )


def registered(registries: "Registries", meter: str) -> dict[str, Any] | None:
    """A meter as last registered, with the first interval for which it is, and the first no more.

    Both are null for a meter of the genesis file that nobody retired; 'transaction' names what
    enrolled it.
    """
    history = _history(registries, "meters", meter)
    standing = [step for step in history if step["entry"] is not None]
    if not standing:
        return None
    first, last = standing[0], standing[-1]
    return {
        "meter": last["entry"],
        "from_s": first["from_s"],
        "until_s": last["until_s"],
        "transaction": first["transaction"],
        "height": first["height"],
        "history": history,
    }
