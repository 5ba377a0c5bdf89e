"""What the tests of attacks ask of a village: verdicts, credits, cases, refusals of batches."""

from tests.app.village import INTERVAL_S, ORDINARY, START_S, Village
from validator.app.application import RefusedBatch
from validator.app.records import CASE, CREDIT
from validator.app.settlement import credited
from wire.results import REASONS
from wire.witness import Batch

INNER = {name: energy for name, energy in ORDINARY.items() if name != "b0"}


def close(village: Village, slot: int, **energies: tuple[int, int] | None) -> list[str]:
    """Close an interval, witness and commit it; returns the reasons' names."""
    readings = village.close(slot, **energies)
    return village.commit([village.batch(readings.values(), slot)], slot)[0]


def last_verdict(village: Village, zone: str = "z1") -> str:
    return [seal.verdict.name for seal in village.seals if seal.zone == zone][-1]


def residual_side(village: Village, zone: str = "z1") -> int:
    """1 when more was lost than lines lose, -1 when less, 0 within."""
    seal = [seal for seal in village.seals if seal.zone == zone][-1]
    return (seal.residual_wh > seal.loss_high_wh) - (seal.residual_wh < seal.loss_low_wh)


def credits_of(village: Village, slot: int) -> dict[str, tuple[int, int]]:
    start_s = START_S + slot * INTERVAL_S
    found = {name: credited(village.app.state, name, start_s) for name in INNER}
    return {name: (it.import_wh, it.export_wh) for name, it in found.items() if it is not None}


def credit_count(village: Village) -> int:
    return len(list(village.app.state.rows(CREDIT)))


def case_count(village: Village) -> int:
    return len(list(village.app.state.rows(CASE)))


def refusal(village: Village, batch: Batch) -> str:
    """Name of the reason for which a validator refuses a batch; "stands" when it does not."""
    try:
        village.check(batch)
    except RefusedBatch as refused:
        return REASONS[refused.reason].name
    return "stands"
