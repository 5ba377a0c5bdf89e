"""JSON-RPC 2.0 by its specification, CometBFT's verbs and Besu's names by what they tell."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.enrolments import Enrolment
from tests.node.office import Bureau, ask
from validator import strict_json
from validator.api import rpc
from wire.block import transaction_id


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    bureau = Bureau(tmp_path_factory.mktemp("rpc"))
    bureau.grow(4)
    yield bureau
    bureau.close()


def call(bureau: Bureau, content: Any) -> Any:
    text = content if isinstance(content, str) else json.dumps(content)
    answer = ask(bureau, "/rpc", "POST", content=text)
    return None if answer.status_code == 204 else answer.json()


def result(bureau: Bureau, method: str, params: Any = None) -> Any:
    content = {"jsonrpc": "2.0", "method": method, "id": 1}
    told = call(bureau, content if params is None else content | {"params": params})
    assert "error" not in told, told
    return told["result"]


def fault(bureau: Bureau, method: str, params: Any) -> int:
    content = {"jsonrpc": "2.0", "method": method, "params": params, "id": "x"}
    told = call(bureau, content)
    assert told["id"] == "x"
    return int(told["error"]["code"])


VERBS = (
    *("health", "status", "net_info", "consensus_state", "genesis", "consensus_params", "block"),
    *("header", "blockchain", "commit", "block_results", "validators", "abci_info"),
    "num_unconfirmed_txs",
)

# The examples of the specification, section 7, with methods that are here.
INVALID = {"jsonrpc": "2.0", "id": None}
ONE = {"jsonrpc": "2.0", "method": "health", "id": "1"}
TOLD = {"jsonrpc": "2.0", "result": {}, "id": "1"}


@pytest.mark.parametrize(
    ("sent", "codes"),
    [
        ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', [-32700]),
        ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', [-32600]),
        ("[]", [-32600]),
        ("[1]", [-32600]),
        ("[1, 2, 3]", [-32600] * 3),
        ("1", [-32600]),
        ('{"method": "health", "id": 1}', [-32600]),
        ('{"jsonrpc": "1.0", "method": "health", "id": 1}', [-32600]),
        ('{"jsonrpc": "2.0", "method": "health", "id": {}}', [-32600]),
        ('{"jsonrpc": "2.0", "method": "health", "params": 3, "id": 1}', [-32600]),
        ('{"jsonrpc": "2.0", "method": "health", "id": 1e999}', [-32600]),
        ('{"jsonrpc": "2.0", "method": "block", "params": [-1e999], "id": 1}', [-32600]),
        ('{"jsonrpc": "2.0", "method": "health", "id": NaN}', [-32700]),
        ('{"jsonrpc": "2.0", "method": "block", "params": [Infinity], "id": 1}', [-32700]),
        ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', [-32601]),
        ('{"jsonrpc": "2.0", "method": "__init__", "id": "1"}', [-32601]),
        ('{"jsonrpc": "2.0", "method": "block", "params": ["one"], "id": 1}', [-32602]),
        ('{"jsonrpc": "2.0", "method": "block", "params": {"hight": 1}, "id": 1}', [-32602]),
    ],
)
def test_faults_are_numbered_as_the_specification_says(
    bureau: Bureau, sent: str, codes: list[int]
) -> None:
    told = strict_json.read(ask(bureau, "/rpc", "POST", content=sent).content)
    rows = told if isinstance(told, list) else [told]
    assert [each["error"]["code"] for each in rows] == codes
    assert all(each["jsonrpc"] == "2.0" and "result" not in each for each in rows)


def test_a_batch_is_answered_call_by_call_and_notifications_not_at_all(bureau: Bureau) -> None:
    quiet = {"jsonrpc": "2.0", "method": "health"}
    batch = [ONE, quiet, 1, {"jsonrpc": "2.0", "method": "nothing", "id": "5"}]
    told = call(bureau, batch)
    assert told[0] == TOLD
    assert [(each["id"], each.get("error", {}).get("code")) for each in told[1:]] == [
        (None, -32600),
        ("5", -32601),
    ]
    assert call(bureau, quiet) is None
    assert call(bureau, [quiet, quiet | {"method": "nothing"}]) is None
    assert call(bureau, ONE | {"id": None}) == TOLD | {"id": None}


def test_status_and_blocks_are_told_in_cometbfts_shapes(bureau: Bureau) -> None:
    newest = ask(bureau, "/api/v1/blocks/4").json()
    sync = result(bureau, "status")["sync_info"]
    assert sync["latest_block_hash"] == newest["digest"].upper()
    assert (sync["latest_block_height"], sync["catching_up"]) == ("4", False)
    assert result(bureau, "block", {"height": "4"}) == result(bureau, "block", [4])
    block = result(bureau, "block")
    assert block["block_id"]["hash"] == newest["digest"].upper()
    assert block == result(bureau, "block_by_hash", {"hash": newest["digest"]})
    assert block["block"]["header"]["proposer_address"] == newest_address(bureau)
    assert block["block"]["last_commit"]["height"] == "3"
    assert result(bureau, "header", [2])["header"]["height"] == "2"
    chain = result(bureau, "blockchain", {"minHeight": "2", "maxHeight": "3"})
    assert [each["header"]["height"] for each in chain["block_metas"]] == ["3", "2"]
    assert fault(bureau, "block", [5]) == fault(bureau, "blockchain", [3, 2]) == -32602


def newest_address(bureau: Bureau) -> str:
    (row,) = result(bureau, "validators", [4])["validators"]
    return str(row["address"])


def test_a_commit_is_canonical_once_the_next_block_carries_it(bureau: Bureau) -> None:
    told = [result(bureau, "commit", [height]) for height in (3, 4)]
    assert [each["canonical"] for each in told] == [True, False]
    for each in told:
        assert len(each["signed_header"]["commit"]["signatures"]) == 1


def test_the_state_is_told_by_abci_verbs(bureau: Bureau) -> None:
    response = result(bureau, "abci_info")["response"]
    assert response["last_block_height"] == "4"
    root = base64.b64decode(response["last_block_app_hash"])
    assert root == bureau.chain.app.state.root
    found = result(bureau, "abci_query", {"path": "/meters/c1", "data": ""})["response"]
    assert json.loads(base64.b64decode(found["value"]))["meter"]["id"] == "c1"
    assert result(bureau, "abci_query", ["/zones/z9"])["response"]["code"] == 1
    assert fault(bureau, "abci_query", ["/secrets"]) == -32602
    assert result(bureau, "consensus_params", [])["consensus_params"]["class_k_num"] == 4


def test_every_verb_without_parameters_answers(bureau: Bureau) -> None:
    for name in VERBS:
        assert result(bureau, name) is not None, name


def test_a_transaction_is_taken_found_and_refused_by_verbs(bureau: Bureau) -> None:
    bureau.clock.slot -= 1
    enrolment = Enrolment(bureau.chain.genesis, bureau.clock.slot + 3).transaction()
    encoded = base64.b64encode(enrolment.encoded).decode()
    taken = result(bureau, "broadcast_tx_sync", {"tx": encoded})
    assert (taken["code"], taken["hash"]) == (0, enrolment.id.hex().upper())
    assert result(bureau, "num_unconfirmed_txs")["n_txs"] == "1"
    assert fault(bureau, "tx", {"hash": taken["hash"]}) == -32603
    bureau.clock.slot += 1
    wrong = Enrolment(bureau.chain.genesis, 9, "c8", signers=("PEA",)).transaction()
    other = base64.b64encode(wrong.encoded).decode()
    assert result(bureau, "broadcast_tx_sync", [other])["code"] == 71
    assert fault(bureau, "broadcast_tx_sync", ["not base64!"]) == -32602

    async def both() -> Any:
        async def grown() -> None:
            await asyncio.sleep(0)
            bureau.grow(1, (enrolment,))
            bureau.registrar.look_again(bureau.chain.tip.time_ms)

        async with bureau.client() as client:
            content = {"jsonrpc": "2.0", "method": "broadcast_tx_commit", "params": [encoded]}
            asking = client.post("/rpc", json=content | {"id": 7})
            answer, _ = await asyncio.gather(asking, grown())
            return answer.json()["result"]

    told = asyncio.run(both())
    assert (told["height"], told["tx_result"]["code"]) == (str(bureau.chain.tip.height), 0)
    found = result(bureau, "tx", {"hash": enrolment.id.hex()})
    assert transaction_id(base64.b64decode(found["tx"])) == enrolment.id


def test_besus_names_tell_validators_and_their_blocks(bureau: Bureau) -> None:
    (address,) = result(bureau, "qbft_getValidatorsByBlockNumber", ["latest"])
    assert address == f"0x{newest_address(bureau).lower()}"
    assert result(bureau, "qbft_getValidatorsByBlockNumber", ["0x1"]) == [address]
    digest = ask(bureau, "/api/v1/blocks/1").json()["digest"]
    assert result(bureau, "qbft_getValidatorsByBlockHash", [f"0x{digest}"]) == [address]
    (row,) = result(bureau, "qbft_getSignerMetrics", ["0x2", "0x4"])
    assert row == {
        "address": address,
        "proposedBlockCount": "0x3",
        "lastProposedBlockNumber": "0x4",
    }
    assert result(bureau, "qbft_getPendingVotes") == {}
    assert fault(bureau, "qbft_proposeValidatorVote", [address, True]) == -32000
    for wrong in ("0x0", "0x99", "1", 1, None, "0xzz", "0x" + "f" * 40):
        assert fault(bureau, "qbft_getValidatorsByBlockNumber", [wrong]) == -32602


def test_the_api_writes_no_number_that_json_has_not() -> None:
    """Where a NaN came to be by a mistake, its page fails; nobody's reader does."""
    written = [
        line
        for path in Path(rpc.__file__).parent.glob("*.py")
        for line in path.read_text().splitlines()
        if "json.dumps(" in line
    ]
    assert len(written) >= 4
    assert [line for line in written if "allow_nan=False" not in line] == []
