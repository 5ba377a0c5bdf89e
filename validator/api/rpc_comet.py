"""CometBFT's verbs over this ledger, for tools that know them.

Shapes are CometBFT's as far as there is something to put in: heights and other 64-bit numbers are
decimal text, hashes upper-case hexadecimal, a validator's power is 1; `app_hash` is this block's
state root, not the one before. `tx` names a transaction by its id here. What has no meaning is
absent: events of transactions, mempool peers, subscriptions (`/api/v1/events` instead).
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from validator.api import rest
from validator.api.problems import Fault
from validator.api.registry import registered
from validator.api.rpc_fault import INVALID_PARAMS, RpcFault, digest, height_of, integer, octets
from validator.api.sources import Sources, address
from validator.api.transactions import Office, described
from validator.node.ledger_view import Outline
from wire.block import Commit, ValidatorSet

VERSION = "1"
MOST_BLOCKS = 20
"""Of one `blockchain` call, as CometBFT has it."""

COMMIT_S = 20.0
"""For so long `broadcast_tx_commit` waits for a block."""

_LOOK_S = 0.1


def methods(sources: Sources, office: Office) -> dict[str, Callable[..., Awaitable[Any]]]:
    """All verbs, by name."""
    groups = (
        _NodeVerbs(sources),
        _BlockVerbs(sources),
        _TransactionVerbs(sources, office),
        _ApplicationVerbs(sources),
    )
    return {name: getattr(group, name) for group in groups for name in dir(group) if name[0] != "_"}


class _NodeVerbs:
    """About the validator."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def health(self) -> dict[str, Any]:
        if self._sources.halted():
            raise RpcFault(-32_603, self._sources.halted())
        return {}

    async def status(self) -> dict[str, Any]:
        live = self._sources.live()
        own = self._sources.members(self._sources.height + 1).key(self._sources.id)
        return {
            "node_info": {
                "id": self._sources.id,
                "network": self._sources.genesis.topic_name,
                "moniker": self._sources.id,
                "version": VERSION,
            },
            "sync_info": {
                "latest_block_hash": live["digest"].upper(),
                "latest_app_hash": live["state_root"].upper(),
                "latest_block_height": str(live["height"]),
                "latest_block_time": _time(live["time_ms"]),
                "catching_up": live["target"] > live["height"],
            },
            "validator_info": None if own is None else _member(self._sources.id, own),
        }

    async def net_info(self) -> dict[str, Any]:
        peers = self._sources.live()["peers"]
        rows = [{"node_info": {"id": each, "moniker": each}} for each in peers]
        return {"listening": True, "n_peers": str(len(peers)), "peers": rows}

    async def consensus_state(self) -> dict[str, Any]:
        live = self._sources.live()
        agreement = live["agreement"]
        return {
            "round_state": {
                "height/round/step": f"{agreement['height']}/{live['round']}/",
                "proposer": {"name": live["leader"]},
                "votes": agreement["validators"],
                "hindrance": agreement["hindrance"],
            }
        }

    async def genesis(self) -> dict[str, Any]:
        return {"genesis": json.loads(self._sources.genesis_file)}

    async def consensus_params(self, height: Any = None) -> dict[str, Any]:
        found = height_of(self._sources, height)
        values = dict(self._sources.ruling.table(found).values)
        return {"block_height": str(found), "consensus_params": values}


