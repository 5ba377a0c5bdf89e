"""A receipt holds from genesis to reading, and each flipped bit breaks the link that it should."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from wire import cbor, merkle
from wire.answer import KNOWN_SET, BatchReceipt, Refusal, known_set, open_answer
from wire.block import (
    Block,
    Commit,
    Header,
    evidence_hash,
    seal_message,
    transaction_leaves,
    transactions_root,
)
from wire.errors import Refused
from wire.genesis import Genesis
from wire.keys import EDDSA, ES256, SoftSigner
from wire.light import LightClient
from wire.links import BrokenLink, Inclusion
from wire.reading import ClockEvidence, Reading, SignedReading, sign_reading
from wire.receipt import Receipt, ZoneProof
from wire.results import ReadingResult, TxResult, Verdict, ZoneSeal
from wire.witness import Batch, SignedWitness, WitnessStatement, readings_root, sign_statement

METER = SoftSigner.from_private(ES256, bytes(31) + b"\x01")
GATEWAY = SoftSigner.from_private(ES256, bytes(31) + b"\x02")
VALIDATORS = {
    name: SoftSigner.from_private(EDDSA, bytes(31) + bytes([n]))
    for n, name in enumerate("abcd", start=3)
}
STRANGER = SoftSigner.from_private(EDDSA, bytes(31) + b"\x63")
START_S = 1_750_000_500 // 900 * 900


def genesis_text(name: str = "test") -> str:
    validators = [
        {"id": member, "authority": member, "key": signer.public.text}
        for member, signer in VALIDATORS.items()
    ]
    return json.dumps(
        {
            "format": 1,
            "name": name,
            "time_ms": START_S * 1000,
            "paced_time": True,
            "parameters": {},
            "authorities": [],
            "validators": validators,
            "gateways": [],
            "meters": [],
            "zones": [],
            "unmetered": [],
        }
    )


GENESIS = Genesis.from_json(genesis_text())


def make_reading(sequence: int = 0, meter: str = "GW-1") -> bytes:
    reading = Reading(
        meter=meter,
        node="bus-7",
        interval_start_s=START_S,
        interval_s=900,
        import_wh=1000,
        export_wh=0,
        import_advance_wh=10,
        export_advance_wh=0,
        sequence=sequence,
        boots=1,
        operating_s=900,
        status=1 << 19,
        clock=ClockEvidence(2, 1, 0, 1),
        previous=bytes(32),
        software_id=bytes(4),
        configuration_id=bytes(8),
        events=0,
        origin=0,
    )
    return sign_reading(reading, METER)


def make_header(**changes: Any) -> Header:
    values: dict[str, Any] = {
        "version": 1,
        "network": GENESIS.network,
        "height": 1,
        "time_ms": (START_S + 905) * 1000,
        "parent": GENESIS.network,
        "proposer": "a",
        "validators_hash": GENESIS.validators.hash,
        "next_validators_hash": GENESIS.validators.hash,
        "parent_commit_hash": hashlib.sha256(b"").digest(),
        "evidence_hash": evidence_hash(()),
    }
    zero: dict[str, Any] = dict.fromkeys(
        ("params_hash", "tx_root", "results_root", "zone_root", "state_root"),
        bytes(32),
    )
    return Header(**(values | zero | changes))


def commit_of(header: Header, names: str = "abc", *, stranger: bool = False) -> Commit:
    message = seal_message(header.network, header.height, 0, header.digest)
    seals = []
    for name in names:
        index = GENESIS.validators.index(name)
        assert index is not None
        signer = STRANGER if stranger and name == names[-1] else VALIDATORS[name]
        seals.append((index, signer.sign(message)))
    return Commit(0, header.digest, tuple(seals))


def make_batch() -> Batch:
    readings = (make_reading(0, "GW-1"), make_reading(0, "GW-2"), make_reading(1, "GW-2"))
    statement = WitnessStatement(
        gateway="gw-1",
        network=GENESIS.topic_name,
        witnessed_at_s=START_S + 903,
        sequence=0,
        tree_size=3,
        previous=bytes(32),
        position=None,
        clock_quality=2,
        clock_error_ms=10,
        root=readings_root(readings),
    )
    witness = SignedWitness.open(sign_statement(statement, GATEWAY))
    return Batch.open(Batch.join(witness, readings).encoded)


def make_seal(inputs: list[bytes]) -> bytes:
    return ZoneSeal(
        zone="z1",
        start_s=START_S,
        end_s=START_S + 900,
        revision=0,
        verdict=Verdict.BALANCED,
        residual_wh=-2,
        loss_low_wh=0,
        loss_high_wh=4,
        band_wh=30,
        coverage_ppm=1_000_000,
        parameters_hash=bytes(32),
        inputs_root=merkle.root(inputs),
        overloaded=("bus-n1",),
        marked=1,
    ).encoded


def root_of_one(leaf: bytes) -> bytes:
    return merkle.root([merkle.leaf_hash(leaf)])


def build(code: int = 0) -> tuple[Receipt, BatchReceipt, Batch]:
    """A block with one batch of three readings, and the receipts that follow from it."""
    batch = make_batch()
    hashes = [hashlib.sha256(reading).digest() for reading in batch.readings]
    results = [ReadingResult(h, code, METER.public.thumbprint, "z1").encoded for h in hashes]
    leaves = [merkle.leaf_hash(item) for item in results]
    tx = batch.witness.encoded
    tx_result = TxResult(batch.batch_id, 0, merkle.root(leaves), GATEWAY.public.thumbprint).encoded
    inputs = [merkle.leaf_hash(h) for h in hashes]
    seal = make_seal(inputs)
    header = make_header(
        tx_root=transactions_root([tx]),
        results_root=root_of_one(tx_result),
        zone_root=root_of_one(seal),
    )
    block = Block(header.encoded, (tx,), b"")
    assert Block.decode(block.encoded) == block
    answer = BatchReceipt(
        batch.batch_id,
        header.encoded,
        commit_of(header),
        Inclusion.of(transaction_leaves([tx]), 0),
        tx_result,
        Inclusion.of([merkle.leaf_hash(tx_result)], 0),
        tuple(results),
    )
    proof = ZoneProof(
        seal,
        Inclusion.of([merkle.leaf_hash(seal)], 0),
        header.encoded,
        answer.commit,
        Inclusion.of(inputs, 1),
    )
    return make_receipt(batch, answer, proof, Inclusion.of(leaves, 1)), answer, batch


def make_receipt(
    batch: Batch, answer: BatchReceipt, proof: ZoneProof, result: Inclusion
) -> Receipt:
    """Of the batch's second reading."""
    return Receipt(
        reading=batch.readings[1],
        witness=batch.witness.encoded,
        inclusion=Inclusion.of([merkle.leaf_hash(reading) for reading in batch.readings], 1),
        witness_inclusion=answer.inclusion,
        header=answer.header,
        commit=answer.commit,
        changes=(),
        zone=proof,
        reading_result=answer.reading_results[1],
        reading_result_inclusion=result,
        tx_result=answer.tx_result,
        tx_result_inclusion=answer.result_inclusion,
        meter_key=METER.public,
        gateway_key=GATEWAY.public,
    )


