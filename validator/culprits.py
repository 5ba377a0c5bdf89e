"""Ledgers of one network that disagree: from which height on, and whose signatures prove why.

Up to f Byzantine validators it cannot happen. Above that, operators lay the ledgers of their
validators together: seals of both blocks, late seals that the next ones carry, and what justified
values in later rounds. Decides whom to read and what to say; what contradicts what is decided in
`consensus.forensics`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validator.app.application import Application
from validator.consensus.forensics import Verdict, examine
from validator.consensus.messages import Commit as CommitVote
from validator.consensus.messages import Message, encode_message, open_message
from validator.node.ledger_view import LedgerView
from validator.node.store import Store
from wire.block import Commit, ValidatorSet, verify_commit
from wire.errors import Refused, WrongUsage
from wire.genesis import Genesis


class NotComparable(WrongUsage):
    """Something that is no ledger of this network, or too few of them."""

    code = "not-comparable"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two or more blocks at one height."""

    height: int
    """The first such height."""

    blocks: tuple[tuple[str, int], ...]
    """Of each ledger: digest of its block, in hex, and the round in which it became final."""

    verdict: Verdict
    """Who has contradicted himself there."""


def words(found: Disagreement | None, paths: Sequence[Path]) -> list[str]:
    """For people."""
    if found is None:
        return [f"these {len(paths)} ledgers agree, as far as two of them reach"]
    said = [f"at height {found.height} there is more than one block"]
    for path, (digest, number) in zip(paths, found.blocks, strict=True):
        said.append(
            f"  {path}: {digest[:16]}, final in round {number}" if digest else f"  {path}: none"
        )
    said += [f"{each.sender}: {each.kind}" for each in found.verdict.evidence]
    if not found.verdict.evidence:
        said.append("these ledgers prove nothing against anybody: add those of other validators")
    return said


def report(found: Disagreement | None) -> dict[str, Any]:
    """For scripts; anybody can open the evidence."""
    if found is None:
        return {"disagree": False}
    return {
        "disagree": True,
        "height": found.height,
        "blocks": [{"digest": digest, "round": number} for digest, number in found.blocks],
        "culprits": sorted(found.verdict.culprits),
        "evidence": [
            {"validator": each.sender, "kind": each.kind, "encoded": each.encoded.hex()}
            for each in found.verdict.evidence
        ],
    }


def compare(genesis: Genesis, paths: Sequence[Path]) -> Disagreement | None:
    """The first height at which ledgers differ, and what they prove; None when they agree.

    Raises:
        NotComparable: fewer than two, a file that is not there, or no ledger of this network.
        Refused: what a ledger holds does not stand.
    """
    if len(set(map(Path.resolve, paths))) < 2:
        raise NotComparable(
            "one ledger has nothing to disagree with: name those of two validators or more"
        )
    for path in paths:
        _check(path, genesis)
    views = [LedgerView(path) for path in paths]
    try:
        height = _first_difference(views)
        if height is None:
            return None
        application = Application(genesis)
        application.restore(views[0].state_rows())
        members = application.ruling.validators(height)
        transcripts = [list(_transcript(view, height, members, genesis.network)) for view in views]
        blocks = []
        for view in views:
            stored = view.block(height)
            blocks.append(("", 0) if stored is None else _named(stored.commit))
        return Disagreement(height, tuple(blocks), examine(transcripts, members))
    finally:
        for view in views:
            view.close()


def _check(path: Path, genesis: Genesis) -> None:
    """Whether a file is a ledger of this network; raises NotComparable."""
    if not path.is_file():
        raise NotComparable(f"there is no ledger {path}: name a validator's ledger.sqlite")
    no_ledger = f"{path} is no ledger: name a validator's ledger.sqlite, or a backup of one"
    try:
        view = LedgerView(path)
    except sqlite3.Error:
        raise NotComparable(no_ledger) from None
    try:
        first = view.block(1)
    except (sqlite3.Error, Refused):
        raise NotComparable(no_ledger) from None
    finally:
        view.close()
    if first is not None and first.block.content.network != genesis.network:
        raise NotComparable(f"{path} is a ledger of another network than {genesis.topic_name}")


def _named(commit: Commit) -> tuple[str, int]:
    return commit.digest.hex(), commit.round


def _digests(views: Sequence[Store], height: int) -> set[bytes]:
    stored = (view.block(height) for view in views)
    return {each.block.digest for each in stored if each is not None}


def _first_difference(views: Sequence[Store]) -> int | None:
    """Blocks name their parents: what differs at one height differs at all later ones."""
    heights = sorted(view.height for view in views)
    last = heights[-2] if len(heights) > 1 else 0
    if last == 0 or len(_digests(views, last)) < 2:
        return None
    same, differs = 0, last
    while differs - same > 1:
        middle = (same + differs) // 2
        if len(_digests(views, middle)) < 2:
            same = middle
        else:
            differs = middle
    return differs


def _transcript(
    view: Store, height: int, members: ValidatorSet, network: bytes
) -> Iterator[Message]:
    """What a ledger holds of one height's agreement; raises Refused when it does not stand."""
    stored = view.block(height)
    if stored is None:
        return
    verify_commit(stored.commit, members, network, height)
    following = [commit for _, commit in view.headers(height + 1, height + 1)]
    for commit in (stored.commit, *following):
        for index, signature in commit.seals:
            if index >= len(members):
                raise Refused(f"a seal of validator {index}; there are only {len(members)}")
            name = members.ids[index]
            vote = CommitVote(height, commit.round, name, commit.digest, signature)
            yield open_message(encode_message(vote), network, members)
    for data in view.justifications(height):
        yield open_message(data, network, members)
