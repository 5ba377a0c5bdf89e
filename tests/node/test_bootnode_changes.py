"""A bootnode follows who is a validator by seals alone, and takes the records of who has joined."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from gridwitness import certificates
from tests.app.village import Village, signer
from tests.node.square import NAMES, found
from validator import bootnode
from wire.block import Commit, Header, ValidatorSet, seal_message
from wire.genesis import Genesis
from wire.light import SetChange, encode_changes
from wire.peer import peer_message

NOW_S = int(time.time())
CERTIFICATE = certificates.self_signed("val-5").pem.decode()


@pytest.fixture(scope="module")
def genesis() -> Genesis:
    return Village(found).genesis


def joined(genesis: Genesis, sealers: tuple[str, ...] = NAMES[:3]) -> SetChange:
    """The fifth joins, sealed by these."""
    before = genesis.validators
    after = ValidatorSet((*before.members, ("val-5", signer("val-5").public)))
    hashes = (before.hash, after.hash)
    header = Header(1, genesis.network, 7, 7_000, bytes(32), NAMES[0], *hashes, *[bytes(32)] * 7)
    message = seal_message(genesis.network, 7, 0, header.digest)
    seals = tuple((NAMES.index(name), signer(name).sign(message)) for name in sealers)
    return SetChange(header.encoded, Commit(0, header.digest, seals), after)


def record(genesis: Genesis) -> dict[str, Any]:
    der, expires_s = certificates.der(CERTIFICATE.encode()), NOW_S + 1_000
    message = peer_message(genesis.network, "val-5", "host:1", der, expires_s)
    told = {"id": "val-5", "address": "host:1", "certificate": CERTIFICATE}
    return told | {"expires_s": expires_s, "signature": signer("val-5").sign(message).hex()}


class Asked:
    """A bootnode's pages, with its files in a folder."""

    def __init__(self, genesis: Genesis, folder: Path) -> None:
        registered = bootnode.Registered(genesis, folder / "changes")
        book = bootnode.open_book(genesis, registered, folder / "records", None, NOW_S)
        self._app = bootnode.application(genesis, registered, book)

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        async def talk() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://it") as client:
                return await client.request(method, path, **content)

        return asyncio.run(talk())


def test_a_record_of_who_has_joined_is_taken_once_the_change_is_told(
    genesis: Genesis, tmp_path: Path
) -> None:
    asked, changes = Asked(genesis, tmp_path), encode_changes([joined(genesis)])
    assert asked.ask("PUT", "/records", json=record(genesis)).status_code == 422
    statuses = [asked.ask("PUT", "/changes", content=changes).status_code for _ in range(2)]
    assert statuses == [200, 208]
    assert asked.ask("PUT", "/records", json=record(genesis)).status_code == 200
    again = Asked(genesis, tmp_path)
    assert again.ask("GET", "/healthz").json() == {"known": 1, "validators": 5}


def test_a_change_that_no_quorum_has_sealed_is_not_followed(
    genesis: Genesis, tmp_path: Path
) -> None:
    asked = Asked(genesis, tmp_path)
    for data in (encode_changes([joined(genesis, NAMES[:2])]), b"", b"\x81\x00", b"[" * 9_000):
        assert asked.ask("PUT", "/changes", content=data).status_code == 422
    assert asked.ask("GET", "/healthz").json()["validators"] == 4
