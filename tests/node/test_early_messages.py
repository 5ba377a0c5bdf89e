"""Messages of heights to come are bounded, whatever is sent (GHSA-23rh-rrqg-wq82, celo 183)."""

import asyncio
from pathlib import Path

from tests.node.square import Square
from validator.consensus.messages import Prepare
from validator.node.driver import MOST_EARLY


def test_a_flood_of_future_heights_and_rounds_leaves_eight_messages_of_its_sender(
    tmp_path: Path,
) -> None:
    square = Square(tmp_path)

    async def scenario() -> None:
        square.start("val-1")
        driver = square.nodes["val-1"].driver
        now = driver.machine.height
        driver.receive(Prepare(now + 1, 0, "val-3", bytes(32)))
        for number in range(2_000):
            for height in (now + 1, now + 2, now + 1_000, 2**62):
                driver.receive(Prepare(height, number, "val-2", bytes(32)))
        early = driver._early
        assert [each.round for each in early["val-2"]] == list(range(2_000))[-MOST_EARLY:]
        assert {each.height for kept in early.values() for each in kept} == {now + 1}
        assert len(early["val-3"]) == 1, "nobody else's are pushed out"

    asyncio.run(scenario())
    square.kill("val-1")
