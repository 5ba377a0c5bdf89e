"""The base of timeouts follows measured round trips: at once up, slowly down, never by liars."""

from itertools import pairwise

from validator.consensus.timeouts import Pace, Timeouts, next_base_ms
from validator.node.round_trips import GIVEN_UP_S, RoundTrips

CONFIGURED = Timeouts(2_000, 30_000)
QUORUM_OF_SEVEN = 5


def paced(round_trips_ms: list[int]) -> Pace:
    pace = Pace()
    for place, each in enumerate(round_trips_ms):
        pace.measured(f"v{place}", each)
    return pace


def test_below_half_a_second_the_base_is_as_configured() -> None:
    for round_trip_ms in (0, 1, 499, 500):
        assert next_base_ms(2_000, round_trip_ms, CONFIGURED) == 2_000
    assert next_base_ms(2_000, 501, CONFIGURED) == 2_004


def test_the_base_grows_at_once_up_to_the_cap() -> None:
    assert next_base_ms(2_000, 1_500, CONFIGURED) == 6_000
    assert next_base_ms(2_000, 60_000, CONFIGURED) == 30_000


def test_the_base_shrinks_an_eighth_at_a_time_to_what_is_configured() -> None:
    bases = [8_000]
    while bases[-1] > 2_000:
        bases.append(next_base_ms(bases[-1], 100, CONFIGURED))
    assert bases[1] == 7_000
    assert bases[-1] == 2_000
    assert len(bases) == 12
    assert all(later < earlier for earlier, later in pairwise(bases))


def test_a_base_of_a_few_milliseconds_shrinks_too() -> None:
    assert next_base_ms(2, 0, Timeouts(1, 10)) == 1


def test_a_round_trip_that_sways_does_not_move_the_base() -> None:
    assert [next_base_ms(4_000, each, CONFIGURED) for each in (760, 900, 1_000)] == [4_000] * 3
    assert next_base_ms(4_000, 740, CONFIGURED) == 3_500


def test_without_a_measurement_nothing_changes() -> None:
    assert Pace().begin_height(CONFIGURED, QUORUM_OF_SEVEN) == CONFIGURED


def test_the_slowest_of_the_nearest_quorum_counts() -> None:
    pace = paced([10, 20, 30, 1_000, 9_000, 9_500])
    assert pace.begin_height(CONFIGURED, QUORUM_OF_SEVEN) == Timeouts(4_000, 30_000)
    assert pace.round_trip_ms == 1_000


def test_liars_who_answer_late_do_not_stretch_rounds_beyond_the_slowest_honest_peer() -> None:
    """Two of seven lie; four honest peers are left."""
    pace = paced([100, 200, 300, 600, 10**6, 10**6])
    assert pace.begin_height(CONFIGURED, QUORUM_OF_SEVEN).base_ms == 2_400


def test_who_is_gone_no_longer_counts() -> None:
    pace = paced([1_000, 1_000, 1_000, 1_000])
    pace.keep_only(["v0", "v9"])
    pace.measured("v0", 0)
    for _ in range(100):
        pace.measured("v0", 0)
    assert pace.begin_height(CONFIGURED, QUORUM_OF_SEVEN) == CONFIGURED


def test_a_round_trip_rises_by_half_and_falls_by_an_eighth() -> None:
    pace = paced([800])
    pace.measured("v0", 1_600)
    pace.begin_height(CONFIGURED, QUORUM_OF_SEVEN)
    assert pace.round_trip_ms == 1_200
    pace.measured("v0", 400)
    pace.begin_height(CONFIGURED, QUORUM_OF_SEVEN)
    assert pace.round_trip_ms == 1_100
    for _ in range(60):
        pace.measured("v0", 400)
    pace.begin_height(CONFIGURED, QUORUM_OF_SEVEN)
    assert pace.round_trip_ms == 400


class Paper:
    """Links on paper."""

    def __init__(self) -> None:
        self.connected = ["v0", "v1"]
        self.said: list[tuple[str, list[object]]] = []

    def send(self, peer: str, frame: list[object]) -> None:
        self.said.append((peer, frame))


def token(paper: Paper, place: int) -> bytes:
    name, content = paper.said[place][1]
    assert name == "ping"
    assert isinstance(content, bytes)
    return content


def test_each_peer_is_asked_once_until_it_answers() -> None:
    paper, pace = Paper(), Pace()
    asking = RoundTrips(paper, pace)
    asking.ask(100.0)
    asking.ask(101.0)
    assert [peer for peer, _ in paper.said] == ["v0", "v1"]
    asking.answered("v0", token(paper, 0), 101.25)
    asking.answered("v1", token(paper, 0), 101.25)
    asking.answered("v9", token(paper, 0), 101.25)
    asking.ask(102.0)
    assert [peer for peer, _ in paper.said] == ["v0", "v1", "v0"]
    assert len({token(paper, place) for place in range(3)}) == 3
    assert pace.begin_height(CONFIGURED, 2).base_ms == 5_000
    asking.ask(100.0 + GIVEN_UP_S + 1)
    assert [peer for peer, _ in paper.said[3:]] == ["v1"]


def test_a_peer_that_returns_is_asked_anew() -> None:
    paper, pace = Paper(), Pace()
    asking = RoundTrips(paper, pace)
    asking.ask(1.0)
    asking.answered("v0", token(paper, 0), 3.0)
    paper.connected = []
    asking.ask(4.0)
    assert pace.begin_height(CONFIGURED, 2) == CONFIGURED
    paper.connected = ["v1"]
    asking.ask(5.0)
    assert [peer for peer, _ in paper.said[2:]] == ["v1"]
