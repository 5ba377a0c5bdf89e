"""Whether a validator's key may vote, as far as only its surroundings can tell.

Decides two things. After every start the key waits until a quorum has been heard and the ledger is
level with what an honest one of them tells, so that a data folder from yesterday says nothing where
the key spoke yesterday. And a key that may have signed what its sign-state does not know (it was
restored, or final blocks carry seals that are not in it) follows and does not vote: first the
operator gives the word that no other instance can ever run, then q other validators tell their
heights, and it votes above H + 2, H being the highest height of those. What the key signed is kept
in the sign-state, which refuses the rest.

Why H + 2: an instance that had T final blocks may have voted at T + 1. Of the q that sealed T and
the q that tell their heights one is honest, and who seals T has T - 1: H + 2 is at least T + 1.
"""

from collections.abc import Callable, Collection, Iterable

import structlog

from hsm.signstate import Guard, SignState, VoteSigner
from validator.node.stored import StoredBlock
from wire.block import NO_COMMIT, Commit, ValidatorSet
from wire.errors import Unavailable
from wire.keys import Signer

MARGIN = 2
"""Heights above the highest that is told where the key may have voted before."""

RESTORED = "restored from a backup"
FORGOTTEN = "final blocks carry seals of this key that its sign-state does not know"

_log = structlog.get_logger()


class Held(Unavailable):
    """Nothing is signed before a quorum has been heard."""


class Fence:
    """Watches what the others tell and what is final."""

    def __init__(
        self,
        me: str,
        state: SignState,
        members: Callable[[int], ValidatorSet],
        tip: Callable[[], int],
        connected: Callable[[], Collection[str]],
    ) -> None:
        """Take what there is to watch.

        Args:
            me: the validator.
            state: its sign-state.
            members: the validators of a height.
            tip: height of the newest block.
            connected: validators that a link leads to now.
        """
        self._me = me
        self._state = state
        self._members = members
        self._tip = tip
        self._connected = connected
        self._told: dict[str, int] = {}
        self._guard = state.guard()
        self._level = False

    @property
    def heights(self) -> dict[str, int]:
        """What each validator has told of its newest block since the start."""
        return dict(self._told)

    def told(self, peer: str, height: int) -> None:
        """A validator tells its height."""
        self._told[peer] = height

    def final(self, blocks: Iterable[StoredBlock]) -> None:
        """Look for one's own seals in blocks that are final, before anything is said after them."""
        guard = self._guard
        if guard is not None and guard.above is None:
            return
        known = max(self._state.highest_vote(), 0 if guard is None else guard.above or 0)
        for stored in blocks:
            height = stored.block.content.height
            commits = [(height, stored.commit)]
            if stored.block.parent_commit != NO_COMMIT:
                commits.append((height - 1, Commit.decode(stored.block.parent_commit)))
            if any(each > known and self._is_in(each, commit) for each, commit in commits):
                self._set(Guard(FORGOTTEN, fenced=False, above=None))
                return

    def _is_in(self, height: int, commit: Commit) -> bool:
        place = self._members(height).index(self._me)
        return any(index == place for index, _ in commit.seals)

    def check(self) -> None:
        """Let the key sign, as far as this fence goes; raises Held."""
        if not self._level:
            self._level = self._has_heard()
        if not self._level:
            raise Held("waits for a quorum of validators to tell their heights, to draw level")
        if self._guard is not None and self._guard.fenced and self._guard.above is None:
            self._lift(self._guard)

    def _has_heard(self) -> bool:
        """Whether q - 1 others have spoken since the start, and an honest one tells no more."""
        members, tip = self._members(self._tip() + 1), self._tip()
        told = [self._told[name] for name in self._told if members.index(name) is not None]
        heights = sorted(told, reverse=True)
        if len(heights) < members.quorum - 1:
            return False
        return not heights or heights[min(members.faulty, len(heights) - 1)] <= tip

    def _lift(self, guard: Guard) -> None:
        """Vote again, above what the key may have signed, once q others are level or behind."""
        tip = self._tip()
        members = self._members(tip + 1)
        names = set(self._connected()) & self._told.keys() & set(members.ids) - {self._me}
        level = [name for name in names if self._told[name] <= tip]
        if len(level) >= min(members.quorum, len(members) - 1):
            self._set(Guard(guard.why, fenced=True, above=tip + MARGIN))

    def _set(self, guard: Guard) -> None:
        self._state.set_guard(guard)
        self._guard = guard
        _log.warning("guarded", why=guard.why, fenced=guard.fenced, above=guard.above)

    @property
    def words(self) -> str:
        """What keeps the key from voting now, and what to do; empty when nothing does."""
        guard, tip = self._guard, self._tip()
        if guard is None or (guard.above is not None and tip >= guard.above):
            return ""
        if guard.above is not None:
            return f"{guard.why}: it votes again above height {guard.above}"
        if guard.fenced:
            return f"{guard.why}: it votes again when it is level with a quorum of the others"
        return (
            f"{guard.why}: it follows and does not vote. When every other instance of this key is"
            " destroyed: stop it, gridwitness validator restore CONFIG --old-instance-is-destroyed,"
            " start it"
        )


class FencedSigner(VoteSigner):
    """Signs votes, each slot once, where the fence lets it."""

    def __init__(self, signer: Signer, state: SignState, fence: Fence) -> None:
        """Guard `signer` by both."""
        super().__init__(signer, state)
        self._fence = fence

    def sign(
        self, height: int, round_number: int, kind: str, message: bytes, attachment: bytes = b""
    ) -> bytes:
        """As a VoteSigner signs; raises Held as well, which is Unavailable."""
        self._fence.check()
        return super().sign(height, round_number, kind, message, attachment)
