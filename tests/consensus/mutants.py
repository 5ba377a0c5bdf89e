"""The bugs put back, one by one: each must be killed by its history in `nineteen.py`."""

from hsm import signstate
from tests.consensus.mutation import Edit, Mutant
from tests.consensus.nineteen import BUGS
from validator.consensus import justification, messages, proposer
from validator.consensus.machine import Machine
from validator.consensus.timeouts import Timeouts
from validator.consensus.votes import Ballots, RoundChanges, Spoken


def one(bug: int, name: str, owner: object, function: str, instead_of: str, now: str) -> Mutant:
    """A mutant of a single edit."""
    return Mutant(bug, name, (Edit(owner, function, instead_of, now),))


DELAY_IN_FLOATS = """
def round_ms(self, round_number):
    delay = int(self.base_ms * 2.0 ** min(round_number, 900))
    return min(self.cap_ms, (delay + 2**63) % 2**64 - 2**63)
"""

MUTANTS = (
    one(1, "a locked validator prepares nothing else", Machine, "_try_accept",
        "self._accepted = proposal.digest",
        "if self.certificate and self.certificate.digest != proposal.digest:\n"
        "        return None\n"
        "    self._accepted = proposal.digest"),
    one(2, "one's own COMMIT counts on accepting", Machine, "_try_accept",
        "self._accepted = proposal.digest",
        "self._accepted = proposal.digest\n"
        "    self._commits.add(Commit(self.height, self.round, self.me, proposal.digest))"),
    one(2, "a final height goes on", Machine, "step", "if not self.finished:", "if True:"),
    one(3, "PREPAREs of a certificate are counted, not their senders", justification,
        "quorum_prepared", "senders.add(prepare.sender)", "senders.add(len(senders))"),
    one(3, "votes are counted, not voters", Ballots, "add",
        "rounds = self._by_sender.setdefault(vote.sender, {})",
        "rounds = self._by_sender.setdefault(str(len(self._by_sender)), {})"),
    one(4, "the round's time runs from the height's beginning", Machine, "restore",
        "if said:", "if True:"),
    one(5, "the digest says the round", Machine, "_propose",
        "bare = tuple(",
        "digest = digest[:-1] + bytes([self.round])\n    bare = tuple("),
    one(5, "what is proposed again is checked as new", Machine, "_try_accept",
        "new = check_proposal(proposal, self._committee)",
        "new = check_proposal(proposal, self._committee) or True"),
    one(6, "a ROUND-CHANGE without a claim spoils the others' proof", justification,
        "_check_value", "if change.prepared_round == newest.prepared_round", "if True"),
    one(7, "no skip", Machine, "_on_round_change",
        "if len(higher) > self._committee.faulty:", "if False:"),
    one(8, "2^r without a cap", Timeouts, "round_ms", "",
        "def round_ms(self, round_number):\n    return self.base_ms << round_number\n"),
    one(9, "2^r in floats, in 64 bits", Timeouts, "round_ms", "", DELAY_IN_FLOATS),
    one(10, "each times its rounds alone", Machine, "_try_time",
        "if self.round == 0 or", "if True or"),
    one(11, "the timer starts again on a proposal", Machine, "_try_accept",
        "self._accepted = proposal.digest",
        "self._accepted = proposal.digest\n    self._start_timers()"),
    one(12, "all rounds of a sender are kept", Ballots, "add",
        "if len(rounds) > KEPT_ROUNDS:", "if False:"),
    one(12, "all ROUND-CHANGEs of a sender are kept", RoundChanges, "add",
        "self._by_sender[change.sender] = change",
        "self._by_sender[change.sender + str(change.round)] = change"),
    one(13, "a restart is silent until it hears something", Machine, "restore",
        "self._resend()", "pass"),
    one(13, "a restart times nothing", Machine, "restore", "self._start_timers()", "pass"),
    one(14, "a restart forgets its votes", Machine, "restore",
        "for message, certificate in said:", "for message, certificate in ():"),
    one(14, "a restart forgets its certificate", Machine, "restore",
        "if certificate is not None:", "if False:"),
    one(14, "the folder of the sign-state is not synced", signstate.SignState, "__init__",
        "sync_folder(path.parent)", "pass"),
    one(14, "the key signs before the slot is kept", signstate.VoteSigner, "sign",
        "signature = self._state.claim_vote(slot)",
        "signature = self._signer.sign(message)\n    self._state.claim_vote(slot)"),
    Mutant(15, "the last proposal of a round counts", (
        Edit(Ballots, "add", "if vote.round in rounds:", "if vote.kind != 'proposal' and"
             " vote.round in rounds:"),
        Edit(Machine, "_try_accept", "if self._accepted is not None or not self._entered:",
             "if not self._entered:"),
        Edit(Spoken, "take", "if self.taken(message.kind, message.round):", "if False:"),
    )),
    one(15, "a refused value is prepared", Machine, "_try_accept",
        "if new and not valid:", "if False:"),
    one(16, "nothing counts before the block timer", Machine, "_on_message",
        "or self.finished:", "or self.finished or not self._entered:"),
    one(17, "no health skip", proposer, "order",
        "last = ineligible(validators, history)", "last = frozenset()"),
    one(18, "a claim is not signed", messages.RoundChange, "signed_bytes",
        "cbor.encode(self.claim)", "b''"),
    one(18, "the network is not signed", messages, "_tagged",
        "return tag + network +", "return tag +"),
    one(18, "a proposal's body is kept as it came", Machine, "_on_proposal",
        "self._examine(",
        "self._bodies.keep(proposal.digest, proposal.block)\n    self._examine("),
    one(19, "ROUND-CHANGEs are counted, not their senders", justification, "check_proposal",
        "len({change.sender for change in changes})", "len(changes)"),
    one(19, "f pull along", Machine, "_on_round_change",
        "if len(higher) > self._committee.faulty:", "if len(higher) >= self._committee.faulty:"),
)  # fmt: skip


def rows() -> list[str]:
    """The table of docs/CONSENSUS.md: each bug, its history, and what it is put back as."""
    lines = []
    for bug in BUGS:
        histories = ", ".join(f"`{history.__name__}`" for history in bug.histories)
        names = "; ".join(mutant.name for mutant in MUTANTS if mutant.bug == bug.number)
        cells = (str(bug.number), bug.title, bug.source, bug.rule, histories, names)
        lines.append(f"| {' | '.join(cells)} |")
    return lines
