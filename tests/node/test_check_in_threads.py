"""A batch's signatures are shared out over threads: each is checked once, and remembered."""

import asyncio

import pytest

from gridwitness.bench_block import BenchBlock
from validator.app.admission import open_reading
from validator.app.application import Application
from validator.node import verification
from validator.node.verification import Book, check_in_threads, keys_by_kid
from wire.witness import Batch


@pytest.mark.parametrize("checkers", [1, 3, 64])
def test_every_signature_of_a_batch_is_checked_once_whatever_the_threads(
    monkeypatch: pytest.MonkeyPatch, checkers: int
) -> None:
    monkeypatch.setattr(verification, "CHECKERS", checkers)
    block = BenchBlock.make(40, 40)
    keys = keys_by_kid(Application(block.genesis).registries)
    readings = [open_reading(each) for each in Batch.open(block.batches[0]).readings]
    book = Book()
    asyncio.run(check_in_threads(book, keys, [*readings, None]))
    assert book.checked == len(readings) == 40
    for signed in readings:
        assert signed is not None
        public = keys[signed.cose.kid]
        assert book.stands(public, signed.cose.sig_structure, signed.cose.signature)
    assert book.checked == 40, "known by now"
