"""A gateway follows the validators: it believes the set that unbroken seals lead to, no other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.gateway.authorities import Authorities
from tests.gateway.test_answers import Scene, changed, play
from tests.gateway.world import VALIDATORS
from wire.answer import Refusal
from wire.block import Commit, Header, ValidatorSet, seal_message
from wire.keys import EDDSA, Signer, SoftSigner
from wire.light import SetChange
from wire.witness import Batch

NEW: dict[str, Signer] = {f"z-{n}": SoftSigner.generate(EDDSA) for n in range(4)}
UNKNOWN_GATEWAY = 50


def set_of(keys: dict[str, Signer]) -> ValidatorSet:
    return ValidatorSet(tuple(sorted((name, key.public) for name, key in keys.items())))


def handing_over(scene: Scene, sealers: Sequence[str]) -> SetChange:
    """The header of block 5, by which these leave everything to others."""
    genesis, after = scene.authorities.genesis, set_of(NEW)
    hashes = (genesis.validators.hash, after.hash)
    zeros = [bytes(32)] * 7
    header = Header(1, genesis.network, 5, 9_000, bytes(32), sealers[0], *hashes, *zeros)
    message = seal_message(genesis.network, 5, 0, header.digest)
    places = sorted((genesis.validators.ids.index(name), name) for name in sealers)
    seals = tuple((place, VALIDATORS[name].sign(message)) for place, name in places)
    return SetChange(header.encoded, Commit(0, header.digest, seals), after)


def successors(scene: Scene) -> Authorities:
    later = Authorities(replace(scene.authorities.genesis, validators=set_of(NEW)), NEW)
    later.height = 10
    return later


def test_a_receipt_brings_the_changes_that_lead_to_its_seals(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        later, ids = successors(scene), scene.authorities.genesis.validators.ids
        bare = [later.receipt(each) for each in scene.batches]
        assert await scene.receipts.take(bare[0]) is None
        few = changed(bare[0], changes=(handing_over(scene, ids[:1]),))
        assert await scene.receipts.take(few) is None
        whole = changed(bare[0], changes=(handing_over(scene, ids),))
        assert await scene.receipts.take(whole) == 0
        # What was followed once is known; the old set seals nothing new any more.
        assert await scene.receipts.take(bare[1]) == 1
        scene.authorities.height = 20
        assert await scene.receipts.take(scene.authorities.receipt(scene.batches[2])) is None
        assert await scene.states() == {"published": 1, "final": 2}

    play(tmp_path, act)


def test_refusals_bring_them_too_and_count_by_the_newest_set(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        change = handing_over(scene, scene.authorities.genesis.validators.ids)

        def refusal(batch: Batch, name: str) -> bytes:
            network = scene.authorities.genesis.network
            said = Refusal(network, batch.batch_id, name, UNKNOWN_GATEWAY, "no")
            return said.sign(NEW[name], [change])

        batch, names = scene.batches[0], sorted(NEW)
        old = scene.authorities.refusal(batch, sorted(VALIDATORS)[0], UNKNOWN_GATEWAY)
        # Said before the change: its validator has left when the next one speaks.
        assert await scene.receipts.take(old) is None
        assert await scene.receipts.take(refusal(batch, names[0])) is None
        assert await scene.receipts.take(refusal(batch, names[1])) == 0

    play(tmp_path, act)
