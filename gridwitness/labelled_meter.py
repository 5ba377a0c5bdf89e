"""A meter that is known from the label on its housing, which prints a hash of its key.

Decides which key that is: of those that a record's signature leaves, the one with the label's hash.
A label names no network and no place; those are asked of the registry.
"""

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from device.provision.label import BadLabel, Label, groups
from wire.errors import Malformed, Refused
from wire.history import History
from wire.keys import PublicKey
from wire.reading import SignedReading
from wire.recovery import candidates

_MOST_FILE = 64 * 1024
_LOOKED_AT = 16  # Records whose signatures are tried: the first ones may be forged.
_TEXT = re.compile(r"GW1:[!-~]{1,80}?:\d\d(?![^\s\"<])")


class OtherMeter(Refused):
    """What is checked is of another meter, or of another key, than what is known."""

    code = "other-meter"


def read_label(argument: str) -> Label:
    """A label's text, or one in a file: `label.svg`, `report.json`, or what a scanner wrote.

    Raises:
        BadLabel: it was mistyped, or there is none.
        OSError: the file cannot be read.
    """
    if argument.lstrip().startswith("GW1"):
        return Label.parse(argument)
    try:
        with Path(argument).open("rb") as file:
            text = file.read(_MOST_FILE).decode("utf-8", "replace")
    except FileNotFoundError:
        raise BadLabel(f"{argument}: neither a label's text (GW1:…) nor a file") from None
    found = set(_TEXT.findall(text))
    if len(found) != 1:
        what = "no label's text is in it" if not found else "more than one label is in it"
        raise BadLabel(f"{argument}: {what}; give the text under the QR code, GW1:…, or label.svg")
    try:
        return Label.parse(found.pop())
    except BadLabel as reason:
        raise BadLabel(f"{argument}: {reason}") from None


def key_of(label: Label, history: History) -> PublicKey:
    """The key that a label's hash names, found in the signatures of its meter's records.

    Raises:
        OtherMeter: none of the first records was signed by it.
    """
    for signed in _first(history):
        for public in candidates(signed.cose.sig_structure, signed.cose.signature):
            try:
                label.check_key(public)
            except BadLabel:
                continue
            return public
    raise OtherMeter(
        f"none of the first {_LOOKED_AT} records is signed by the key"
        f" {groups(label.kid)} on the label of {label.meter}"
    )


def check_meter(label: Label, meters: Iterable[str]) -> None:
    """Check that a label is of one of these meters; raises OtherMeter."""
    known = sorted(meters)
    if label.meter not in known:
        others = ", ".join(known) or "none that can be read"
        raise OtherMeter(f"the label is of meter {label.meter}, and this is of {others}")


def _first(history: History) -> list[SignedReading]:
    try:
        opened = [entry.opened for entry in islice(history.entries(), _LOOKED_AT)]
    except Malformed:
        return []
    return [each for each in opened if isinstance(each, SignedReading)]
