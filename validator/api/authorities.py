"""Authorities and their validators: who seals, how well, who was proved to lie, what they decide.

Everything is read from the ledger: another validator tells the same, up to the block that it has.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from validator.api import models
from validator.api.parameters import LARGEST
from validator.api.problems import Fault, answers
from validator.api.sources import Sources, address
from validator.app.ruling import Roll, Roster
from validator.node.tally import MOST_BLOCKS, Score
from wire.governance import CHANGE_AUTHORITIES, CHANGE_PARAMETERS, CHANGE_VALIDATORS

GOVERNING = (CHANGE_VALIDATORS, CHANGE_AUTHORITIES, CHANGE_PARAMETERS)
"""Kinds of transactions that authorities sign together."""

Blocks = Annotated[int, Query(ge=1, le=MOST_BLOCKS, description="newest blocks that count")]
Whose = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$",
        description="a validator's address or id, or its authority's id",
    ),
]
Height = Annotated[int, Query(ge=0, le=LARGEST, description="0: that of the next block")]


def router(sources: Sources) -> APIRouter:
    """The routes of authorities and validators."""
    routes = APIRouter()
    _authority_routes(routes, sources)
    _governance_routes(routes, sources)

    @routes.get("/api/v1/evidence", responses=answers())
    async def show_evidence() -> list[models.Offence]:
        """Validators that are proved to have contradicted themselves, in order of name.

        Each proof stands in the block named, and anyone can check it.
        """
        found = sources.application.offences()
        return [models.Offence(**offence._asdict(), block=block) for offence, block in found]

    return routes


def _authority_routes(routes: APIRouter, sources: Sources) -> None:
    @routes.get("/api/v1/authorities", responses=answers())
    async def show_authorities() -> list[models.Authority]:
        """Registered organisations and the validators that they run."""
        height = sources.height + 1
        return authorities(sources, sources.ruling.roll(height), sources.ruling.roster(height))

    @routes.get("/api/v1/authorities/performance", responses=answers())
    async def show_performances(blocks: Blocks = 1_000) -> models.Performances:
        """What the newest blocks say of every validator."""
        return await performances(sources, blocks)

    @routes.get("/api/v1/authorities/{address}/performance", responses=answers(404))
    async def show_performance(address: Whose, blocks: Blocks = 1_000) -> models.Performances:
        """The same of one validator, or of all that an authority runs."""
        found = await performances(sources, blocks)
        rows = [
            each
            for each in found.validators
            if address in (each.address, each.validator, each.authority)
        ]
        known = any(each.id == address for each in sources.registry.authorities.values())
        if not rows and not known:
            raise Fault(404, f"no authority or validator {address} is known")
        return models.Performances(first=found.first, last=found.last, validators=rows)

    @routes.get("/api/v1/validators", responses=answers())
    async def show_validators(height: Height = 0) -> list[models.Validator]:
        """The validators of a height, in the order in which seals name them."""
        return validators(sources.ruling.roster(height or sources.height + 1))


def authorities(sources: Sources, roll: Roll, roster: Roster) -> list[models.Authority]:
    """Authorities with their validators."""
    return [
        models.Authority(
            id=each.id,
            name=each.name,
            kind=each.kind,
            key=each.key.text,
            kid=each.key.kid.hex(),
            validators=[member.id for member in roster.members if member.authority == each.id],
        )
        for each in roll.authorities
    ]


def validators(roster: Roster) -> list[models.Validator]:
    """The validators of a roster."""
    return [
        models.Validator(
            id=each.id,
            authority=each.authority,
            address=address(each.key),
            key=each.key.text,
            index=index,
        )
        for index, each in enumerate(roster.members)
    ]


async def performances(sources: Sources, blocks: int) -> models.Performances:
    """Scores over the newest blocks."""
    await sources.tally.catch_up()
    first, last, scores = sources.tally.scores(blocks)
    rows = [_performance(sources, each) for each in scores]
    return models.Performances(first=first, last=last, validators=rows)


def _performance(sources: Sources, score: Score) -> models.Performance:
    keys = [
        member.key
        for roster in sources.ruling.rosters
        for member in roster.members
        if member.id == score.validator
    ]
    return models.Performance(
        validator=score.validator,
        authority=sources.authority(score.validator),
        address=address(keys[-1]) if keys else "",
        blocks=score.blocks,
        proposed=score.proposed,
        sealed=score.sealed,
        missed_rounds=score.missed_rounds,
        last_proposed=score.last_proposed,
        last_sealed=score.last_sealed,
    )


def _governance_routes(routes: APIRouter, sources: Sources) -> None:
    _era_routes(routes, sources)

    @routes.get("/api/v1/governance/pending", responses=answers())
    async def show_pending() -> models.Pending:
        """What is decided and does not hold yet, and transactions of authorities that wait."""
        ruling, next_height = sources.ruling, sources.height + 1
        return models.Pending(
            validators=_coming(ruling.rosters, next_height),
            authorities=_coming(ruling.rolls, next_height),
            parameters=_coming(ruling.tables, next_height),
            waiting=[
                models.Waiting(id=each.id.hex(), kind=each.kind)
                for each in sources.mempool.changes()
                if each.kind in GOVERNING
            ],
        )


def _era_routes(routes: APIRouter, sources: Sources) -> None:
    @routes.get("/api/v1/governance/validators", responses=answers())
    async def show_rosters() -> list[models.RosterEra]:
        """Every validator set, from which height on; the last ones may be still to come."""
        return [
            models.RosterEra(
                from_height=each.first,
                effective=each.first <= sources.height + 1,
                hash=each.hash.hex(),
                validators=validators(each),
                observers=[member.id for member in each.observers],
            )
            for each in sources.ruling.rosters
        ]

    @routes.get("/api/v1/governance/authorities", responses=answers())
    async def show_rolls() -> list[models.RollEra]:
        """Every list of authorities, from which height on."""
        return [
            models.RollEra(
                from_height=each.first,
                effective=each.first <= sources.height + 1,
                authorities=authorities(sources, each, sources.ruling.roster(each.first)),
                revoked=list(each.revoked),
            )
            for each in sources.ruling.rolls
        ]

    @routes.get("/api/v1/governance/parameters", responses=answers())
    async def show_parameters() -> list[models.ParameterEra]:
        """Every table of parameters, from which height on."""
        return [
            models.ParameterEra(
                from_height=each.first,
                effective=each.first <= sources.height + 1,
                parameters=dict(each.values),
            )
            for each in sources.ruling.tables
        ]


def _coming(eras: Sequence[Any], next_height: int) -> list[int]:
    """Heights from which something else will hold."""
    return [each.first for each in eras if each.first > next_height]
