"""Two ledgers of one network disagree: the command says from where on, and who is to blame."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridwitness.cli import main
from tests.app.village import signer
from tests.node.chain import Chain
from tests.node.square import NAMES, Square
from validator.consensus.evidence import Evidence
from validator.consensus.messages import Proposal, RoundChange, open_message
from validator.culprits import NotComparable, compare
from wire.block import Commit, seal_message
from wire.errors import Refused
from wire.genesis import Genesis

SLOTS = 3


def chain_in(folder: Path) -> Chain:
    folder.mkdir()
    return Chain(folder)


def signed(chain: Chain, message: Any) -> Any:
    signature = signer("val").sign(message.signed_bytes(chain.genesis.network))
    return replace(message, signature=signature)


def fork(chain: Chain, round_number: int) -> bytes:
    """Another block than the one that the other chain has at this height, final in that round."""
    candidate = chain.candidate([], SLOTS)
    height, digest = candidate.block.content.height, candidate.block.digest
    seal = signer("val").sign(seal_message(chain.genesis.network, height, round_number, digest))
    final = Commit(round_number, digest, ((0, seal),))
    chain.store.append(candidate.block, final, candidate.execution, ())
    return digest


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Chain, Chain]:
    chains = chain_in(tmp_path / "one"), chain_in(tmp_path / "other")
    for slot in range(SLOTS):
        for chain in chains:
            chain.append([chain.interval(slot)], slot)
    return chains


def ledgers(tmp_path: Path) -> list[Path]:
    return [tmp_path / name / "ledger.sqlite" for name in ("one", "other")]


def test_ledgers_that_agree_blame_nobody(pair: tuple[Chain, Chain], tmp_path: Path) -> None:
    one, other = pair
    one.append([one.interval(SLOTS)], SLOTS)  # One that is ahead agrees as well.
    assert compare(one.genesis, ledgers(tmp_path)) is None
    for chain in (one, other):
        chain.store.close()


def test_two_seals_of_one_round_name_who_gave_both(
    pair: tuple[Chain, Chain], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = pair
    one.append([one.interval(SLOTS)], SLOTS)
    fork(other, 0)
    genesis = tmp_path / "genesis.json"
    genesis.write_bytes(one.genesis_file)
    paths = [str(path) for path in ledgers(tmp_path)]
    assert main(["validator", "culprits", str(genesis), *paths, "--json"]) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["height"], report["culprits"]) == (SLOTS + 1, [one.me])
    (evidence,) = report["evidence"]
    data = bytes.fromhex(evidence["encoded"])
    opened = Evidence.open(data, one.genesis.network, one.genesis.validators)
    assert opened.kind == "double-commit"
    for chain in (one, other):
        chain.store.close()


def test_what_justified_a_later_round_names_who_forgot(
    pair: tuple[Chain, Chain], tmp_path: Path
) -> None:
    one, other = pair
    height = SLOTS + 1
    one.append([one.interval(SLOTS)], SLOTS)
    digest = fork(other, 1)
    found = compare(one.genesis, ledgers(tmp_path))
    assert found is not None
    assert found.verdict.culprits == frozenset(), "a COMMIT in each of two rounds may be honest"
    forgot = signed(one, RoundChange(height, 1, one.me, None, None))
    made = Proposal(height, 1, one.me, digest, b"", round_changes=(forgot,))
    other.store.keep_justification(signed(one, made))
    found = compare(one.genesis, ledgers(tmp_path))
    assert found is not None
    assert [each.kind for each in found.verdict.evidence] == ["amnesia"]
    assert found.blocks[1] == (digest.hex(), 1)
    for chain in (one, other):
        chain.store.close()


def test_a_ledger_whose_seals_do_not_stand_proves_nothing(
    pair: tuple[Chain, Chain], tmp_path: Path
) -> None:
    one, other = pair
    one.append([one.interval(SLOTS)], SLOTS)
    candidate = other.candidate([], SLOTS)
    forged = Commit(0, candidate.block.digest, ((0, bytes(64)),))
    other.store.append(candidate.block, forged, candidate.execution, ())
    with pytest.raises(Refused):
        compare(one.genesis, ledgers(tmp_path))
    for chain in (one, other):
        chain.store.close()


def test_a_validator_keeps_what_justified_a_later_round_before_it_speaks(tmp_path: Path) -> None:
    """No proposal of round 0 arrives: a later round decides, and each keeps why."""
    square = Square(tmp_path)
    square.passes = lambda message, *_: (message.kind, message.round) != ("proposal", 0)

    async def scenario() -> None:
        square.start(*NAMES)
        await square.until(lambda: all(n.driver.tip.height >= 1 for n in square.nodes.values()))

    asyncio.run(scenario())
    genesis, kept = square.genesis, 0
    for node in square.nodes.values():
        stored = node.store.block(1)
        assert stored is not None
        assert stored.commit.round > 0
        for data in node.store.justifications(1):
            opened = open_message(data, genesis.network, genesis.validators)
            assert isinstance(opened, Proposal)
            assert len(opened.round_changes) >= genesis.validators.quorum
            assert opened.block == b""
            kept += 1
    square.kill(*NAMES)
    assert kept >= genesis.validators.quorum, "a quorum has prepared it"


@pytest.mark.parametrize("content", [b"", b"a text", b"SQLite format 3\0" + bytes(90)])
def test_what_is_no_ledger_is_named(
    pair: tuple[Chain, Chain], tmp_path: Path, content: bytes
) -> None:
    stranger = tmp_path / "stranger"
    stranger.write_bytes(content)
    with pytest.raises(NotComparable, match=r"stranger is no ledger: name a validator's"):
        compare(pair[0].genesis, [ledgers(tmp_path)[0], stranger])
    assert stranger.read_bytes() == content
    for chain in pair:
        chain.store.close()


def test_one_ledger_is_too_few_and_another_networks_is_named(
    pair: tuple[Chain, Chain], tmp_path: Path
) -> None:
    one, other = ledgers(tmp_path)
    for alone in ([one], [one, one]):
        with pytest.raises(NotComparable, match="name those of two validators or more"):
            compare(pair[0].genesis, alone)
    strange = Genesis.from_json(pair[0].genesis_file.replace(b'"name": "', b'"name": "x', 1))
    with pytest.raises(NotComparable, match=r"one/ledger\.sqlite is a ledger of another network"):
        compare(strange, [one, other])
    for chain in pair:
        chain.store.close()
