"""What a validator tells over HTTP: status, blocks, seals, and where allowed readings and receipts.

Everything here is read-only; `validator.api.registry` takes registry transactions. A household's
load profile is private: readings and receipts are served only on a network whose genesis says
`open_readings`, which a paced one does unless it says not. Numbers outside SQLite's range and names
that nobody could have are refused before the ledger is asked.
"""

import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Response

from validator.node.receipts import Receipts
from wire.results import Verdict, ZoneSeal

if TYPE_CHECKING:
    from validator.node.stored import StoredReading, StoredSeal
    from validator.service import Validator

_LARGEST = 2**63 - 1
_MOST = 1_000

Number = Annotated[int, Path(ge=0, le=_LARGEST)]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,32}$")]
After = Annotated[int, Query(ge=-1, le=_LARGEST)]
Most = Annotated[int, Query(ge=1, le=_MOST)]


def router(validator: "Validator") -> APIRouter:
    """The routes of one validator."""
    routes = APIRouter()
    _ledger_routes(routes, validator)
    _evidence_routes(routes, validator)
    _reading_routes(routes, validator)
    return routes


def status(validator: "Validator") -> dict[str, Any]:
    """How this validator is, in the words of the status page."""
    driver = validator.driver
    tip = driver.tip
    return {
        "validator": validator.config.id,
        "network": validator.genesis.topic_name,
        "height": tip.height,
        "round": driver.machine.round,
        "time_ms": tip.time_ms,
        "digest": tip.digest.hex(),
        "state_root": validator.application.state.root.hex(),
        "leader": driver.machine.leader(driver.machine.round),
        "peers": list(validator.mesh.connected),
        "cut": validator.mesh.cut(),
        "target": validator.catching_up.target,
        "broker": "connected" if validator.broker and validator.broker.connected else "away",
        "readings": validator.store.reading_count(),
        "mempool": len(validator.mempool),
        "halted": driver.halted,
        "agreement": driver.attendance.report(
            validator.genesis.validators,
            {validator.config.id, *validator.mesh.connected},
            driver.due_s,
            time.monotonic(),
        ),
    }


def _ledger_routes(routes: APIRouter, validator: "Validator") -> None:
    @routes.get("/healthz")
    async def healthz() -> dict[str, bool]:
        """Whether this validator goes on; 503 when it has halted."""
        if validator.driver.halted:
            raise HTTPException(503, validator.driver.halted)
        return {"healthy": True}

    @routes.get("/api/v1/status")
    async def show_status() -> dict[str, Any]:
        """Height, round, peers and what waits."""
        return status(validator)

    @routes.get("/api/v1/blocks/{height}")
    async def show_block(height: Number) -> dict[str, Any]:
        """A final block, whole, with its seals; `block` and `commit` are CBOR as hex."""
        stored = validator.store.block(height)
        if stored is None:
            raise HTTPException(404, f"there is no block {height} yet")
        header = stored.block.content
        return {
            "height": header.height,
            "digest": stored.block.digest.hex(),
            "block": stored.block.encoded.hex(),
            "commit": stored.commit.encoded.hex(),
            "proposer": header.proposer,
            "time_ms": header.time_ms,
            "round": stored.commit.round,
            "transactions": len(stored.block.transactions),
            "seals": len(stored.commit.seals),
        }

    @routes.get("/api/v1/zones/{zone}/seals")
    async def show_seals(zone: Name, after_s: After = -1, most: Most = 100) -> list[dict[str, Any]]:
        """The newest seal of each window that starts after `after_s`, ascending."""
        if zone not in validator.application.registries.base.zones:
            raise HTTPException(404, f"no zone {zone} is registered")
        return [_seal(each) for each in validator.store.seals(zone, after_s, most)]


def _evidence_routes(routes: APIRouter, validator: "Validator") -> None:
    @routes.get("/api/v1/evidence")
    async def show_evidence() -> list[dict[str, Any]]:
        """Validators that are proved to have contradicted themselves, in order of name.

        Each proof stands in the block named, and anyone can check it.
        """
        offences = validator.application.offences()
        return [offence._asdict() | {"block": block} for offence, block in offences]


def _reading_routes(routes: APIRouter, validator: "Validator") -> None:
    receipts = Receipts(validator.genesis, validator.application, validator.store)

    @routes.get("/api/v1/readings/{meter}")
    async def show_readings(meter: Name, after: After = -1, most: Most = 100) -> list[Any]:
        """Accepted readings of a meter with a sequence above `after`, ascending."""
        _check_open(validator)
        if meter not in validator.application.registries.meters_ever:
            raise HTTPException(404, f"no meter {meter} is registered")
        return [_reading(each) for each in validator.store.readings(meter, after, most)]

    @routes.get("/api/v1/receipts/{meter}/{sequence}", response_class=Response)
    async def show_receipt(meter: Name, sequence: Number) -> Response:
        """The receipt file of an accepted reading."""
        _check_open(validator)
        receipt = receipts.receipt(meter, sequence)
        if receipt is None:
            raise HTTPException(404, f"no accepted reading {sequence} of {meter} is on the ledger")
        return Response(receipt.encoded, media_type="application/cbor")


def _check_open(validator: "Validator") -> None:
    genesis = validator.genesis
    if not genesis.parameters.get("open_readings", genesis.paced_time):
        raise HTTPException(403, "readings are private on this network: ask the grid operator")


def _reading(stored: "StoredReading") -> dict[str, Any]:
    return {
        "sequence": stored.sequence,
        "interval_start_s": stored.start_s,
        "zone": stored.zone,
        "batch_id": stored.batch_id.hex(),
    }


def _seal(stored: "StoredSeal") -> dict[str, Any]:
    seal = ZoneSeal.decode(stored.seal)
    return {
        "height": stored.height,
        "zone": seal.zone,
        "start_s": seal.start_s,
        "end_s": seal.end_s,
        "revision": seal.revision,
        "verdict": Verdict(seal.verdict).name,
        "residual_wh": seal.residual_wh,
        "loss_low_wh": seal.loss_low_wh,
        "loss_high_wh": seal.loss_high_wh,
        "band_wh": seal.band_wh,
        "coverage_ppm": seal.coverage_ppm,
        "inputs": len(stored.inputs),
    }
