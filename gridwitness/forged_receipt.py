"""Which field of a receipt's reading was changed, told by the rest of the receipt.

The authorities decided about a reading by its hash, and that decision is under their seals. So the
receipt itself says whether a guess is the true reading, without asking the meter's key. Decides
what is guessed from; that the receipt does not hold was decided by `wire.receipt`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gridwitness.known_meter import registered_meter
from wire.errors import Refused
from wire.faults import Fault, changed
from wire.forensics import Search, hash_of_whole, loosely
from wire.genesis import Genesis
from wire.guesses import Around, content_of
from wire.light import LightClient
from wire.links import sealed_header
from wire.receipt import Receipt
from wire.record_rules import Registered
from wire.results import ReadingResult, TxResult, ZoneSeal

_PROOF = "it is the reading that the authorities decided about"
_MOST_STARTS = 200


def changed_fields(receipt: Receipt, genesis: Genesis) -> list[Fault] | None:
    """The parts of the reading that were changed, each with its true value; empty if none is found.

    None when the seals do not lead to a decision about another reading.
    """
    try:
        decided = _decided_hash(receipt, genesis)
        if decided == hashlib.sha256(receipt.reading).digest():
            return None
        message, _ = loosely(receipt.reading)
        if message is None:
            return []
        registered = registered_meter(genesis, receipt.meter_key)
        around = _around(receipt, genesis, registered)
    except Refused:
        return None
    restored = Search().by_hash(message, receipt.meter_key, around, hash_of_whole(decided))
    if restored is None:
        return []
    content = content_of(message.payload) or {}
    sequence = content.get(10)
    number = sequence if type(sequence) is int else None
    return [changed(0, number, change, _PROOF) for change in restored.changes]


def _decided_hash(receipt: Receipt, genesis: Genesis) -> bytes:
    """SHA-256 of the reading that was decided about, as the seals prove; raises Refused."""
    client = LightClient(genesis.network, genesis.validators)
    header = sealed_header(client, receipt.header, receipt.commit, receipt.changes)
    receipt.tx_result_inclusion.check(header.results_root, receipt.tx_result, "the batch's result")
    readings_root = TxResult.decode(receipt.tx_result).readings_root
    receipt.reading_result_inclusion.check(
        readings_root, receipt.reading_result, "the reading's result"
    )
    return ReadingResult.decode(receipt.reading_result).reading_hash


def _around(receipt: Receipt, genesis: Genesis, registered: Registered | None) -> Around:
    known: dict[int, tuple[Any, ...]] = {}
    meters = [item for item in genesis.registry["meters"] if isinstance(item, dict)]
    for number, name in ((2, "id"), (3, "node")):
        known[number] = tuple(item[name] for item in meters if isinstance(item.get(name), str))
    known[17] = tuple(_hexadecimal(item.get("configuration_id") for item in meters))
    fields = registered.fields if registered is not None else {}
    if receipt.zone is not None:
        seal = ZoneSeal.decode(receipt.zone.seal)
        length_s = fields.get(5, 900)
        starts = range(seal.start_s, seal.end_s, length_s)[:_MOST_STARTS]
        known[4] = tuple(starts)
    return replace(Around(), registered=fields, known=known)


def _hexadecimal(values: Iterable[Any]) -> Iterable[bytes]:
    for value in values:
        try:
            yield bytes.fromhex(value)
        except (TypeError, ValueError):
            continue
