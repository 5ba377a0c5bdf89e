"""A batch's signatures are shared out over threads: each is checked once, and remembered."""

import asyncio

import pytest

from gridwitness.bench_block import BenchBlock
from validator.app.admission import open_reading
from validator.app.application import Application
from validator.node import verification
from validator.node.verification import Book, check_in_threads, keys_by_kid
from wire.keys import ES256, SoftSigner
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
        public = keys[signed.kid]
        assert book.stands(public, signed.message, signed.signature)
    assert book.checked == 40, "known by now"


def test_the_book_remembers_the_younger_half_and_never_more_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verification, "KEPT", 10)
    signer, book = SoftSigner.generate(ES256), Book()
    messages = [bytes([number]) for number in range(24)]
    signatures = [signer.sign(each) for each in messages]
    for number, (message, signature) in enumerate(zip(messages, signatures, strict=True)):
        assert book.stands(signer.public, message, signature)
        assert not book.stands(signer.public, message, signatures[number - 1])
        assert len(book._young) + len(book._old) <= 10
        checked = book.checked
        for near in range(max(0, number - 1), number + 1):
            assert book.stands(signer.public, messages[near], signatures[near])
        assert book.checked == checked
    assert book.checked == 2 * len(messages)
    assert book.stands(signer.public, messages[0], signatures[0])
    assert book.checked == 2 * len(messages) + 1, "long forgotten"
