"""What justifies a proposal after round 0, and a claim to have seen a value prepared.

Pure checks over messages whose signatures stand. Signers are counted, never messages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from validator.consensus.messages import Prepare, PreparedCertificate, Proposal, RoundChange
from wire.errors import Refused


class Unjustified(Refused):
    """A proposal or claim that the attached messages do not support."""

    code = "unjustified"


@dataclass(frozen=True, slots=True)
class Committee:
    """Who decides one height."""

    height: int
    """Block height."""

    leaders: tuple[str, ...]
    """Leaders of rounds 0, 1, …; the list repeats."""

    quorum: int
    """q distinct signers decide."""

    faulty: int
    """f signers may lie."""


def quorum_prepared(
    prepares: Iterable[Prepare], height: int, round_number: int, digest: bytes, quorum: int
) -> bool:
    """Whether q distinct senders prepared this value, and nothing else is attached."""
    senders = set()
    for prepare in prepares:
        if (prepare.height, prepare.round, prepare.digest) != (height, round_number, digest):
            return False
        senders.add(prepare.sender)
    return len(senders) >= quorum


def check_claim(change: RoundChange, committee: Committee) -> None:
    """Raise Unjustified when a ROUND-CHANGE's claim is not proved by its PREPAREs (rule R8)."""
    if change.prepared_round is None or change.prepared_digest is None:
        if change.prepares:
            raise Unjustified("PREPAREs without a claim")
        return
    if change.prepared_round >= change.round:
        raise Unjustified("a claim that is not older than the round")
    if not quorum_prepared(
        change.prepares,
        change.height,
        change.prepared_round,
        change.prepared_digest,
        committee.quorum,
    ):
        raise Unjustified("the claim is not proved by a quorum of PREPAREs")


def newest_claim(changes: Sequence[RoundChange]) -> RoundChange | None:
    """The ROUND-CHANGE that claims the newest prepared value; None when none claims any."""
    claims = [change for change in changes if change.prepared_round is not None]
    return max(claims, key=lambda change: change.prepared_round or 0, default=None)


def check_proposal(proposal: Proposal, committee: Committee) -> bool:
    """Return whether a proposal is a new value; False when it repeats a prepared one.

    Raises:
        Unjustified: by its attachments it may not be proposed.
    """
    changes = proposal.round_changes
    if proposal.round == 0:
        if changes or proposal.prepares:
            raise Unjustified("a proposal of round 0 has no attachments")
        return True
    for change in changes:
        if (change.height, change.round) != (proposal.height, proposal.round):
            raise Unjustified("a ROUND-CHANGE for another round")
        if change.prepared_round is not None and change.prepared_round >= change.round:
            raise Unjustified("a claim that is not older than the round")
    if len({change.sender for change in changes}) < committee.quorum:
        raise Unjustified("fewer than a quorum of ROUND-CHANGEs")
    return _check_value(proposal, committee)


def _check_value(proposal: Proposal, committee: Committee) -> bool:
    newest = newest_claim(proposal.round_changes)
    if newest is None or newest.prepared_round is None:
        if proposal.prepares:
            raise Unjustified("PREPAREs where no value was prepared")
        return True
    rivals = {
        change.prepared_digest
        for change in proposal.round_changes
        if change.prepared_round == newest.prepared_round
    }
    if rivals != {proposal.digest}:
        raise Unjustified("another value than the newest prepared one")
    if not quorum_prepared(
        proposal.prepares,
        proposal.height,
        newest.prepared_round,
        proposal.digest,
        committee.quorum,
    ):
        raise Unjustified("the newest claim is not proved by a quorum of PREPAREs")
    return False


def certificate_of(prepares: Iterable[Prepare]) -> PreparedCertificate:
    """The certificate of a quorum's PREPAREs, one of each sender, ordered by sender."""
    by_sender = {prepare.sender: prepare for prepare in prepares}
    return PreparedCertificate(tuple(by_sender[sender] for sender in sorted(by_sender)))
