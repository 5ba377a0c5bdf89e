"""How a validator is, and its blocks: what anybody may see.

Decides what a status and a block in short say. `readings` serves what is private, `transactions`
takes what changes the network, `zones`, `registered` and `authorities` show the rest.
"""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from validator.api import models
from validator.api.parameters import LARGEST, Before, Hash, Most, Number
from validator.api.problems import Fault, answers
from validator.api.sources import Sources
from validator.node.ledger_view import Outline

if TYPE_CHECKING:
    from validator.service import Validator


def status(validator: "Validator") -> dict[str, Any]:
    """How this validator is, in the words of the status page."""
    driver = validator.driver
    tip = driver.tip
    genesis = validator.genesis
    return {
        "validator": validator.config.id,
        "network": genesis.topic_name,
        "network_id": genesis.network.hex(),
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
        "readings": validator.view.reading_count(),
        "mempool": len(validator.mempool),
        "halted": driver.halted,
        "votes": driver.voice.signer(driver.machine.height) is not None,
        "open_readings": bool(genesis.parameters.get("open_readings", genesis.paced_time)),
        "agreement": validator.watch.report(),
    }


def router(sources: Sources) -> APIRouter:
    """Status and blocks of one validator."""
    routes = APIRouter()
    _status_routes(routes, sources)
    _block_routes(routes, sources)
    return routes


def _status_routes(routes: APIRouter, sources: Sources) -> None:
    @routes.get("/healthz", responses=answers(503))
    async def healthz() -> models.Health:
        """Whether this validator goes on; 503 when it has halted."""
        if sources.halted():
            raise Fault(503, sources.halted(), "tell the operator of this validator")
        return models.Health(healthy=True)

    @routes.get("/api/v1/status", responses=answers())
    async def show_status() -> models.Status:
        """Height, round, peers and what waits."""
        return models.Status.model_validate(sources.live())

    @routes.get("/api/v1/genesis", response_class=Response, responses=_FILE)
    async def show_genesis() -> Response:
        """The genesis file, byte for byte; whoever verifies takes it from elsewhere."""
        return Response(sources.genesis_file, media_type="application/json")


def _block_routes(routes: APIRouter, sources: Sources) -> None:
    ledger = sources.ledger

    @routes.get("/api/v1/blocks", responses=answers())
    async def show_blocks(before: Before = LARGEST, most: Most = 20) -> models.Page[models.Block]:
        """Final blocks in short, the newest first; `next` is for `before`."""
        found = ledger.outlines(before, most)
        last = found[-1].header.height if len(found) == most else 1
        return models.Page(
            items=[models.Block(**short(sources, each)) for each in found],
            next=last if last > 1 else None,
        )

    @routes.get("/api/v1/blocks/{height}", responses=answers(404))
    async def show_block(height: Number) -> models.WholeBlock:
        """A final block, whole, with its seals."""
        return whole(sources, height)

    @routes.get("/api/v1/blocks/hash/{digest}", responses=answers(404))
    async def show_block_of(digest: Hash) -> models.WholeBlock:
        """The same by its digest."""
        height = ledger.height_of(bytes.fromhex(digest))
        if height is None:
            raise Fault(404, "there is no final block of this digest")
        return whole(sources, height)


_FILE: dict[int | str, dict[str, Any]] = answers() | {
    200: {"content": {"application/json": {"schema": {"type": "object"}}}}
}


def short(sources: Sources, outline: Outline) -> dict[str, Any]:
    """A block in short."""
    header, commit = outline.header, outline.commit
    members = sources.members(header.height).ids
    statements = outline.statements
    return {
        "height": header.height,
        "digest": outline.digest.hex(),
        "time_ms": header.time_ms,
        "proposer": header.proposer,
        "round": commit.round,
        "transactions": len(outline.transactions),
        "batches": len(statements),
        "readings": sum(statement.tree_size for _, statement in statements),
        "evidence": len(outline.evidence),
        "seals": len(commit.seals),
        "sealers": [members[index] for index, _ in commit.seals if index < len(members)],
    }


def whole(sources: Sources, height: int) -> models.WholeBlock:
    """A block, whole; raises Fault."""
    stored, outline = sources.ledger.block(height), sources.ledger.outline(height)
    if stored is None or outline is None:
        raise Fault(404, f"there is no block {height} yet: the newest is {sources.height}")
    return models.WholeBlock(
        **short(sources, outline),
        header=stored.block.header.hex(),
        block=stored.block.encoded.hex(),
        commit=stored.commit.encoded.hex(),
        batch_ids=[batch_id.hex() for batch_id, _ in outline.statements],
    )
