"""Whole simulated networks: crashes at every boundary, liars, and what the checkers notice."""

import json
import random
from dataclasses import replace

import pytest

from gridwitness.cli import main
from validator.consensus.effects import Commit as Final
from validator.consensus.messages import (
    Commit,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
)
from validator.consensus.timeouts import Timeouts
from validator.simulation import runs
from validator.simulation.atlas import MAPS
from validator.simulation.checkers import Judge
from validator.simulation.disks import Disk
from validator.simulation.faults import CALM, Conditions, Faults
from validator.simulation.latency import MESSAGE_US, measure
from validator.simulation.liars import TRICKS, Liar
from validator.simulation.marks import is_signed, sign
from validator.simulation.network import Network
from validator.simulation.runs import recovery_ms, run, validators, vary
from validator.simulation.values import next_value
from wire.block import Commit as BlockCommit

FOUR = validators(4)


def judge() -> Judge:
    return Judge(FOUR, sign, frozenset(FOUR.ids), sent={"t1", "t2"})


def boundaries(heights: int) -> int:
    """Effect boundaries that the first validator passes until it has so many blocks."""
    network = Network(FOUR, CALM, 3, judge())
    network.run(20_000, lambda: len(network.nodes["v000"].chain) >= heights)
    return network.nodes["v000"].boundaries


def test_a_crash_at_any_effect_boundary_breaks_nothing_and_delays_within_the_bound() -> None:
    for number in range(1, boundaries(2) + 1):
        for place in range(4):
            found = run(FOUR, replace(CALM, crash_at=(place, number)), 3)
            assert not found.safety, (place, number)
            assert found.alive, (place, number)


def test_the_bound_is_derived_and_grows_with_liars_and_skew() -> None:
    def bound_ms(count: int, skew_ms: int = 0) -> int:
        return recovery_ms(validators(count), Faults(skew_ms=skew_ms), Timeouts())

    assert bound_ms(4) == 155_150
    assert bound_ms(7) > bound_ms(4) > bound_ms(1)
    assert bound_ms(4, skew_ms=4_000) == bound_ms(4) + 8_000


def test_all_faults_occur_over_a_few_seeds() -> None:
    varied = [vary(Faults(), seed) for seed in range(105)]
    for name in ("loss", "crash", "partition", "most_delay_ms", "skew_ms", "drift_permille"):
        assert len({getattr(each, name) for each in varied}) >= 2, name


def test_liars_play_every_trick_and_forge_no_signature_of_others() -> None:
    def another(message: Message) -> tuple[bytes, bytes]:
        value = next_value(message.sender, (), message.round, ())
        return value.digest, value.encoded

    heard = [sign(Prepare(1, 0, name, bytes(32))) for name in FOUR.ids[1:]]
    changes = tuple(sign(RoundChange(1, 2, name, 0, bytes(32))) for name in FOUR.ids[1:])
    honest: list[Message] = [
        sign(Proposal(1, 2, "v000", bytes(32), b"", bytes(64), changes)),  # type: ignore[arg-type]
        sign(Prepare(1, 0, "v000", bytes(32))),
        sign(Commit(1, 0, "v000", bytes(32))),
        sign(RoundChange(1, 2, "v000", None, None)),
    ]
    played, told, unsigned = set(), set(), 0
    for seed in range(60):
        liar = Liar("v000", random.Random(seed), another, {})
        played |= set(liar.tricks)
        for each in (*heard, *changes):
            liar.hear(each)
        for message in honest * 4:
            for story in liar.told(bool(seed % 2), message):
                told.add(story)
                unsigned += not is_signed(story)
                assert is_signed(story) or story.sender == "v000"
    assert played == set(TRICKS)
    assert len(told) > 30
    assert unsigned


