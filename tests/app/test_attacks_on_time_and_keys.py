"""Attacks on when and by whom: a replayed day, a shifted clock, a stolen witness key."""

import pytest

from tests.app.attacks import (
    case_count,
    close,
    credit_count,
    credits_of,
    last_verdict,
    refusal,
)
from tests.app.registry_kinds import administered_village, made
from tests.app.village import INTERVAL_S, ORDINARY, START_S, Village, signer
from validator.app.application import InvalidBlock
from wire.reading import ClockEvidence, sign_reading

DAY = range(8)


def test_a_replayed_day_of_batches_makes_no_valid_block() -> None:
    village = Village()
    batches = []
    for slot in DAY:
        batches.append(village.batch(village.close(slot).values(), slot))
        village.commit(batches[-1:], slot)
    for batch in batches:
        with pytest.raises(InvalidBlock, match="has a batch"):
            village.execute([batch], DAY[-1])


def test_a_replayed_day_by_another_gateway_changes_nothing() -> None:
    village = Village()
    days = [list(village.close(slot).values()) for slot in DAY]
    for slot, readings in enumerate(days):
        village.commit([village.batch(readings, slot)], slot)
    seals, credits_before = len(village.seals), credit_count(village)
    for readings in days:
        again = village.commit([village.batch(readings, DAY[-1], gateway="gw-b")], DAY[-1])
        assert set(again[0]) == {"already-accepted"}
    assert (len(village.seals), credit_count(village)) == (seals, credits_before)


def test_a_replayed_day_with_other_dates_has_no_signature() -> None:
    village = Village()
    meter = village.meters["c1"]
    old = meter.close(0, 500, 0)
    village.decide(old, 0)
    dated = meter.reading(1, 500, 0)
    forged = sign_reading(dated, meter.signer)[:-64] + old[-64:]
    assert village.decide(forged, 1) == "bad-signature"


def test_a_replayed_day_signed_anew_by_a_stolen_meter_key_takes_no_credit_back() -> None:
    village = Village()
    close(village, 0)
    assert village.decide(village.meters["c1"].close(0, 900, 0), 0) == "accepted"
    assert last_verdict(village) == "INCONCLUSIVE"
    assert credits_of(village, 0)["c1"] == ORDINARY["c1"]
    assert case_count(village) == 1


def test_a_replayed_sequence_with_other_content_is_equivocation() -> None:
    village = Village()
    meter = village.meters["c1"]
    first, second = meter.reading(0, 500, 0), meter.reading(0, 400, 0)
    village.decide(meter.sign(first), 0)
    assert village.decide(meter.sign(second), 0) == "equivocation"


def test_a_shifted_clock_that_runs_ahead_is_refused_until_its_time_has_come() -> None:
    village = Village()
    early = village.meters["c1"].close(1, 500, 0)
    assert village.decide(early, 0) == "ended-after-witness"
    assert village.decide(early, 1) == "accepted"


def test_a_shifted_clock_that_is_set_against_the_running_time_is_refused() -> None:
    village = Village()
    meter = village.meters["c1"]
    for slot in range(2):
        village.decide(meter.close(slot, 500, 0), slot)
    ran_s = meter.reading(2, 500, 0).operating_s
    jumped = meter.reading(7, 500, 0, operating_s=ran_s)
    assert village.decide(meter.sign(jumped), 7) == "operating-time"
    again = meter.reading(1, 500, 0, operating_s=ran_s)
    assert village.decide(meter.sign(again), 7) == "operating-time"
    back = meter.reading(0, 500, 0, operating_s=ran_s)
    assert village.decide(meter.sign(back), 7) == "time-backwards"


def test_a_shifted_clock_by_an_interval_is_seen_when_the_load_changes() -> None:
    """c1's clock is one interval slow: for each interval it tells what it took in the next."""
    village = Village()
    close(village, 0, c1=(1_500, 0))
    assert last_verdict(village) == "IMPOSSIBLE"
    assert credits_of(village, 0) == {}


def test_a_shifted_clock_under_a_steady_load_is_not_seen() -> None:
    village = Village()
    for slot in range(3):
        close(village, slot)
        assert last_verdict(village) == "BALANCED"


