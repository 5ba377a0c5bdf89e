"""Evidence against validators: into a block once, by whoever proposes, and never without proof."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.village import signer
from tests.node.chain import Chain
from tests.node.square import NAMES, Square
from validator.app.application import InvalidBlock, Misbehaviour
from validator.consensus.evidence import Evidence
from validator.consensus.messages import Commit, Message, Prepare
from validator.node.candidate import Candidate
from validator.node.evidence_pool import EvidencePool
from validator.node.mempool import MOST_OF_A_VALIDATOR, Mempool, Waiting
from validator.node.store import Store
from wire.block import MOST_EVIDENCE, Block, evidence_hash
from wire.errors import Refused

ONE, OTHER = b"\1" * 32, b"\2" * 32


def signed(message: Message, network: bytes, name: str) -> Message:
    return replace(message, signature=signer(name).sign(message.signed_bytes(network)))


def double_prepare(
    network: bytes, height: int, sender: str = "val-1", key: str = "val", round_number: int = 0
) -> Evidence:
    pair = (Prepare(height, round_number, sender, digest) for digest in (ONE, OTHER))
    return Evidence(*(signed(each, network, key) for each in pair))


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path)
    yield chain
    chain.store.close()


def proof(chain: Chain, height: int = 1, round_number: int = 0) -> Evidence:
    return double_prepare(chain.genesis.network, height, chain.me, "val", round_number)


def make(chain: Chain, *evidence: Evidence) -> Candidate:
    return chain.blocks.make(chain.me, chain.tip, chain.tip.time_ms + 5, Waiting((), (), evidence))


def carrying(chain: Chain, *evidence: bytes) -> Block:
    """A block with this evidence whose header is otherwise right."""
    candidate = make(chain)
    header = replace(candidate.block.content, evidence_hash=evidence_hash(evidence))
    return replace(candidate.block, header=header.encoded, evidence=evidence)


def test_evidence_stands_in_the_next_block_and_in_the_state(chain: Chain) -> None:
    candidate = make(chain, proof(chain))
    assert Block.decode(candidate.block.encoded) == candidate.block
    checked = chain.blocks.check(chain.tip, candidate.block, ())
    assert checked.execution.state_root == candidate.execution.state_root
    chain.store.append(candidate.block, chain.seal(candidate), candidate.execution, ())
    chain.app.commit(candidate.execution)
    offence = Misbehaviour(chain.me, 1, "double-prepare")
    assert chain.app.offences() == [(offence, 1)]
    assert chain.restarted(chain.store).offences() == [(offence, 1)]


def test_an_offence_is_on_the_ledger_once_however_often_it_is_proved(chain: Chain) -> None:
    first = make(chain, proof(chain))
    chain.app.commit(first.execution)
    chain.store.append(first.block, chain.seal(first), first.execution, ())
    chain.tip = replace(chain.tip, height=1, digest=first.block.digest)
    again = proof(chain, round_number=3)
    assert make(chain, proof(chain), again).block.evidence == ()
    with pytest.raises(InvalidBlock, match="too old, early or known"):
        chain.blocks.check(chain.tip, carrying(chain, again.encoded), ())


def test_one_block_does_not_tell_an_offence_twice(chain: Chain) -> None:
    twice = (proof(chain).encoded, proof(chain, round_number=1).encoded)
    with pytest.raises(InvalidBlock, match="on the ledger already"):
        chain.blocks.check(chain.tip, carrying(chain, *twice), ())


@pytest.mark.parametrize("height", [0, 2, 2**63])
def test_evidence_of_no_height_that_a_block_may_tell_of_is_refused(
    chain: Chain, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain.blocks, "parameter", lambda *_: 0)
    with pytest.raises(InvalidBlock, match="too old, early or known"):
        chain.blocks.check(chain.tip, carrying(chain, proof(chain, height).encoded), ())
    assert make(chain, proof(chain, height)).block.evidence == ()


def test_nobody_is_accused_without_his_signature(chain: Chain) -> None:
    network = chain.genesis.network
    lies = [
        double_prepare(network, 1, chain.me, key="c1").encoded,
        double_prepare(bytes(32), 1, chain.me).encoded,
        double_prepare(network, 1, "val-stranger").encoded,
        Evidence(proof(chain).first, proof(chain).first).encoded,
        b"",
        b"\x80",
    ]
    for lie in lies:
        with pytest.raises(Refused):
            chain.blocks.check(chain.tip, carrying(chain, lie), ())


def test_a_header_commits_to_its_evidence(chain: Chain) -> None:
    block = make(chain, proof(chain)).block
    for tampered in ((), (*block.evidence, block.evidence[0])):
        with pytest.raises(Refused, match="evidence is not what"):
            Block.decode(replace(block, evidence=tampered).encoded)


def test_a_block_has_room_for_so_much_evidence_and_the_rest_waits(chain: Chain) -> None:
    network = chain.genesis.network
    votes = [Prepare, Commit]
    many = [proof(chain, 1)]
    many += [
        Evidence(*(signed(kind(0, 0, chain.me, digest), network, "val") for digest in (ONE, OTHER)))
        for kind in votes
    ]
    chain.tip = replace(chain.tip, height=40)
    many += [proof(chain, height) for height in range(2, 20)]
    candidate = make(chain, *many)
    assert len(candidate.block.evidence) == MOST_EVIDENCE
    with pytest.raises(Refused, match="at most 8"):
        Block.decode(carrying(chain, *(each.encoded for each in many[:9])).encoded)


def test_waiting_evidence_outlives_a_restart_until_the_ledger_tells_it(
    chain: Chain, tmp_path: Path
) -> None:
    told: list[list[object]] = []
    pool = EvidencePool(chain.blocks, Mempool(), chain.store)
    pool.forward = told.append
    pool.take(proof(chain))
    pool.take(proof(chain, round_number=1))  # The same offence.
    assert told == [["evidence", proof(chain).encoded]]
    later_store = Store(tmp_path / "ledger.sqlite")
    mempool = Mempool()
    later = EvidencePool(chain.blocks, mempool, later_store)
    assert later.waiting() == told
    candidate = chain.blocks.make(chain.me, chain.tip, chain.tip.time_ms + 1, mempool.all())
    chain.app.commit(candidate.execution)
    later_store.append(candidate.block, chain.seal(candidate), candidate.execution, ())
    later.look_again()
    assert (later.waiting(), later_store.evidence()) == ([], [])
    later.take(proof(chain))
    assert later.waiting() == []
    later_store.close()


def test_an_endless_offender_fills_no_memory(chain: Chain) -> None:
    mempool = Mempool()
    kept = [mempool.add_evidence(proof(chain, height)) for height in range(1, 100)]
    assert sum(kept) == MOST_OF_A_VALIDATOR == len(mempool)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


@pytest.fixture
def square(tmp_path: Path) -> Iterator[Square]:
    square = Square(tmp_path)
    yield square
    square.kill(*list(square.nodes))


def test_what_one_validator_catches_all_ledgers_tell(square: Square) -> None:
    """The offender's two messages reach one validator only; all four tell it, once, alike."""

    async def scenario() -> None:
        square.start(*NAMES)
        await square.until(lambda: all(n.driver.tip.height >= 1 for n in square.nodes.values()))
        node, network = square.nodes["val-1"], square.genesis.network

        def caught() -> bool:
            for digest in (ONE, OTHER):
                vote = Prepare(node.driver.machine.height, 7, "val-4", digest)
                node.driver.receive(signed(vote, network, "val-4"))
            return bool(node.mempool.evidence()) or bool(node.app.offences())

        await square.until(caught)
        await square.until(lambda: all(n.app.offences() for n in square.nodes.values()))
        await square.until(lambda: not any(n.mempool.evidence() for n in square.nodes.values()))
        offences = [node.app.offences() for node in square.nodes.values()]
        assert {offence.validator for each in offences for offence, _ in each} == {"val-4"}
        assert {offence.kind for each in offences for offence, _ in each} == {"double-prepare"}
        height = offences[0][0][1]
        blocks = {n.store.block(height).block.encoded for n in square.nodes.values()}  # type: ignore[union-attr]
        assert len(blocks) == 1

    run(scenario)
