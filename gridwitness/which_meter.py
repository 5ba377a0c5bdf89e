"""Which meter a file is checked against, by key, label, enrolment or genesis file.

Decides that what was given agrees; two sources that name two keys are refused before anything is
checked. What each source says is decided by its own module.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from device.provision.label import BadLabel, Label
from gridwitness import labelled_meter
from gridwitness.enrolled_meter import enrolled
from gridwitness.known_meter import Unregistered, given, in_genesis, meters_named
from gridwitness.labelled_meter import OtherMeter
from wire.errors import Refused
from wire.genesis import Genesis
from wire.history import History
from wire.keys import PublicKey
from wire.reading import ORIGIN_OWN_ELEMENT
from wire.receipt import Receipt, VerifiedReceipt
from wire.record_rules import Registered


@dataclass(frozen=True, slots=True)
class Sources:
    """What somebody who verifies has at hand."""

    genesis: Genesis | None = None
    """The network's beginning."""

    key: PublicKey | None = None
    """The meter's key, given."""

    enrolment: Path | None = None
    """File of the transaction that enrolled the meter; needs the genesis file."""

    label: Label | None = None
    """Of the meter's housing."""


def of_records(sources: Sources, history: History) -> Registered:
    """The meter that records are checked against.

    Raises:
        Refused: nothing names it, or what was given does not agree.
        OtherMeter: they are of another one.
    """
    named = meters_named(history)
    if sources.label is not None:
        labelled_meter.check_meter(sources.label, named)
    found = _registered(sources, history, named)
    if sources.key is not None:
        if found is not None and found.key != sources.key:
            raise Refused(
                f"the key given, {sources.key.kid.hex()}, is not the one that"
                f" {found.known_from} names, {found.key.kid.hex()}"
            )
        found = found or replace(given(sources.key), known_from="given")
    if sources.label is not None:
        found = _labelled(sources.label, found, history)
    if found is None:
        raise Refused("records are checked with --key, --label, or --genesis of their network")
    if sources.genesis is not None and 2 not in found.fields:
        unknown = f"; not registered in the genesis file of {sources.genesis.topic_name}"
        return replace(found, known_from=found.known_from + unknown)
    return found


def _registered(sources: Sources, history: History, named: set[str]) -> Registered | None:
    if sources.enrolment is not None:
        found = _enrolled(sources)
        meter = found.fields[2]
        if meter not in named:
            others = ", ".join(sorted(named)) or "none that can be read"
            raise OtherMeter(
                f"{sources.enrolment} enrols meter {meter}, and the records are of {others}"
            )
        return found
    if sources.genesis is None:
        return None
    try:
        return in_genesis(sources.genesis, history)
    except Unregistered:
        if sources.key is None and sources.label is None:
            raise
        return None


def _enrolled(sources: Sources) -> Registered:
    if sources.enrolment is None or sources.genesis is None:
        raise Refused("an enrolment is checked with --genesis of its network")
    return enrolled(sources.enrolment, sources.genesis)


def _labelled(label: Label, found: Registered | None, history: History) -> Registered:
    words = f"the label of {label.meter}"
    if found is None:
        return replace(given(labelled_meter.key_of(label, history)), known_from=words)
    try:
        label.check_key(found.key)
    except BadLabel as reason:
        raise BadLabel(f"{found.known_from}: {reason}") from None
    return replace(found, known_from=f"{found.known_from} and {words}")


def of_receipt(sources: Sources, receipt: Receipt, verified: VerifiedReceipt) -> list[str]:
    """Check a receipt that holds against label, enrolment and key; returns what there is to tell.

    Raises:
        OtherMeter: the receipt is of another meter or key than what was given.
        Refused: what was given is no proof of a key.
    """
    meter, key = verified.reading.meter, receipt.meter_key
    told = []
    if sources.label is not None:
        labelled_meter.check_meter(sources.label, [meter])
        if verified.reading.origin != ORIGIN_OWN_ELEMENT:
            raise OtherMeter(f"meter {meter} does not sign, its gateway does; a label names no key")
        try:
            sources.label.check_key(key)
        except BadLabel as reason:
            raise OtherMeter(str(reason)) from None
        told.append(f"label     of {meter} names the key {key.kid.hex()}, which signed the reading")
    if sources.enrolment is not None:
        found = _enrolled(sources)
        if (found.fields[2], found.key) != (meter, key):
            raise OtherMeter(
                f"{sources.enrolment} enrols meter {found.fields[2]} with the key"
                f" {found.key.kid.hex()}; the receipt is of {meter}, signed by {key.kid.hex()}"
            )
        told.append(f"enrolled  by {found.source}")
    return told
