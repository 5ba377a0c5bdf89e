"""What is still to be done with a meter's enrolment, told when its papers are written.

Decides the words of `provision`'s last lines: the command that brings the enrolment to the network,
and from when on the readings count once a block has it.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from device.provision import enrolment
from wire.event import time_words
from wire.transaction import enrolment_of


@dataclass(frozen=True, slots=True)
class ToSend:
    """An enrolment that nobody has sent."""

    path: Path
    """Its file."""

    from_s: int
    """Start of the first interval that counts, Unix seconds."""

    def words(self, genesis: Path, validator: str | None) -> list[str]:
        """The last lines for the technician."""
        given = ["--genesis", str(genesis), "--operator-key", "KEY"]
        command = ["gridwitness", "meter", "enrol", str(self.path), *given]
        return [
            f"Not enrolled yet: {shlex.join([*command, '--validator', validator or 'URL'])}",
            f"Counts from {time_words(self.from_s)}, if a block has the enrolment by then",
        ]


def of_papers(written: Sequence[Path]) -> ToSend | None:
    """The enrolment among the papers; what an earlier visit left there may still hold."""
    for path in written:
        if path.suffix == enrolment.SUFFIX:
            return ToSend(path, enrolment_of(enrolment.read(path)).from_s)
    return None
