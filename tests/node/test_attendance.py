"""Why there is no block, in words: from what validators were heard to say and what is seen."""

from dataclasses import replace
from typing import Any, cast

import pytest

from tests.app.village import signer
from validator.cli import _words
from validator.consensus.messages import Commit, Message, Prepare, RoundChange
from validator.node.attendance import Attendance
from validator.node.hindrances import SILENT_S, View, hindrances
from validator.node.watch import Watch
from wire.block import Block, Header, ValidatorSet
from wire.block import Commit as BlockCommit

NAMES = ("val-1", "val-2", "val-3", "val-4")
MEMBERS = ValidatorSet(tuple((name, signer(name).public) for name in NAMES))
DIGEST = bytes(32)


def heard(*messages: Message, at_s: float = 100.0) -> Attendance:
    attendance = Attendance()
    attendance.begin(7, 0.0)
    for message in messages:
        attendance.note(message, at_s)
    return attendance


def view(attendance: Attendance, *connected: str, **changes: Any) -> View:
    heights = dict.fromkeys(NAMES, 6) | changes.pop("heights", {})
    rows = attendance.rows(MEMBERS, connected or NAMES, heights, 101.0)
    found = View("val-1", MEMBERS, 7, changes.pop("since_s", 101.0), False, rows)
    return replace(found, **changes)


def test_the_latest_round_of_each_is_told_with_what_was_said_in_it() -> None:
    attendance = heard(
        Prepare(7, 0, "val-1", DIGEST),
        RoundChange(7, 2, "val-1", None, None),
        Prepare(7, 2, "val-1", DIGEST),
        Commit(7, 1, "val-1", DIGEST),
        Prepare(6, 9, "val-2", DIGEST),
    )
    first, second, *_ = view(attendance).rows
    assert (first["round"], first["said"], first["ago_s"]) == (2, ["prepare", "round-change"], 1.0)
    assert (second["round"], second["said"], second["ago_s"]) == (None, [], None)


def test_a_new_height_forgets_the_one_before() -> None:
    attendance = heard(Prepare(7, 0, "val-1", DIGEST))
    attendance.begin(8, 100.0)
    assert all(row["round"] is None for row in view(attendance).rows)


PREPARES = tuple(Prepare(7, 1, name, DIGEST) for name in NAMES)
ALL = heard(*PREPARES)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (
            view(ALL, *NAMES[:2]),
            "2 of 4 are connected, 3 must agree: no link to val-3, val-4: they are down, or the"
            " network between is cut",
        ),
        (view(heard(*PREPARES[:2])), "val-3, val-4 are connected and silent"),
        (view(heard(*PREPARES[:2]), *NAMES[:3]), "val-3, val-4 are silent"),
        (
            view(heard(*(Prepare(7, each, name, DIGEST) for each, name in enumerate(NAMES)))),
            "validators are in rounds 0, 1, 2, 3; they draw level",
        ),
        (
            view(ALL, heights={"val-2": 3, "val-3": 4}),
            "too few are level with 6: val-2 at 3, val-3 at 4; they catch up first",
        ),
        (
            view(ALL, missing={"batch 0a0b0c0d": 12.4}),
            "waits for batch 0a0b0c0d for 12 s: no validator that is connected sends it",
        ),
        (
            view(ALL, refused=("val-2's block: block time is 9 ms from this validator's clock",)),
            "refused: val-2's block: block time is 9 ms from this validator's clock",
        ),
        (
            view(ALL, halted="the ledger's disk takes no writes: database or disk is full"),
            "stopped: the ledger's disk takes no writes: database or disk is full; make room: it"
            " goes on by itself",
        ),
        (view(ALL, silent="the token is away"), "the key does not sign: the token is away"),
        (view(ALL, guarded="restored", silent="restored: this key…"), "restored"),
        (
            view(ALL, clock_off_ms=-300_000),
            "this clock is 300.0 s behind the time that a quorum sealed: set it (chrony);"
            " meanwhile what it proposes is refused",
        ),
        (view(ALL, target=90), "this validator is at 6 of 90: it catches up"),
        (view(ALL, me="val-9"), "val-9 is none of the validators of height 7: it follows"),
    ],
    ids=[
        *("too few up or a partition", "silence", "silence of who is away", "rounds", "behind"),
        *("a body", "refusals", "disk", "key", "guard", "clock", "catching up", "no member"),
    ],
)
def test_each_cause_of_a_stall_has_its_line(seen: View, words: str) -> None:
    assert hindrances(seen) == [words]