def test_a_torn_tail_that_is_not_cut_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written behind a torn record is lost at the next crash: an old bug of such logs."""
    real = Disk.read

    def read(self: Disk) -> list[bytes]:
        log = bytes(self._log)
        records = real(self)
        self._log = bytearray(log)
        return records

    monkeypatch.setattr(Disk, "read", read)
    assert any_unsafe(Faults(crash=0.02, heal_at_ms=30_000))


def test_speaking_before_writing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Network._write

    def write(self: Network, node: object, record: bytes) -> bool:
        if self.random.random() < 0.2:
            return True  # It will be on the disk soon, or never.
        return real(self, node, record)  # type: ignore[arg-type]

    monkeypatch.setattr(Network, "_write", write)
    assert any_unsafe(Faults(crash=0.02, heal_at_ms=30_000))


def any_unsafe(faults: Faults) -> bool:
    return any(run(FOUR, faults, seed).safety for seed in range(60))


# The checkers, each shown what it is there for.


def finals() -> list[Final]:
    chain: list[Final] = []
    for height, transactions in enumerate((("t1",), ("t2",)), start=1):
        value = next_value("v000", chain, height * 1_000, transactions)
        chain.append(sealed(height, value.digest, value.encoded))
    return chain


def sealed(height: int, digest: bytes, block: bytes) -> Final:
    seals = [
        (index, sign(Commit(height, 0, FOUR.ids[index], digest)).signature) for index in range(3)
    ]
    return Final(digest, block, BlockCommit(0, digest, tuple(seals)))


def told(watch: Judge, chain: list[Final]) -> str:
    for height, final in enumerate(chain, start=1):
        watch.committed("v001", height, final)
    return "; ".join(watch.violations)


def test_a_good_chain_is_fine() -> None:
    assert told(judge(), finals()) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transactions": ("t1",)}, "t1 is in block 2 and in 1"),
        ({"transactions": ("t9",)}, "committed t9, which nobody sent"),
        ({"time_ms": 1_000}, "a time that goes back"),
        ({"parent": bytes(32)}, "what does not follow"),
        ({"parent_commit": finals()[1].commit.encoded}, "an unsealed parent"),
        ({"maker": "v009"}, "not a valid block"),
    ],
)
def test_a_block_that_breaks_a_rule_is_noticed(change: dict[str, object], words: str) -> None:
    chain = finals()
    value = replace(next_value("v000", chain[:1], 2_000, ("t2",)), **change)  # type: ignore[arg-type]
    assert words in told(judge(), [chain[0], sealed(2, value.digest, value.encoded)])


def test_a_block_without_a_quorums_seals_is_noticed() -> None:
    first = finals()[0]
    few = replace(first, commit=replace(first.commit, seals=first.commit.seals[:2]))
    assert "without a quorum's seals" in told(judge(), [few])


def prepares(digest: bytes, count: int) -> tuple[Prepare, ...]:
    made = (sign(Prepare(1, 0, name, digest)) for name in FOUR.ids[:count])
    return tuple(each for each in made if isinstance(each, Prepare))


def test_votes_that_nobody_honest_gives_are_noticed() -> None:
    watch, digest = judge(), bytes(32)
    watch.spoke("v000", sign(Commit(1, 0, "v000", digest)), None)
    assert "no quorum's PREPAREs behind its commit" in watch.violations.pop()
    watch.spoke("v000", sign(Commit(1, 0, "v000", bytes([1]) * 32)), None)
    assert "signed two of (1, 0, 'commit')" in watch.violations[0]
    watch.violations.clear()
    watch.spoke("v000", sign(RoundChange(1, 1, "v000", None, None)), None)
    assert watch.violations.pop() == "v000 forgot its COMMIT at height 1"
    watch.spoke(
        "v001", sign(Commit(1, 0, "v001", digest)), PreparedCertificate(prepares(digest, 3))
    )
    claim = RoundChange(1, 1, "v001", 0, digest, prepares=prepares(digest, 3))
    watch.spoke("v001", sign(claim), None)
    assert watch.violations == []
    watch.spoke("v002", sign(replace(claim, sender="v002", prepares=prepares(digest, 2))), None)
    assert "behind its round-change" in watch.violations[0]


# Distance.


def test_agreement_takes_three_delays_and_grows_slowly_with_validators() -> None:
    times = [
        measure(validators(count), MAPS["thailand"], 3, Conditions(message_us=MESSAGE_US))
        for count in (4, 31)
    ]
    assert all(each.later_rounds == 0 and each.heights == 3 for each in times)
    assert times[0].final_ms < times[1].final_ms < 2 * times[0].final_ms
    assert 55 <= times[1].messages <= 61  # PREPARE and COMMIT of thirty others, some too late.


def test_far_apart_fixed_timeouts_change_rounds_at_every_height_and_adaptive_ones_settle() -> None:
    far = MAPS["world"].times(32)
    fixed, adaptive = (
        measure(validators(7), far, 15, Conditions(adaptive=each, message_us=MESSAGE_US))
        for each in (False, True)
    )
    assert fixed.later_rounds == 15
    assert adaptive.later_rounds <= 2
    assert fixed.base_ms == 2_000
    assert adaptive.base_ms > 10_000
    assert adaptive.final_ms < fixed.final_ms * 2 / 3


# The commands.


def test_a_seed_is_told_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "consensus", "--seed", "5", "--byzantine", "1", "--trace", "--json"]) == 0
    shown = capsys.readouterr()
    summary = json.loads(shown.out.splitlines()[-1])
    assert summary["seeds"] == 1
    assert summary["recovery_bound_ms"] > summary["slowest_recovery_ms"] > 0
    assert "R6 final by" in shown.err
    assert "crashes" in shown.err
    assert "says round-change in round 1" in shown.err


def test_a_failing_seed_is_named_with_its_violation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "recovery_ms", lambda *_: 0)
    assert main(["sim", "consensus", "--seeds", "2", "--first-seed", "3", "--json"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed 3: not recovered within 0 s"
    assert json.loads(lines[-1])["failing_seeds"] == [3, 4]


def test_the_latency_command_prints_a_row_for_each_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["sim", "latency", "--validators", "1,4", "--heights", "2"]
    assert main(asked) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["1", "4"]
    assert main([*asked, "--where", "world", "--times", "2", "--fixed", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [each["validators"] for each in summary["runs"]] == [1, 4]
    assert summary["adaptive"] is False
    assert main(["sim", "latency", "--heights", "0"]) == 2
