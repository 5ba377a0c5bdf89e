"""Figures of one core: a block executed, a receipt verified, a token's signatures.

Ratios are taken in one run, both sides one after the other: figures of different machines say
little.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

READINGS = 2_000
BATCH = 500
REPEATS = 3
RECEIPTS = 50
SIGNATURES = 500


def _seconds(deed: Callable[[], object]) -> float:
    """The shortest of a few runs: what the machine can do when it is left alone."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        deed()
        best = min(best, time.perf_counter() - started)
    return best


def block_execution() -> dict[str, Any]:
    """Readings checked, decoded and executed in a block, beside the bare rate of verification."""
    from gridwitness.bench_block import BenchBlock
    from validator.app.application import Application
    from validator.node.verification import Book
    from wire.witness import Batch

    block = BenchBlock.make(READINGS, BATCH)
    public, message, signature = block.one_signature()

    def check() -> None:
        for _ in range(READINGS):
            public.verify(message, signature)

    bare_s = _seconds(check)

    def execute() -> None:
        application = Application(block.genesis)
        batches = {batch.batch_id: batch for batch in map(Batch.open, block.batches)}
        transactions = [batch.witness.encoded for batch in batches.values()]
        found = application.finalize_block(1, block.time_ms, transactions, batches, Book())
        accepted = sum(len(each) for each in found.reading_results)
        assert accepted == READINGS

    whole_s = _seconds(execute)
    return {
        "readings_per_s": round(READINGS / whole_s),
        "verify_per_s_per_core": round(READINGS / bare_s),
        "ratio_to_limit": round(bare_s / whole_s, 2),
    }


def receipts() -> dict[str, Any]:
    """Time to verify a receipt."""
    from wire.genesis import Genesis
    from wire.receipt import Receipt

    vectors = Path(__file__).parents[1] / "wire" / "vectors"
    genesis = Genesis.load(vectors / "genesis.json")
    data = (vectors / "receipt.cbor").read_bytes()
    verify_s = _seconds(lambda: [Receipt.decode(data).verify(genesis) for _ in range(RECEIPTS)])
    return {"receipt_verify_ms": round(verify_s / RECEIPTS * 1000, 2)}


def token_signatures() -> dict[str, Any]:
    """Signatures of a SoftHSM2 key through the token's process, each verified."""
    from hsm import ceremony
    from hsm.signer import open_signer
    from hsm.uri import KeyUri
    from wire.keys import ES256

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ceremony.init_softhsm_token(folder, "bench")
        module = ceremony.softhsm_module()
        uri = KeyUri.parse(
            f"pkcs11:token=bench;object=k?module-path={module}&pin-source=file:pin", folder
        )
        conf = folder / "softhsm2.conf"
        public = ceremony.make_key(uri, ES256, conf)
        signer = open_signer(uri, conf, public)
        try:
            one_s = _seconds(lambda: [signer.sign(b"m") for _ in range(SIGNATURES)])
            list_s = _seconds(lambda: signer.sign_all([b"m"] * SIGNATURES))
        finally:
            signer.close()
    return {
        "signatures_per_s": round(SIGNATURES / one_s),
        "signatures_per_s_in_lists": round(SIGNATURES / list_s),
    }
