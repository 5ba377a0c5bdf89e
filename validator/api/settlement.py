"""What was settled and what was not: cases of zones, credits of meters.

A case in short is public, as the seal is that opened it. Which meters were missing, late or marked
is for authorities, and a meter's credits are as private as its readings.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from validator.api import settlement_models as models
from validator.api.access import Access
from validator.api.models import Page
from validator.api.parameters import MOST, Most, Name, Number, Time
from validator.api.problems import Fault, answers
from validator.api.sources import Sources
from validator.app.cases import Case, Cause, Status
from wire.results import Verdict

_Cursor = Annotated[
    str,
    Query(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,32}@[0-9]{1,18})?$",
        description="what follows this one: a page's `next`",
    ),
]
_Zone = Annotated[
    str, Query(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,32})?$", description="only its cases")
]
_Open = Annotated[bool, Query(alias="open", description="only those that nobody has resolved")]


def router(sources: Sources, access: Access) -> APIRouter:
    """The routes of cases and credits."""
    routes = APIRouter()
    _case_routes(routes, sources, access)

    @routes.get("/api/v1/credits/{meter}", responses=answers(401, 404))
    async def show_credits(
        request: Request, response: Response, meter: Name, from_s: Time, until_s: Time
    ) -> list[models.Credit]:
        """What was settled for a meter in windows from `from_s` on and before `until_s`."""
        application = sources.application
        if not application.registries.was_registered("meters", meter):
            raise Fault(404, f"no meter {meter} is registered")
        grant = access.grant(request, meter)
        interval_s = application.registries.base.parameters.interval_s
        if until_s - from_s > MOST * interval_s:
            raise Fault(422, f"a span of at most {MOST} intervals of {interval_s} s")
        response.headers["Cache-Control"] = "no-store"
        return [
            models.Credit(**each._asdict())
            for each in application.credits(meter, from_s, until_s)
            if grant.covers(each.start_s)
        ]

    return routes


def _case_routes(routes: APIRouter, sources: Sources, access: Access) -> None:
    @routes.get("/api/v1/cases", responses=answers())
    async def show_cases(
        zone: _Zone = "", is_open: _Open = False, after: _Cursor = "", most: Most = 100
    ) -> Page[models.Case]:
        """Windows that authorities have to resolve, in order of zone; `next` is for `after`."""
        name, _, start = after.rpartition("@")
        place = (name, int(start or -1))
        found = sources.application.cases(zone, is_open)
        rest = [each for each in found if (each.zone, each.start_s) > place]
        rows = [_case(each.zone, each.start_s, each.case) for each in rest[:most]]
        last = f"{rows[-1].zone}@{rows[-1].start_s}" if len(rest) > most else None
        return Page(items=rows, next=last)

    @routes.get("/api/v1/cases/{zone}/{start_s}", responses=answers(401, 404))
    async def show_case(request: Request, zone: Name, start_s: Number) -> models.CaseReport:
        """One with what is known of its window, for authorities: who was missing, late, marked."""
        access.everything(request)
        found = sources.application.case(zone, start_s)
        if found is None:
            raise Fault(404, f"there is no case of zone {zone} about {start_s}")
        return models.CaseReport(
            **dict(_case(zone, start_s, found.case)),
            missing=list(found.missing),
            late=list(found.late),
            marked={name: bits for name, bits in found.marked},
            inside={name: None if each is None else each.name for name, each in found.inside},
        )


def _case(zone: str, start_s: int, case: Case) -> models.Case:
    resolved = any(case.resolution)
    return models.Case(
        zone=zone,
        start_s=start_s,
        end_s=case.end_s,
        status=Status(case.status).name,
        cause=Cause(case.cause).name,
        verdict=Verdict(case.verdict).name,
        revision=case.revision,
        opened=case.opened,
        closed=case.closed or None,
        resolution=case.resolution.hex() if resolved else None,
    )