class _BlockVerbs:
    """About blocks."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def block(self, height: Any = None) -> dict[str, Any]:
        return _block(self._sources, height_of(self._sources, height))

    async def block_by_hash(self, hash: Any) -> dict[str, Any]:  # noqa: A002 - CometBFT's name.
        height = self._sources.ledger.height_of(digest(hash, "hash"))
        if height is None:
            raise RpcFault(INVALID_PARAMS, "hash: no final block has it")
        return _block(self._sources, height)

    async def header(self, height: Any = None) -> dict[str, Any]:
        return {
            "header": _header(
                self._sources, _outline(self._sources, height_of(self._sources, height))
            )
        }

    async def blockchain(self, minHeight: Any = None, maxHeight: Any = None) -> dict[str, Any]:  # noqa: N803
        newest = self._sources.height
        last = min(newest, integer(maxHeight, "maxHeight") if maxHeight else newest)
        first = max(1, integer(minHeight, "minHeight") if minHeight else 1, last - MOST_BLOCKS + 1)
        if first > last and newest:
            raise RpcFault(INVALID_PARAMS, "minHeight is above maxHeight")
        found = self._sources.ledger.outlines(last + 1, last - first + 1)
        metas = [{**_id(each), "header": _header(self._sources, each)} for each in found]
        return {"last_height": str(newest), "block_metas": metas}

    async def commit(self, height: Any = None) -> dict[str, Any]:
        found = height_of(self._sources, height)
        outline, after = _outline(self._sources, found), self._sources.ledger.outline(found + 1)
        canonical = None if after is None else after.parent_commit
        sealed = _commit(self._sources, found, canonical or outline.commit)
        signed = {"header": _header(self._sources, outline), "commit": sealed}
        return {"signed_header": signed, "canonical": canonical is not None}

    async def block_results(self, height: Any = None) -> dict[str, Any]:
        found = height_of(self._sources, height)
        results = [{"data": _base64(each)} for each in self._sources.ledger.tx_results(found)]
        seals = [_base64(each) for each in self._sources.ledger.seals_at(found)]
        return {"height": str(found), "txs_results": results, "zone_seals": seals}

    async def validators(
        self, height: Any = None, page: Any = 1, per_page: Any = 30
    ) -> dict[str, Any]:
        found = integer(height, "height") if height else self._sources.height + 1
        size = max(1, integer(per_page, "per_page", 100))
        start = max(0, integer(page, "page", 10_000) - 1) * size
        rows = _members(self._sources.members(found))
        shown = rows[start : start + size]
        return {
            "block_height": str(found),
            "validators": shown,
            "count": str(len(shown)),
            "total": str(len(rows)),
        }


class _TransactionVerbs:
    """About transactions."""

    def __init__(self, sources: Sources, office: Office) -> None:
        self._sources = sources
        self._office = office

    async def broadcast_tx_sync(self, tx: Any) -> dict[str, Any]:
        try:
            taken = await self._office.submit(octets(tx, "tx"))
        except Fault as fault:
            if fault.status != 422:
                raise
            told = fault.problem
            return {"code": told["code"], "log": told["words"], "hash": "", "data": ""}
        return {"code": 0, "log": "waiting", "hash": taken.id.hex().upper(), "data": ""}

    async def broadcast_tx_commit(self, tx: Any) -> dict[str, Any]:
        taken = await self.broadcast_tx_sync(tx)
        if taken["code"]:
            return {"check_tx": taken, "tx_result": None, "hash": "", "height": "0"}
        name = bytes.fromhex(taken["hash"])
        for _ in range(round(COMMIT_S / _LOOK_S)):
            found = described(self._sources, name)
            if found.status != "waiting":
                result = {"code": found.code, "log": found.words}
                height = str(found.height or 0)
                return {
                    "check_tx": taken,
                    "tx_result": result,
                    "hash": taken["hash"],
                    "height": height,
                }
            await asyncio.sleep(_LOOK_S)
        raise RpcFault(-32_603, f"no block had it within {COMMIT_S:.0f} s; ask tx later")

    async def tx(self, hash: Any, prove: Any = False) -> dict[str, Any]:  # noqa: A002 - CometBFT's name.
        found = described(self._sources, digest(hash, "hash"))
        if found.height is None or found.transaction is None or found.result is None:
            raise RpcFault(-32_603, f"it is {found.status}: in no block")
        return {
            "hash": found.id.upper(),
            "height": str(found.height),
            "index": found.position,
            "tx": _base64(bytes.fromhex(found.transaction)),
            "tx_result": {"code": found.code, "log": found.words, "data": found.result},
        }

    async def num_unconfirmed_txs(self) -> dict[str, Any]:
        count = str(self._sources.live()["mempool"])
        return {"n_txs": count, "total": count}


class _ApplicationVerbs:
    """About the application."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def abci_info(self) -> dict[str, Any]:
        state = self._sources.application.state
        return {
            "response": {
                "data": "gridwitness",
                "version": VERSION,
                "last_block_height": str(state.height),
                "last_block_app_hash": _base64(state.root),
            }
        }

    async def abci_query(
        self, path: Any, data: Any = "", height: Any = None, prove: Any = False
    ) -> dict[str, Any]:
        if not isinstance(path, str):
            raise RpcFault(INVALID_PARAMS, "path: text, /meters/ID, /zones/ID or /parameters")
        value = _queried(self._sources, path)
        found = value is not None
        return {
            "response": {
                "code": 0 if found else 1,
                "log": "" if found else "nothing is registered there",
                "key": _base64(path.encode("utf-8", "replace")),
                "value": _base64(json.dumps(value, allow_nan=False).encode()) if found else "",
                "height": str(self._sources.height),
            }
        }


