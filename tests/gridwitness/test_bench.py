"""The bench measures the real thing: its readings are ones that validators accept."""

from gridwitness.bench_block import BenchBlock
from validator.app.application import Application
from validator.node.verification import Book
from wire.results import ACCEPTED, ReadingResult
from wire.witness import Batch


def test_every_reading_of_the_bench_is_accepted() -> None:
    block = BenchBlock.make(250, 50)
    batches = {batch.batch_id: batch for batch in map(Batch.open, block.batches)}
    transactions = [batch.witness.encoded for batch in batches.values()]
    book = Book()
    found = Application(block.genesis).finalize_block(1, block.time_ms, transactions, batches, book)
    codes = [ReadingResult.decode(each).code for part in found.reading_results for each in part]
    assert codes == [ACCEPTED] * 250
    assert book.checked == 250 + len(batches)
