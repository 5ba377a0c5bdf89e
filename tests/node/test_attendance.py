"""Why there is no block, in words: from what validators were heard to say."""

from typing import Any

import pytest

from tests.app.village import signer
from validator.cli import _words
from validator.consensus.messages import Commit, Message, Prepare, RoundChange
from validator.node.attendance import SILENT_S, Attendance
from wire.block import ValidatorSet

NAMES = ("val-1", "val-2", "val-3", "val-4")
MEMBERS = ValidatorSet(tuple((name, signer(name).public) for name in NAMES))
DIGEST = bytes(32)


def heard(*messages: Message, at_s: float = 100.0) -> Attendance:
    attendance = Attendance()
    attendance.begin(7, 0.0)
    for message in messages:
        attendance.note(message, at_s)
    return attendance


def report(attendance: Attendance, *connected: str, due_s: float = 0.0) -> dict[str, Any]:
    return attendance.report(MEMBERS, connected or NAMES, due_s, 101.0)


def test_the_latest_round_of_each_is_told_with_what_was_said_in_it() -> None:
    attendance = heard(
        Prepare(7, 0, "val-1", DIGEST),
        RoundChange(7, 2, "val-1", None, None),
        Prepare(7, 2, "val-1", DIGEST),
        Commit(7, 1, "val-1", DIGEST),
        Prepare(6, 9, "val-2", DIGEST),
    )
    first, second, *_ = report(attendance)["validators"]
    assert (first["round"], first["said"], first["ago_s"]) == (2, ["prepare", "round-change"], 1.0)
    assert (second["round"], second["said"], second["ago_s"]) == (None, [], None)


def test_a_new_height_forgets_the_one_before() -> None:
    attendance = heard(Prepare(7, 0, "val-1", DIGEST))
    attendance.begin(8, 100.0)
    assert all(row["round"] is None for row in report(attendance)["validators"])


@pytest.mark.parametrize(
    ("attendance", "connected", "words"),
    [
        (
            heard(*(Prepare(7, 1, name, DIGEST) for name in NAMES)),
            NAMES[:2],
            "2 of 4 are connected, 3 must agree: no link to val-3, val-4",
        ),
        (
            heard(*(Prepare(7, 1, name, DIGEST) for name in NAMES[:2])),
            NAMES,
            "val-3, val-4 are connected and silent",
        ),
        (
            heard(*(Prepare(7, number, name, DIGEST) for number, name in enumerate(NAMES))),
            NAMES,
            "validators are in rounds 0, 1, 2, 3; they draw level",
        ),
        (heard(*(Prepare(7, 1, name, DIGEST) for name in NAMES)), NAMES, ""),
        (heard(*(Prepare(7, 1, name, DIGEST) for name in NAMES[:3])), NAMES[:3], ""),
    ],
    ids=["no links", "silence", "rounds", "nothing", "one of four away"],
)
def test_a_stall_is_explained_in_one_line(
    attendance: Attendance, connected: tuple[str, ...], words: str
) -> None:
    assert report(attendance, *connected)["hindrance"] == words
    assert report(attendance, *connected, due_s=3.0)["hindrance"] == ""


def test_nobody_is_called_silent_before_he_had_time_to_speak() -> None:
    attendance = heard()
    early = attendance.report(MEMBERS, NAMES, 0.0, SILENT_S - 1)
    assert early["hindrance"] == ""


def test_the_status_says_it_on_one_screen() -> None:
    attendance = heard(*(Prepare(7, 1, name, DIGEST) for name in NAMES[:2]))
    row = {"peer": "val-3", "for_s": 40.0, "why": "a frame of 9 bytes"}
    words = _words(
        {
            **{"validator": "val-1", "network": "n", "height": 6, "round": 1, "leader": "val-2"},
            **{"peers": ["val-2"], "broker": "away", "readings": 0, "mempool": 3, "halted": ""},
            **{"target": 90, "cut": [row | {"from": what} for what in ("everything", "all but")]},
            "agreement": report(attendance, *NAMES[:2]),
        }
    )
    assert words[1:] == [
        "catching up: 6 of 90",
        "peers: val-2; broker away",
        "  val-3 is not heard for 40 s: a frame of 9 bytes",
        "  val-3 is heard for its votes only for 40 s: a frame of 9 bytes",
        "readings on the ledger: 0; waiting for a block: 3",
        "block 7 is being agreed on, for 101 s:",
        "  val-1: prepare in round 1, 1 s ago",
        "  val-2: prepare in round 1, 1 s ago",
        "  val-3: nothing; no link",
        "  val-4: nothing; no link",
        "HINDRANCE: 2 of 4 are connected, 3 must agree: no link to val-3, val-4",
    ]