def _queried(sources: Sources, path: str) -> Any:
    match path.strip("/").split("/"):
        case ["meters", meter]:
            return registered(sources.application.registries, meter)
        case ["zones", zone]:
            return sources.registry.written["zones"].get(zone)
        case ["parameters"]:
            return dict(sources.ruling.table(sources.height + 1).values)
    raise RpcFault(INVALID_PARAMS, "path: /meters/ID, /zones/ID or /parameters")


def _outline(sources: Sources, height: int) -> Outline:
    found = sources.ledger.outline(height)
    assert found is not None
    return found


def _block(sources: Sources, height: int) -> dict[str, Any]:
    outline = _outline(sources, height)
    last = outline.parent_commit
    content = {
        "header": _header(sources, outline),
        "data": {"txs": [_base64(each) for each in outline.transactions]},
        "evidence": {"evidence": [_base64(each) for each in outline.evidence]},
        "last_commit": None if last is None else _commit(sources, height - 1, last),
    }
    return {**_id(outline), "block": content, "summary": rest.short(sources, outline)}


def _id(outline: Outline) -> dict[str, Any]:
    return {"block_id": {"hash": outline.digest.hex().upper()}}


def _header(sources: Sources, outline: Outline) -> dict[str, Any]:
    header = outline.header
    return {
        "version": {"block": str(header.version), "app": VERSION},
        "chain_id": sources.genesis.topic_name,
        "height": str(header.height),
        "time": _time(header.time_ms),
        "last_block_id": {"hash": header.parent.hex().upper()},
        "last_commit_hash": header.parent_commit_hash.hex().upper(),
        "data_hash": header.tx_root.hex().upper(),
        "validators_hash": header.validators_hash.hex().upper(),
        "next_validators_hash": header.next_validators_hash.hex().upper(),
        "consensus_hash": header.params_hash.hex().upper(),
        "app_hash": header.state_root.hex().upper(),
        "last_results_hash": header.results_root.hex().upper(),
        "evidence_hash": header.evidence_hash.hex().upper(),
        "zone_root": header.zone_root.hex().upper(),
        "proposer_address": _address(sources.members(header.height), header.proposer),
        "proposer": header.proposer,
    }


def _commit(sources: Sources, height: int, commit: Commit) -> dict[str, Any]:
    members = sources.members(height)
    return {
        "height": str(height),
        "round": commit.round,
        "block_id": {"hash": commit.digest.hex().upper()},
        "signatures": [
            {
                "validator_address": _address(members, members.ids[index]),
                "validator": members.ids[index],
                "signature": _base64(signature),
            }
            for index, signature in commit.seals
            if index < len(members)
        ],
    }


def _address(members: ValidatorSet, name: str) -> str:
    public = members.key(name)
    return "" if public is None else address(public).upper()


def _members(members: ValidatorSet) -> list[Mapping[str, Any]]:
    return [_member(name, public) for name, public in members.members]


def _member(name: str, public: Any) -> dict[str, Any]:
    return {
        "address": address(public).upper(),
        "name": name,
        "pub_key": {"type": public.text.partition(":")[0], "value": _base64(public.raw)},
        "voting_power": "1",
    }


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
