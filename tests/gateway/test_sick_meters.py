"""What one sick meter costs its neighbours, in virtual time: the same figures in every run."""

import pytest

from gridwitness.bench_bus import (
    SCENES,
    SERIAL_LATENCY_S,
    Sweep,
    devices_of,
    gateway_sweeps,
    pymodbus_sweeps,
    utilisation,
)
from hwsim.virtual_time import run_jumping

ALONE, DEAD, BABBLING, NOISE = SCENES


def sweeps_of(scene: str) -> list[Sweep]:
    found: list[Sweep] = run_jumping(gateway_sweeps(devices_of(scene)))
    return found


def worst_s(sweeps: list[Sweep]) -> float:
    return max(each.seconds for each in sweeps)


def test_a_meter_that_dies_costs_the_others_a_tenth_of_one_cycle_and_then_nothing() -> None:
    alone, dead = sweeps_of(ALONE), sweeps_of(DEAD)
    assert [each.unread for each in alone + dead] == [0] * 8
    assert worst_s(dead) <= 1.1 * worst_s(alone)
    assert [each.seconds for each in dead[1:]] == pytest.approx([worst_s(alone)] * 3, rel=0.01)


@pytest.mark.parametrize("scene", [BABBLING, NOISE])
def test_with_a_babbler_every_meter_is_read_at_a_bounded_cost(scene: str) -> None:
    sweeps = sweeps_of(scene)
    assert [each.unread for each in sweeps] == [0] * 4
    assert worst_s(sweeps) <= 3 * worst_s(sweeps_of(ALONE))


def test_bare_pymodbus_leaves_neighbours_of_a_babbler_unread() -> None:
    sweeps: list[Sweep] = run_jumping(pymodbus_sweeps(devices_of(BABBLING), 0.5, 0))
    assert max(each.unread for each in sweeps) >= 5


@pytest.mark.parametrize(("latency_s", "least"), [(0.0, 0.99), (SERIAL_LATENCY_S, 0.95)])
def test_the_wire_is_never_idle_while_meters_wait(latency_s: float, least: float) -> None:
    found = utilisation(latency_s)
    assert least <= found["wire_utilisation"] <= 1.001
    assert found["wire_shares"]["bits"] > 0.15
