"""What is done to validators, and what each fault must not lead to.

A fault begins, lasts and ends; when it has ended every validator runs and may be heard, so that
the chain must go on. What must not be meanwhile (a guarded key votes, a validator writes blocks on
a full disk) is noted as a failure.
"""

import random
import shutil
import signal
from collections.abc import Callable

from gridwitness.torment_ground import Ground
from hwsim.packet_switch import Weather

LONGEST_SKEW_S = 300
PATIENCE_S, STEP_S = 30.0, 0.2


class Torment:
    """Faults of processes, disks, clocks, and of links where there is a packet switch."""

    def __init__(self, ground: Ground, chance: random.Random, longest_s: float) -> None:
        """Take whom to torment, and for how long at most."""
        self.ground = ground
        self.chance = chance
        self.longest_s = longest_s
        self.failures: list[str] = []

    @property
    def faults(self) -> dict[str, Callable[[], str]]:
        """By name; each runs from beginning to end and says what it did."""
        return {
            "kill": self.kill,
            "kill-all": self.kill_all,
            "freeze": self.freeze,
            "disk": self.fill_disk,
            "clock": self.set_clock_wrong,
            "restore": self.restore,
            "old-copy": self.bring_back_an_old_copy,
            "partition": self.partition,
            "one-way": self.make_one_deaf,
            "delay": self.delay,
            "loss": self.lose,
        }

    def _some(self, most: int) -> list[str]:
        return sorted(self.chance.sample(self.ground.names, self.chance.randint(1, most)))

    def _a_while(self) -> float:
        return self.chance.uniform(0.5, self.longest_s)

    def kill(self) -> str:
        """Kill -9 of any number of validators, each at an instant of its own, one perhaps twice."""
        names = self._some(len(self.ground.names))
        for name in names:
            self.ground.watch(self.chance.uniform(0, 0.3))
            self.ground.kill(name)
        self.ground.watch(self._a_while())
        self.ground.start(*names)
        return f"killed {', '.join(names)}"

    def kill_all(self) -> str:
        """Kill -9 of everybody at one instant, as when the power fails."""
        for name in self.ground.names:
            self.ground.kill(name)
        self.ground.start()
        return "killed all at once"

    def freeze(self) -> str:
        """SIGSTOP, and later SIGCONT."""
        names = self._some(len(self.ground.names))
        for name in names:
            self.ground.signal(name, signal.SIGSTOP)
        seconds = self._a_while()
        self.ground.watch(seconds)
        for name in names:
            self.ground.signal(name, signal.SIGCONT)
        return f"froze {', '.join(names)} for {seconds:.1f} s"

    def fill_disk(self) -> str:
        """A disk is full; later there is room again."""
        names = self._some(self.ground.faulty)
        for name in names:
            self.ground.fill_disk(name)
        self.ground.watch(self.longest_s)
        before = self.ground.heights()
        self.ground.watch(2.0)
        after = self.ground.heights()
        for name in names:
            if after[name] > before[name]:
                self.failures.append(f"{name} writes blocks on a full disk")
            self.ground.make_room(name)
        return f"filled the disk of {', '.join(names)}"

    def set_clock_wrong(self) -> str:
        """Clocks of at most f validators are minutes off; they are mended with a restart."""
        names = self._some(self.ground.faulty)
        off = {name: self._skew_s() for name in names}
        for name in names:
            self.ground.set_clock(name, off[name] * 1000)
        self._goes_on(names, "beside a wrong clock")
        for name in names:
            self.ground.kill(name)
            self.ground.set_clock(name, 0)
        self.ground.start(*names)
        return "set clocks wrong by " + ", ".join(f"{off[name]:+} s" for name in names)

    def _while(self, weather: Weather, words: str) -> str:
        """Let the packets' weather be so for a while; only where there is a packet switch."""
        switch = self.ground.switch
        assert switch is not None, "links are tormented where there is a packet switch"
        seconds, lost = self._a_while() + 1.0, switch.lost
        switch.weather = weather
        self.ground.watch(seconds)
        switch.weather = Weather()
        return f"{words} for {seconds:.1f} s, {switch.lost - lost} packets lost"

    def partition(self) -> str:
        """The network falls apart: two groups that do not hear each other."""
        names = self._some(len(self.ground.names) - 1)
        cut = frozenset(map(self.ground.host, names))
        rest = frozenset(map(self.ground.host, self.ground.names)) - cut
        return self._while(Weather(groups=(cut, rest)), f"cut off {', '.join(names)}")

    def make_one_deaf(self) -> str:
        """One validator speaks and does not hear: links broken in one direction."""
        [name] = self.chance.sample(self.ground.names, 1)
        deaf = self.ground.host(name)
        others = [self.ground.host(each) for each in self.ground.names if each != name]
        return self._while(Weather(deaf=[(each, deaf) for each in others]), f"made {name} deaf")

    def delay(self) -> str:
        """Every packet is late, some more than others."""
        most_ms = self.chance.randint(50, 400)
        return self._while(Weather(delay_ms=(most_ms // 4, most_ms)), f"up to {most_ms} ms late")

    def lose(self) -> str:
        """Packets get lost."""
        permille = self.chance.randint(20, 200)
        return self._while(Weather(loss_permille=permille), f"lost {permille} of 1000 packets")

    def _skew_s(self) -> int:
        return self.chance.choice((-1, 1)) * self.chance.randint(5, LONGEST_SKEW_S)

    def _goes_on(self, without: list[str], where: str) -> None:
        """The others go on meanwhile: f of n may be as they like."""
        others = [name for name in self.ground.names if name not in without]
        before = max(self.ground.heights().values())
        self.ground.watch(max(4.0, self.longest_s))
        if min(self.ground.heights()[name] for name in others) <= before:
            self.failures.append(f"no block {where}")

    def restore(self) -> str:
        """A backup is put back beside a chain that went on; first without the word, then with."""
        [name] = self.chance.sample(self.ground.names, 1)
        ground, config = self.ground, str(self.ground.config(name))
        backup = ground.folder / "backup"
        backup.unlink(missing_ok=True)
        ground.command("validator", "backup", config, str(backup))
        ground.watch(self._a_while())
        ground.kill(name)
        ground.look()
        ground.put_data(name, None)
        ground.command("validator", "restore", config, str(backup))
        self._follows_in_silence(name)
        self._give_word(name)
        return f"restored {name} from a backup"

    def bring_back_an_old_copy(self) -> str:
        """A data folder of yesterday, sign-state and all, is copied back."""
        [name] = self.chance.sample(self.ground.names, 1)
        ground, copy = self.ground, self.ground.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        ground.kill(name)
        ground.look()
        shutil.copytree(ground.data(name), copy)
        ground.start(name)
        height = max(ground.heights().values())
        # A vote that is in no block yet could be forgotten unnoticed; a seal cannot.
        self._until(name, lambda: ground.has_sealed(name, height + 1), "seals after a restart")
        ground.kill(name)
        ground.look()
        ground.put_data(name, copy)
        self._follows_in_silence(name)
        self._give_word(name)
        return f"brought back an old copy of {name}'s data"

    def _has_voted(self, name: str, height: int) -> bool:
        return any(vote[0] == name and vote[1] >= height for vote in self.ground.votes)

    def _follows_in_silence(self, name: str) -> None:
        """It follows, is guarded, and signs nothing."""
        ground = self.ground
        voted = max(vote[1] for vote in ground.votes if vote[0] == name)
        ground.start(name)
        beyond = max(voted, *ground.heights().values()) + 2
        self._until(name, lambda: ground.heights()[name] >= beyond, "follows while it is guarded")
        self._until(name, lambda: ground.guard(name) is not None, "is guarded")
        guard = ground.guard(name)
        if guard is not None and guard[1]:
            self.failures.append(f"{name} is fenced without the operator's word")
        if self._has_voted(name, voted + 1):
            self.failures.append(f"{name} votes without the operator's word")

    def _give_word(self, name: str) -> None:
        """With the word it votes again, above what the old instance may have signed."""
        ground = self.ground
        ground.kill(name)
        word = "--old-instance-is-destroyed"
        ground.command("validator", "restore", str(ground.config(name)), word)
        ground.start(name)

        def lifted() -> bool:
            guard = ground.guard(name)
            return (
                guard is not None and guard[2] is not None and self._has_voted(name, guard[2] + 1)
            )

        self._until(name, lifted, "votes again with the operator's word")

    def _until(self, name: str, holds: Callable[[], bool], words: str) -> None:
        """Look on until it holds, within the bound."""
        for _ in range(int(PATIENCE_S / STEP_S)):
            if holds():
                return
            self.ground.watch(STEP_S)
        self.failures.append(f"not so within {PATIENCE_S:.0f} s: {name} {words}")