def test_a_shifted_clock_that_admits_its_error_counts_as_missing() -> None:
    village = Village()
    readings = village.close(0, c1=None)
    readings["c1"] = village.meters["c1"].close(0, 500, 0, clock=ClockEvidence(1, 1, 100, 11))
    village.commit([village.batch(readings.values(), 0)], 0)
    assert last_verdict(village) == "INCONCLUSIVE"


def test_a_shifted_clock_by_a_few_seconds_hides_in_the_tolerance() -> None:
    """Ten seconds of 2 kW are 6 Wh; a meter that conceals them moves them, it takes none away."""
    village = Village()
    close(village, 0, c1=(506, 0))
    assert last_verdict(village) == "BALANCED"
    close(village, 1, c1=(494, 0))
    assert last_verdict(village) == "BALANCED"


def test_a_stolen_witness_key_makes_no_reading() -> None:
    village = Village()
    reading = village.meters["c1"].reading(0, 900, 0)
    by_witness = sign_reading(reading, signer("gw-a"))
    forged = bytearray(village.meters["c1"].sign(reading))
    forged[-1] ^= 1
    by_reader = sign_reading(village.meters["c3"].reading(0, 900, 0), signer("gw-a"))
    batch = village.batch([by_witness, bytes(forged), by_reader], 0)
    assert village.commit([batch], 0) == [["unknown-key", "bad-signature", "unknown-key"]]
    assert village.seals == []


def test_a_stolen_witness_key_used_for_other_networks_or_by_other_gateways_is_refused() -> None:
    village = Village()
    readings = [village.meters["c1"].close(0, 500, 0)]
    assert refusal(village, village.batch(readings, 0, network="other")) == "other-network"
    stolen = village.batch(readings, 0, gateway="gw-b", key=signer("gw-a"))
    assert refusal(village, stolen) == "unknown-witness-key"


def test_a_stolen_witness_key_cannot_speak_of_the_future() -> None:
    village = Village()
    readings = [village.meters["c1"].close(1, 500, 0)]
    ahead = village.batch(readings, 0, witnessed_at_s=START_S + 2 * INTERVAL_S)
    with pytest.raises(InvalidBlock, match="ahead"):
        village.execute([ahead], 0)


def test_a_stolen_witness_key_may_take_a_sequence_but_no_reading_is_lost() -> None:
    village = Village()
    readings = list(village.close(0).values())
    thief = village.batch([readings[0]], 0)
    village.commit([thief], 0)
    honest = village.batch(readings, 0, sequence=thief.witness.statement.sequence)
    assert refusal(village, honest) == "witness-equivocation"
    assert "accepted" in village.commit([village.batch(readings, 0)], 0)[0]
    assert last_verdict(village) == "BALANCED"


def test_a_stolen_witness_key_that_carries_genuine_readings_is_not_seen() -> None:
    village = Village()
    batch = village.batch(village.close(0).values(), 0, key=signer("gw-a"))
    assert refusal(village, batch) == "stands"
    village.commit([batch], 0)
    assert last_verdict(village) == "BALANCED"


def test_a_stolen_witness_key_that_is_called_compromised_ends_whatever_time_it_claims() -> None:
    village = administered_village()
    before, after = list(village.close(0).values()), list(village.close(1).values())
    village.commit([village.batch(before, 0)], 0, [made("compromise witness")])
    earlier = village.batch(before, 1, witnessed_at_s=START_S + INTERVAL_S)
    assert refusal(village, earlier) == "compromised-witness-key"
    assert refusal(village, village.batch(after, 1)) == "compromised-witness-key"
    again = village.commit([village.batch(after, 1, gateway="gw-b")], 1)
    assert set(again[0]) == {"accepted"}, "the backlog is witnessed again"


def test_a_stolen_reader_key_forges_what_only_the_sum_can_tell() -> None:
    """The key that signs for a meter without one: the reading stands until the key is ended."""
    village = administered_village()
    assert set(close(village, 0, c3=(900, 0))) == {"accepted"}
    assert last_verdict(village) == "IMPOSSIBLE"
    village.commit([], 0, [made("compromise reader")])
    assert village.decide(village.meters["c3"].close(1, 200, 0), 1) == "compromised-key"
