"""Simulated links lose, delay and double, one direction apart from the other, until they heal."""

import random

from validator.simulation.atlas import MAPS
from validator.simulation.faults import HEALED_DELAY_MS, Faults
from validator.simulation.links import Atlas, Weather

NAMES = ("v0", "v1", "v2", "v3")
HEAL_MS = 10_000


def weather(**faults: float) -> Weather:
    rough = Faults(heal_at_ms=HEAL_MS, **faults)  # type: ignore[arg-type]
    return Weather(NAMES, rough, random.Random(1))


def arrived(links: Weather, sender: str, receiver: str, now_ms: int = 0) -> int:
    return sum(len(links.delays_us(sender, receiver, now_ms)) for _ in range(400))


def test_the_directions_of_a_link_lose_differently() -> None:
    links = weather(loss=0.3, double=0, partition=0)
    pairs = [(one, other) for one in NAMES for other in NAMES if one < other]
    differ = [abs(arrived(links, a, b) - arrived(links, b, a)) for a, b in pairs]
    assert max(differ) > 60


def test_messages_are_doubled_and_overtake_each_other() -> None:
    links = weather(loss=0, double=0.5, partition=0, most_delay_ms=2_000)
    delays = [links.delays_us("v0", "v1", 0) for _ in range(200)]
    assert {len(each) for each in delays} == {1, 2}
    firsts = [each[0] for each in delays]
    assert firsts != sorted(firsts)
    assert max(firsts) < 2_000_000


def test_cuts_go_one_way_and_splits_both_ways_and_all_heal() -> None:
    links = weather(loss=0, double=0, partition=0.3)
    one_way = both_ways = 0
    for _ in range(60):
        links.change()
        dead = {
            (one, other)
            for one in NAMES
            for other in NAMES
            if one != other and not links.delays_us(one, other, 0)
        }
        one_way += any((other, one) not in dead for one, other in dead)
        both_ways += any((other, one) in dead for one, other in dead)
    assert one_way
    assert both_ways
    for one in NAMES:
        for other in NAMES:
            (delay_us,) = links.delays_us(one, other, HEAL_MS)
            assert delay_us <= HEALED_DELAY_MS * 1000


def test_maps_are_symmetric_within_a_measurement_and_near_to_far() -> None:
    for each in MAPS.values():
        size = len(each.places)
        assert all(len(row) == size for row in each.matrix_us)
        for one in range(size):
            for other in range(size):
                there, back = each.matrix_us[one][other], each.matrix_us[other][one]
                assert abs(there - back) <= 3_000
                assert there >= each.matrix_us[one][one] > 0
    thailand = MAPS["thailand"]
    bangkok, yala = thailand.places.index("Bangkok"), thailand.places.index("Yala")
    assert 6_000 < thailand.matrix_us[bangkok][yala] < 8_000  # 800 km


def test_a_map_gives_its_delay_and_a_little_more() -> None:
    links = Atlas({"a": 0, "b": 1}, ((1, 1_000), (2_000, 1)), random.Random(1))
    assert all(1_000 <= links.delays_us("a", "b", 0)[0] <= 1_100 for _ in range(50))
    assert links.delays_us("b", "a", 0)[0] >= 2_000