def flipped(data: bytes, index: int = -1) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


def test_a_receipt_holds_from_genesis_to_reading() -> None:
    receipt, _, _ = build()
    again = Receipt.decode(receipt.encoded)
    assert again == receipt
    verified = again.verify(GENESIS)
    assert verified.reading.meter == "GW-2"
    assert verified.seals == ("a", "b", "c")
    assert verified.zone_seal is not None
    assert verified.zone_seal.verdict is Verdict.BALANCED


def test_a_receipt_without_zone_seal_holds() -> None:
    receipt, _, _ = build()
    bare = replace(receipt, zone=None)
    assert Receipt.decode(bare.encoded).verify(GENESIS).zone_seal is None


def changed(part: Any, **changes: Any) -> Any:
    """`replace` for names that a table gives."""
    return replace(part, **changes)


def break_path(inclusion: Inclusion) -> Inclusion:
    return replace(inclusion, path=(flipped(inclusion.path[0]), *inclusion.path[1:]))


@pytest.mark.parametrize(
    ("part", "link"),
    [
        ("reading", "reading"),
        ("witness", "witness"),
        ("header", "header"),
        ("reading_result", "inclusion"),
        ("tx_result", "inclusion"),
    ],
)
def test_a_flipped_bit_names_its_link(part: str, link: str) -> None:
    receipt, _, _ = build()
    broken = changed(receipt, **{part: flipped(getattr(receipt, part))})
    with pytest.raises(BrokenLink) as caught:
        broken.verify(GENESIS)
    assert caught.value.link == link


def test_a_flipped_path_is_a_broken_inclusion() -> None:
    receipt, _, _ = build()
    for name in ("inclusion", "reading_result_inclusion"):
        broken = changed(receipt, **{name: break_path(getattr(receipt, name))})
        with pytest.raises(BrokenLink) as caught:
            broken.verify(GENESIS)
        assert caught.value.link == "inclusion"