def test_nothing_is_said_where_nothing_hinders() -> None:
    assert hindrances(view(ALL)) == []
    assert hindrances(view(heard(*PREPARES[:3]), *NAMES[:3])) == [], "one of four is away"
    assert hindrances(view(ALL, *NAMES[:2], due=True)) == [], "no block is due yet"
    assert hindrances(view(ALL, missing={"block 01": 0.5})) == [], "it was asked for just now"


def test_nobody_is_called_silent_before_he_had_time_to_speak() -> None:
    assert hindrances(view(heard(), since_s=SILENT_S - 1)) == []


def test_ones_own_causes_come_first_and_all_are_told() -> None:
    found = hindrances(view(ALL, "val-1", halted="full", silent="away", clock_off_ms=9_000))
    assert [words.split()[0] for words in found] == ["stopped:", "the", "this", "1"]


class Village:
    """What a watch asks of the blocks."""

    validators = staticmethod(lambda _: MEMBERS)
    parameter = staticmethod(
        lambda name, height, otherwise: {"block_delay_ms": 2_000}.get(name, 500)
    )


def block(time_ms: int) -> Block:
    header = Header(1, DIGEST, 7, time_ms, DIGEST, "val-2", *[DIGEST] * 9)
    return Block(header.encoded, (), b"", ())


def test_a_clock_is_off_when_a_quorum_sealed_another_time_while_one_listened() -> None:
    seen = {"connected": NAMES[1:], "heights": {}, "due_s": 1.0}
    watch = Watch("val-1", heard(*PREPARES), cast(Any, Village), lambda: seen)
    late, sealed = BlockCommit(1, DIGEST, ()), BlockCommit(0, DIGEST, ())
    for commit, off_ms, expected in (
        (late, 9_000, 0),
        (sealed, 9_000, 9_000),
        (late, 0, 9_000),
        (sealed, 2_500, 0),
        (sealed, -501, -501),
        (sealed, -500, 0),
    ):
        watch.final(block(100_000), commit, 100_000 + off_ms)
        assert watch.clock_off_ms == expected
    deaf = Watch("val-1", heard(*PREPARES[:2]), cast(Any, Village), lambda: seen)
    deaf.final(block(100_000), sealed, 109_000)
    assert deaf.clock_off_ms == 0, "blocks of yesterday say nothing of today's clock"
    assert watch.report()["validators"][0]["height"] == 6


def test_the_status_says_it_on_one_screen() -> None:
    attendance = heard(*PREPARES[:2])
    row = {"peer": "val-3", "for_s": 40.0, "why": "a frame of 9 bytes"}
    seen = view(attendance, *NAMES[:2], heights={"val-2": 4})
    agreement = {"height": 7, "since_s": 101.0, "due_s": 0, "validators": seen.rows}
    words = _words(
        {
            **{"validator": "val-1", "network": "n", "height": 6, "round": 1, "leader": "val-2"},
            **{"peers": ["val-2"], "broker": "away", "readings": 0, "mempool": 3, "halted": ""},
            **{"target": 90, "cut": [row | {"from": what} for what in ("everything", "all but")]},
            "agreement": agreement | {"hindrance": "the first\nthe second"},
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
        "  val-2: prepare in round 1, 1 s ago; at 4",
        "  val-3: nothing; no link",
        "  val-4: nothing; no link",
        "HINDRANCE: the first",
        "HINDRANCE: the second",
    ]
