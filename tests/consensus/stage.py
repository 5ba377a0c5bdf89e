"""Four machines on a stage: a script says what happens, each event and effect is one line.

A script is a text file of scenes, each a few commands, `----`, and what was seen. Commands:

    begin NAMES             their block timers run out
    timeout NAMES           their round timers, which must be running, run out
    resend NAMES            their resend timers run out
    deliver [FILTERS]       messages under way arrive, and those that follow, in order
    lose [FILTERS]          messages under way are lost
    crash NAME              it stops; what arrives is lost
    restart NAME            it comes back with what its key has signed
    forge NAME KIND ROUND VALUE [to=NAMES] [body=WORD]
                            it signs something that its machine did not say; with `body` a proposal
                            carries other bytes than its digest says
    forge NAME claim ROUND VALUE@PREPARED [to=NAMES]
                            it claims a value to be prepared and proves nothing
    withhold VALUE          who asks for this block gets no answer
    hand NAME VALUE         it gets the block after all
    parent NAME [silent=NAMES] [failed=NAMES]
                            the height begins anew after a block of NAME, and a history in which
                            some have sealed nothing, or twice did not propose
    alone NAME              the height begins anew with a set of one
    sync NAME from=NAME [seals=NAMES]
                            it is given the other's final block, with these seals of it
    next NAME               whose seals of this block its next one would carry

NAMES are letters: `abc`. FILTERS are any of `from=NAMES`, `to=NAMES`, `kind=KIND`; messages that
follow obey the same filters.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.consensus.hand import (
    HEIGHT,
    NAMES,
    NETWORK,
    VALIDATORS,
    change,
    commit,
    prepare,
    signed,
    value,
)
from tests.consensus.hand import proposal as propose
from validator.consensus import effects as do
from validator.consensus.machine import Machine
from validator.consensus.messages import Commit as CommitVote
from validator.consensus.messages import Message, PreparedCertificate, Proposal, RoundChange
from validator.consensus.proposer import Decided, order, window
from validator.consensus.timeouts import Timeouts
from validator.node.seals import with_late_seals
from wire.block import Commit, ValidatorSet, verify_commit
from wire.errors import Refused

FENCE = "----"


@dataclass
class Stage:
    """The actors, what is under way between them, and what was seen."""

    machines: dict[str, Machine] = field(default_factory=dict)
    timed: dict[str, int] = field(default_factory=dict)
    signed: dict[str, list[tuple[Message, PreparedCertificate | None]]] = field(
        default_factory=lambda: {name: [] for name in NAMES}
    )
    under_way: list[tuple[str, Message]] = field(default_factory=list)
    values: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    final: dict[str, do.Commit] = field(default_factory=dict)
    late: dict[str, list[CommitVote]] = field(default_factory=lambda: {name: [] for name in NAMES})
    validators: ValidatorSet = VALIDATORS
    leaders: tuple[str, ...] = NAMES
    seen: list[str] = field(default_factory=list)

    def play(self, command: str) -> None:
        verb, *rest = command.split()
        plain = [word for word in rest if "=" not in word]
        filters = dict(word.split("=") for word in rest if "=" in word)
        deeds: dict[str, Callable[[], None]] = {
            "begin": lambda: self._each(plain[0], lambda name: do.BlockTimer(HEIGHT)),
            "timeout": lambda: self._each(plain[0], self._round_timer),
            "resend": lambda: self._each(plain[0], self._resend_timer),
            "deliver": lambda: self._all(filters, self._deliver),
            "lose": lambda: self._all(filters, self._lose),
            "crash": lambda: self._crash(plain[0]),
            "restart": lambda: self._start(plain[0]),
            "forge": lambda: self._forge(*plain, filters=filters),
            "withhold": lambda: self.withheld.add(plain[0]),
            "hand": lambda: self._hand(*plain),
            "parent": lambda: self._after(plain[0], filters),
            "alone": lambda: self._alone(plain[0]),
            "sync": lambda: self._sync(plain[0], filters["from"], filters.get("seals", "abcd")),
            "next": lambda: self._next_block(plain[0]),
        }
        deeds[verb]()

    def _crash(self, name: str) -> None:
        del self.machines[name]
        self.timed.pop(name, None)

    def _start(self, name: str) -> None:
        timeouts = Timeouts(1_000, 8_000)
        machine = Machine(name, HEIGHT, self.validators, self.leaders, timeouts)
        self.machines[name] = machine
        self._show(name, machine.restore(self.signed[name]))

    def _after(self, parent: str, filters: dict[str, str]) -> None:
        silent, failed = filters.get("silent", ""), tuple(filters.get("failed", ""))
        members = frozenset(NAMES)
        decided = Decided(parent, failed, members - set(silent), members)
        self.leaders = order(VALIDATORS, parent, [decided] * window(VALIDATORS))
        self.seen.append(f"leaders: {' '.join(self.leaders)}")
        for name in NAMES:
            self._start(name)

    def _alone(self, name: str) -> None:
        self.validators = ValidatorSet(
            tuple(each for each in VALIDATORS.members if each[0] == name)
        )
        self.leaders = (name,)
        self.machines.clear()
        self._start(name)

    def _sync(self, name: str, source: str, names: str) -> None:
        """R11, as the driver does it."""
        final = self.final[source].commit
        seals = tuple(each for each in final.seals if VALIDATORS.ids[each[0]] in names)
        sealers = "".join(VALIDATORS.ids[index] for index, _ in seals)
        what = f"{name} is given {self._value(final.digest)}, sealed by {sealers}"
        try:
            verify_commit(replace(final, seals=seals), VALIDATORS, NETWORK, HEIGHT)
        except Refused as reason:
            self.seen.append(f"{what}: refused, {reason}")
            return
        self.seen.append(f"{what}: it is final")
        self.machines[name].finished = True

    def _next_block(self, name: str) -> None:
        known = self.final[name].commit
        carried = Commit.decode(with_late_seals(known.encoded, VALIDATORS, self.late[name]))
        sealers = "".join(VALIDATORS.ids[index] for index, _ in carried.seals)
        self.seen.append(f"{name}'s next block carries the seals of {sealers}")

    def _hand(self, name: str, words: str) -> None:
        digest, block = value(words)
        self._give(name, do.BlockFetched(digest, block))

    def _resend_timer(self, name: str) -> do.Event:
        return do.Timeout(do.RESEND_TIMER, HEIGHT, self.machines[name].round)

    def _round_timer(self, name: str) -> do.Event:
        assert self.timed[name] == self.machines[name].round, "it waits for a quorum first"
        return do.Timeout(do.ROUND_TIMER, HEIGHT, self.timed[name])

    def _each(self, names: str, event_of: Callable[[str], do.Event]) -> None:
        for name in names:
            self._give(name, event_of(name))

    def _next(self, filters: dict[str, str]) -> tuple[str, Message] | None:
        for index, (to, message) in enumerate(self.under_way):
            if (
                to in filters.get("to", to)
                and message.sender in filters.get("from", message.sender)
                and message.kind == filters.get("kind", message.kind)
            ):
                return self.under_way.pop(index)
        return None

    def _all(self, filters: dict[str, str], deed: Callable[[str, Message], None]) -> None:
        while (found := self._next(filters)) is not None:
            deed(*found)

    def _lose(self, to: str, message: Message) -> None:
        self.seen.append(f"lost: {self._named(message)} to {to}")

    def _deliver(self, to: str, message: Message) -> None:
        if to not in self.machines:
            self.seen.append(f"lost: {self._named(message)} to {to}, who is down")
            return
        self.seen.append(f"{to} hears {self._named(message)}")
        if to in self.final and isinstance(message, CommitVote):
            self.late[to].append(message)
        self._give(to, do.Received(message))

    def _give(self, name: str, event: do.Event) -> None:
        self._show(name, self.machines[name].step(event))

    def _show(self, name: str, wanted: list[do.Effect]) -> None:
        for effect in wanted:
            words = self._words(effect)
            if words:
                self.seen.append(f"  {name} {words}")
            self._answer(name, effect)

    def _words(self, effect: do.Effect) -> str:
        match effect:
            case do.Trace(rule, words):
                return f"{rule}: {words}"
            case do.Speak(message):
                return f"says {self._named(message)}"
            case do.Resend(message):
                return f"says again {self._named(message)}"
            case do.SetTimer(do.ROUND_TIMER, _, _, delay_ms):
                return f"waits {delay_ms} ms"
            case do.Commit(digest, _, final):
                sealers = "".join(VALIDATORS.ids[index] for index, _ in final.seals)
                return f"COMMITS {self._value(digest)}, sealed by {sealers}"
            case do.Report(evidence):
                return f"reports {evidence.sender}: {evidence.kind}"
            case do.FetchBlock(digest, holders):
                return f"fetches {self._value(digest)} from {''.join(holders)}"
        return ""

    def _answer(self, name: str, effect: do.Effect) -> None:
        match effect:
            case do.Speak(message, known):
                spoken = signed(message)
                self.signed[name].append((spoken, known))
                self._send(spoken, "".join(NAMES))
                self._give(name, do.Spoken(spoken))
            case do.SetTimer(do.ROUND_TIMER, _, round_number, _):
                self.timed[name] = round_number
            case do.Resend(message):
                self._send(message, "".join(NAMES))
            case do.Commit():
                self.final[name] = effect
            case _:
                self._work(name, effect)

    def _work(self, name: str, effect: do.Effect) -> None:
        match effect:
            case do.BuildBlock(_, round_number):
                made = self._make(f"{name}{round_number}")
                self._give(name, do.BlockBuilt(round_number, *made))
            case do.CheckBlock(digest, block, _):
                self._give(name, do.BlockChecked(digest, self.values[digest][1] == block))
            case do.FetchBlock(digest, _):
                if self._value(digest) not in self.withheld:
                    self._give(name, do.BlockFetched(digest, self.values[digest][1]))

    def _send(self, message: Message, names: str) -> None:
        self.under_way += [(name, message) for name in names if name != message.sender]

    def _make(self, words: str) -> tuple[bytes, bytes]:
        digest, block = value(words)
        self.values[digest] = (words, block)
        return digest, block

    def _forge(
        self, name: str, kind: str, round_text: str, words: str, *, filters: dict[str, str]
    ) -> None:
        words, _, prepared = words.partition("@")
        number, made = int(round_text), self._make(words)
        offered = (made[0], filters["body"].encode()) if "body" in filters else made
        claimed = RoundChange(HEIGHT, number, name, int(prepared or 0), made[0])
        forged: dict[str, Message] = {
            "proposal": propose(name, number, offered),
            "prepare": prepare(name, number, made[0]),
            "commit": commit(name, number, made[0]),
            "round-change": change(name, number),
            "claim": signed(claimed),
        }
        self._send(forged[kind], filters.get("to", "".join(NAMES)))

    def _value(self, digest: bytes | None) -> str:
        return "nothing" if digest is None else self.values[digest][0]

    def _named(self, message: Message) -> str:
        start = f"{message.sender}'s {message.kind} {message.round}"
        if isinstance(message, RoundChange):
            return f"{start} ({self._value(message.prepared_digest)} prepared)"
        again = ", again" if isinstance(message, Proposal) and message.prepares else ""
        return f"{start} {self._value(message.digest)}{again}"


def perform(path: Path) -> str:
    """Play a script's commands; returns the script with what was seen now."""
    stage, scenes = Stage(), []
    for name in NAMES:
        stage._start(name)
    for scene in path.read_text().strip().split("\n\n"):
        told = scene.split(f"\n{FENCE}")[0]
        stage.seen.clear()
        for line in told.splitlines():
            if not line.startswith("#"):
                stage.play(line)
        comment = all(line.startswith("#") for line in told.splitlines())
        scenes.append(told if comment else "\n".join([told, FENCE, *stage.seen]))
    return "\n\n".join(scenes) + "\n"