def test_a_flipped_seal_too_few_and_a_strangers_are_refused() -> None:
    receipt, _, _ = build()
    header = Header.decode(receipt.header)
    seals = receipt.commit.seals
    bad = replace(receipt.commit, seals=((0, flipped(seals[0][1], 3)), *seals[1:]))
    for commit in (bad, commit_of(header, "ab"), commit_of(header, "abd", stranger=True)):
        with pytest.raises(BrokenLink) as caught:
            replace(receipt, commit=commit).verify(GENESIS)
        assert caught.value.link == "seals"


def test_another_networks_genesis_is_refused() -> None:
    receipt, _, _ = build()
    with pytest.raises(BrokenLink) as caught:
        receipt.verify(Genesis.from_json(genesis_text("other")))
    assert caught.value.link == "genesis"


def test_a_refused_reading_has_no_receipt() -> None:
    receipt, _, _ = build(code=1)
    with pytest.raises(BrokenLink, match="refused this reading") as caught:
        receipt.verify(GENESIS)
    assert caught.value.link == "reading"


def test_a_flipped_zone_seal_is_a_broken_zone() -> None:
    receipt, _, _ = build()
    assert receipt.zone is not None
    for change in (
        {"seal": flipped(receipt.zone.seal)},
        {"header": flipped(receipt.zone.header)},
        {"reading_inclusion": break_path(receipt.zone.reading_inclusion)},
    ):
        with pytest.raises(BrokenLink) as caught:
            replace(receipt, zone=changed(receipt.zone, **change)).verify(GENESIS)
        assert caught.value.link == "zone"


def test_every_flipped_bit_of_the_file_is_refused() -> None:
    encoded = build()[0].encoded
    for position in range(len(encoded)):
        wrong = bytearray(encoded)
        wrong[position] ^= 1 << (position % 8)
        with pytest.raises(Refused):
            Receipt.decode(bytes(wrong)).verify(GENESIS)


def test_a_batch_receipt_gives_each_readings_result() -> None:
    _, answer, batch = build()
    client = LightClient(GENESIS.network, GENESIS.validators)
    opened = open_answer(answer.encoded, LightClient.of(GENESIS))
    assert isinstance(opened, BatchReceipt)
    results = opened.verify(client, batch.witness, batch.readings)
    assert [result.code for result in results] == [0, 0, 0]


def test_every_flipped_bit_of_a_batch_receipt_is_refused() -> None:
    _, answer, batch = build()
    client = LightClient(GENESIS.network, GENESIS.validators)

    def verify(message: bytes) -> None:
        opened = open_answer(message, LightClient.of(GENESIS))
        assert isinstance(opened, BatchReceipt)
        opened.verify(client, batch.witness, batch.readings)

    verify(answer.encoded)
    for position in range(len(answer.encoded)):
        with pytest.raises(Refused):
            verify(flipped(answer.encoded, position))


def test_a_refusal_counts_only_when_a_validator_signed_it() -> None:
    refusal = Refusal(GENESIS.network, bytes(32), "a", 1, "no")
    message = refusal.sign(VALIDATORS["a"])
    assert open_answer(message, LightClient.of(GENESIS)) == refusal
    for forged in (refusal.sign(STRANGER), replace(refusal, validator="z").sign(STRANGER)):
        with pytest.raises(Refused):
            open_answer(forged, LightClient.of(GENESIS))


def test_a_signed_reading_is_one_encoding_only() -> None:
    encoded = make_reading()
    signed = SignedReading.open(encoded)
    assert signed.reading.payload() == signed.cose.payload
    assert Reading.from_payload(signed.cose.payload) == signed.reading
    content = cbor.decode(signed.cose.payload)
    for wrong in (
        {**content, 23: 1},
        {k: v for k, v in content.items() if k != 9},
        {**content, 6: -1},
    ):
        with pytest.raises(Refused):
            Reading.from_payload(cbor.encode(wrong))
    assert Reading.from_payload(cbor.encode({**content, 64: "x"})).extra == {64: "x"}


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ([(KNOWN_SET, "120")], 120),
        ([("other", "7")], 0),
        ([], 0),
        *(([(KNOWN_SET, value)], 0) for value in ("", "-1", "1.5", "٣", "9" * 19, "x")),
    ],
)
def test_what_a_gateway_says_that_it_knows_is_a_height_or_nothing(
    said: list[tuple[str, str]], known: int
) -> None:
    assert known_set(said) == known
