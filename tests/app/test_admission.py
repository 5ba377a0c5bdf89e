"""Rules S, T, L and C on one reading: each refusal has its name."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.app.village import INTERVAL_S, SITE, START_S, Village, signer
from wire.cose import sign1
from wire.keys import ES256, SoftSigner, normalise_s
from wire.reading import ClockEvidence, Position, ReadSource, SignedReading, sign_reading
from wire.results import LATE, ReadingResult

FAR_AWAY = (SITE[0] + 200_000, SITE[1])


def test_an_honest_reading_is_accepted() -> None:
    village = Village()
    assert village.decide(village.meters["c1"].close(0, 500, 0), 0) == "accepted"


def test_a_reading_by_the_reader_is_accepted() -> None:
    village = Village()
    assert village.decide(village.meters["c3"].close(0, 200, 0), 0) == "accepted"


def test_the_result_names_the_key_and_the_zone() -> None:
    village = Village()
    execution = village.execute([village.batch([village.meters["c3"].close(0, 200, 0)], 0)], 0)
    result = ReadingResult.decode(execution.reading_results[0][0])
    assert (result.key_thumbprint, result.zone) == (signer("gw-a reader").public.thumbprint, "z1")


OWN_FAULTS = [
    pytest.param("c1", {"meter": "stranger"}, "unknown-meter", id="S: unknown meter"),
    pytest.param("c1", {"origin": 2}, "wrong-origin", id="S: a signing meter is not read"),
    pytest.param("c1", {"interval_start_s": START_S + 1}, "misaligned", id="T: start"),
    pytest.param("c1", {"interval_s": 1800}, "misaligned", id="T: length"),
    pytest.param("c1", {"previous": bytes([1] * 32)}, "broken-chain", id="T: first of a chain"),
    pytest.param("c3", {"sequence": 7}, "wrong-sequence", id="T: a reader's sequence"),
    pytest.param("c1", {"node": "n2"}, "wrong-node", id="L: node"),
    pytest.param("c1", {"configuration_id": bytes(8)}, "wrong-configuration", id="L: record"),
    pytest.param(
        "c1", {"position": Position(*FAR_AWAY, 20, 3)}, "meter-moved", id="L: receiver far away"
    ),
    pytest.param("c1", {"position": Position(*SITE, 20, 3)}, "accepted", id="L: receiver at site"),
    pytest.param("c1", {"import_advance_wh": 3752}, "over-rating", id="C: fuse"),
    pytest.param("c1", {"import_advance_wh": 3751}, "accepted", id="C: full load and one step"),
    pytest.param("c1", {"export_advance_wh": 1}, "no-source", id="C: export without a source"),
    pytest.param("pv", {"export_advance_wh": 1377}, "over-installed", id="C: installed x 1.1"),
    pytest.param("pv", {"export_advance_wh": 1376}, "accepted", id="C: installed x 1.1 exactly"),
]


@pytest.mark.parametrize(("meter", "changes", "reason"), OWN_FAULTS)
def test_a_readings_own_fault_is_named(meter: str, changes: dict[str, Any], reason: str) -> None:
    village = Village()
    assert village.decide(village.meters[meter].close(0, 0, 0, **changes), 0) == reason


def test_s_garbage_in_a_batch_spoils_nothing_but_itself() -> None:
    village = Village()
    honest = village.meters["c1"].close(0, 500, 0)
    batch = village.batch([b"garbage", honest], 0)
    assert village.commit([batch], 0) == [["malformed", "accepted"]]


def test_s_another_signed_thing_is_no_reading() -> None:
    village = Village()
    payload = village.meters["c1"].reading(0, 500, 0).payload()
    other = sign1({1: -8, 3: 61, 4: signer("c1").public.kid}, payload, signer("c1"))
    assert village.decide(other, 0) == "malformed"


def test_s_a_strangers_key_is_unknown() -> None:
    village = Village()
    reading = village.meters["c1"].reading(0, 500, 0)
    assert village.decide(sign_reading(reading, signer("c2")), 0) == "unknown-key"
    assert village.decide(sign_reading(reading, SoftSigner.generate(ES256)), 0) == "unknown-key"


def test_s_one_flipped_bit_of_a_signature_is_refused() -> None:
    village = Village()
    encoded = bytearray(village.meters["c1"].close(0, 500, 0))
    encoded[-1] ^= 1
    assert village.decide(bytes(encoded), 0) == "bad-signature"


def test_s_a_meter_without_a_key_cannot_say_that_it_signed() -> None:
    village = Village()
    reading = village.meters["c3"].reading(0, 200, 0, origin=0, source=None)
    assert village.decide(sign_reading(reading, signer("gw-a reader")), 0) == "wrong-origin"


def test_s_only_the_registered_reader_signs_for_a_meter() -> None:
    village = Village()
    reading = village.meters["c3"].reading(0, 200, 0)
    assert village.decide(sign_reading(reading, signer("gw-b reader")), 0) == "unknown-key"


def test_s_the_same_content_again_is_harmless() -> None:
    village = Village()
    encoded = village.meters["c1"].close(0, 500, 0)
    assert village.decide(encoded, 0) == "accepted"
    assert village.decide(encoded, 0, gateway="gw-b") == "already-accepted"
    assert village.commit([village.batch([encoded, encoded], 1)], 1) == [
        ["already-accepted", "already-accepted"]
    ]


def sig_structure_of(encoded: bytes) -> bytes:
    return SignedReading.open(encoded).cose.sig_structure


def test_s_another_signature_over_the_same_content_is_no_equivocation() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    key = SoftSigner(private)

    def use_es256(content: dict[str, Any]) -> None:
        content["meters"][1]["key"] = key.public.text

    village = Village(use_es256)
    reading = village.meters["c1"].reading(0, 500, 0)
    first = sign_reading(reading, key)
    r, s = decode_dss_signature(private.sign(sig_structure_of(first), ec.ECDSA(SHA256())))
    signature = normalise_s(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    second = first[:-64] + signature
    assert first != second
    assert village.decide(first, 0) == "accepted"
    assert village.decide(second, 0) == "already-accepted"


def test_s_another_content_under_a_sequence_is_equivocation() -> None:
    village = Village()
    meter = village.meters["c1"]
    first, second = meter.reading(0, 500, 0), meter.reading(0, 400, 0)
    assert village.decide(meter.sign(first), 0) == "accepted"
    assert village.decide(meter.sign(second), 0) == "equivocation"
    assert village.decide(meter.sign(first), 0) == "already-accepted"


def test_s_registered_software_must_match() -> None:
    def pin(content: dict[str, Any]) -> None:
        content["meters"][1]["software"] = "01020304"

    village = Village(pin)
    meter = village.meters["c1"]
    wrong = meter.sign(meter.reading(0, 500, 0))
    right = meter.sign(meter.reading(0, 500, 0, software_id=bytes.fromhex("01020304")))
    assert village.decide(wrong, 0) == "wrong-software"
    assert village.decide(right, 0) == "accepted"


def test_t_an_interval_that_had_not_ended_comes_again_later() -> None:
    village = Village()
    encoded = village.meters["c1"].close(0, 500, 0)
    early = START_S + INTERVAL_S - 3
    assert village.decide(encoded, 0, witnessed_at_s=early) == "ended-after-witness"
    assert village.decide(encoded, 0, witnessed_at_s=early + 1) == "accepted"


def test_t_a_reading_older_than_the_window_is_late_and_settles_nothing() -> None:
    def shorten(content: dict[str, Any]) -> None:
        content["parameters"]["acceptance_window_s"] = 3600

    village = Village(shorten)
    readings = village.close(0).values()
    execution = village.execute([village.batch(readings, 5)], 5)
    codes = {ReadingResult.decode(result).code for result in execution.reading_results[0]}
    assert codes == {LATE}
    assert execution.seals == ()


def two_readings(village: Village, **changes: Any) -> tuple[bytes, bytes]:
    """Two consecutive readings of c1, of which the second is changed."""
    meter = village.meters["c1"]
    first = meter.close(0, 500, 0)
    return first, meter.sign(meter.reading(1, 600, 0, **changes))


NEIGHBOUR_FAULTS = [
    pytest.param({}, "accepted", id="none"),
    pytest.param({"import_wh": 900_000}, "register-backwards", id="import register backwards"),
    pytest.param({"import_advance_wh": 599}, "register-gap", id="advance too small"),
    pytest.param({"import_advance_wh": 601}, "register-gap", id="advance too large"),
    pytest.param({"export_wh": 1}, "register-gap", id="export register without advance"),
    pytest.param({"interval_start_s": START_S - 900}, "time-backwards", id="earlier interval"),
    pytest.param({"boots": 0}, "time-backwards", id="earlier boot"),
    pytest.param({"operating_s": 4_999}, "operating-time", id="operating seconds backwards"),
    pytest.param({"operating_s": 6_300}, "operating-time", id="ran longer than time passed"),
    pytest.param({"operating_s": 6_200}, "accepted", id="ran a little longer"),
    pytest.param({"boots": 2, "operating_s": 5_001}, "accepted", id="lags across a boot"),
    pytest.param({"previous": bytes(32)}, "broken-chain", id="another chain"),
]


@pytest.mark.parametrize(("changes", "reason"), NEIGHBOUR_FAULTS)
def test_t_a_reading_fits_the_one_before_it(changes: dict[str, Any], reason: str) -> None:
    village = Village()
    first, second = two_readings(village, **changes)
    assert village.decide(first, 1) == "accepted"
    assert village.decide(second, 1) == reason


@pytest.mark.parametrize(("changes", "reason"), NEIGHBOUR_FAULTS)
def test_t_order_of_arrival_does_not_matter(changes: dict[str, Any], reason: str) -> None:
    village = Village()
    first, second = two_readings(village, **changes)
    assert village.decide(second, 1) == "accepted"
    assert village.decide(first, 1) == reason


def test_t_gaps_are_no_fault() -> None:
    village = Village()
    first, _, third = (village.meters["c1"].close(slot, 500, 0) for slot in range(3))
    assert village.decide(third, 2) == "accepted"
    assert village.decide(first, 2) == "accepted"


def test_t_registers_must_fit_across_a_gap_too() -> None:
    village = Village()
    meter = village.meters["c1"]
    first, _ = meter.close(0, 500, 0), meter.close(1, 500, 0)
    third = meter.sign(meter.reading(2, 500, 0, import_advance_wh=1001))
    assert village.decide(first, 2) == "accepted"
    assert village.decide(third, 2) == "register-gap"


def test_t_a_meter_that_was_dead_over_a_boundary_numbers_on_and_its_register_goes_on() -> None:
    village = Village()
    meter = village.meters["c1"]
    first = meter.close(0, 500, 0)
    after = meter.reading(3, 500, 0, import_wh=meter.import_wh + 900, boots=2)
    assert after.sequence == 1
    assert village.decide(first, 3) == "accepted"
    assert village.decide(meter.sign(after), 3) == "accepted"


def test_t_a_missing_piece_must_fit_on_both_sides() -> None:
    village = Village()
    meter = village.meters["c1"]
    first = meter.close(0, 500, 0)
    second = meter.reading(1, 500, 0)
    meter.close(1, 500, 0)
    third = meter.close(2, 500, 0)
    village.commit([village.batch([first, third], 2)], 2)
    forged = second._replace(import_wh=second.import_wh + 1, import_advance_wh=501)
    assert village.decide(meter.sign(forged), 2) == "register-gap"
    assert village.decide(meter.sign(second), 2) == "accepted"


def test_t_the_chain_may_follow_what_was_signed_in_place_of_the_accepted_one() -> None:
    village = Village()
    meter = village.meters["c1"]
    accepted = meter.sign(meter.reading(0, 500, 0, events=1))
    signed_too = meter.close(0, 500, 0)
    following = meter.close(1, 500, 0)
    assert village.decide(accepted, 1) == "accepted"
    assert village.decide(following, 1) == "broken-chain"
    assert village.decide(signed_too, 1) == "equivocation"
    assert village.decide(following, 1) == "accepted"


def test_t_a_reader_that_lost_its_spool_begins_a_new_chain() -> None:
    village = Village()
    meter = village.meters["c3"]
    first = meter.close(0, 200, 0)
    meter.previous = bytes(32)
    assert village.decide(first, 0) == "accepted"
    assert village.decide(meter.close(1, 200, 0), 1) == "accepted"


def test_t_the_first_record_of_a_boot_may_close_an_old_interval() -> None:
    village = Village()
    meter = village.meters["c1"]
    village.decide(meter.close(0, 500, 0), 0)
    closed_at_boot = meter.close(1, 100, 0, boots=2, operating_s=5_910)
    after = meter.close(90, 100, 0, boots=2, operating_s=6_810)
    assert village.decide(closed_at_boot, 90) == "accepted"
    assert village.decide(after, 90) == "accepted"


def test_t_operating_seconds_cannot_stand_still_within_a_boot() -> None:
    village = Village()
    meter = village.meters["c1"]
    for slot in range(2):
        village.decide(meter.close(slot, 500, 0), slot)
    assert village.decide(meter.close(9, 100, 0, operating_s=5_910), 9) == "operating-time"


def test_l_the_gateway_must_serve_the_zone() -> None:
    def leave(content: dict[str, Any]) -> None:
        content["gateways"][1]["zones"] = []

    village = Village(leave)
    encoded = village.meters["c1"].close(0, 500, 0)
    assert village.decide(encoded, 0, gateway="gw-b") == "zone-not-served"
    assert village.decide(encoded, 0) == "accepted"


def test_l_a_line_must_reach_from_the_gateway_to_the_meter() -> None:
    def move(content: dict[str, Any]) -> None:
        content["meters"][1]["site"] = FAR_AWAY

    village = Village(move)
    assert village.decide(village.meters["c1"].close(0, 500, 0), 0) == "out-of-reach"


def test_a_bad_clock_is_no_refusal() -> None:
    village = Village()
    clock = ClockEvidence(0, 0, 0, 86_400)
    assert village.decide(village.meters["c1"].close(0, 500, 0, clock=clock), 0) == "accepted"


def test_an_absurd_offset_is_no_crash() -> None:
    village = Village()
    source = ReadSource(bytes(8), b"", -(2**63), 2**63)
    assert village.decide(village.meters["c3"].close(0, 200, 0, source=source), 0) == "accepted"


def test_a_refusal_that_registration_or_another_carrier_cures_leaves_no_mark() -> None:
    village = Village()
    before = village.app.state
    wrong = village.meters["c1"].sign(village.meters["c1"].reading(0, 500, 0, node="n2"))
    execution = village.execute([village.batch([wrong], 0)], 0)
    assert {table for table, _, _ in execution.writes} == {"batch", "root"}
    assert village.app.state is before
