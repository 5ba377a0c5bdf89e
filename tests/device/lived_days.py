# mypy: ignore-errors
"""Runs under MicroPython: days in the life of a meter, with every write to its flash on record.

Decides what happens in these days: short and long outages, intervals, covers that are opened and a
magnet, registers shown to somebody, sessions, acknowledgements, another configuration. Says at
which write each thing was committed, signed, counted or promised, for `days_of_cuts` to compare
with.
"""

import vfs

from meter import notes
from meter.log import PER_FILE, Log
from tests.device.meter_bench import decode
from tests.device.meter_parts import Element, FakeSigner, T, World, make_meter
from tests.device.nor_flash import RecordedFlash
from tests.device.steady_clock import Clock

BLOCKS = 64
LENGTH_S, LOOK_S = 900, 150
SHORT_OFF_S, LONG_OFF_S = 60, 1500
MWH_PER_MS = 3
FOLDERS = ("/flash/log", "/flash/events")
notes.PATH = "/flash/notes.json"
DAY_S = 86400
TOUCHED = (  # Cover, terminal cover, magnet: seconds of the day from and until which.
    (30000, 30750),
    (30300, 51000),
    (65100, 65250),
)
SHOWN = (20250, 45900, 75750)  # Seconds of the day when somebody asks what the registers show.
ANOTHER_S = T + 30 * 3600  # From then on the meter starts with another configuration.
CONFIGURATIONS = bytes(range(8)), bytes(range(1, 9))


class MarkedLog(Log):
    """Says when something was committed."""

    committed = None

    def append(self, sequence, record):
        super().append(sequence, record)
        if self.committed:
            self.committed(self)


class Life:
    """One time between power-up and power-down, on a flash."""

    def __init__(self, flash, world, signer, volatile):
        self._world = world
        vfs.mount(vfs.VfsLfs2(flash, progsize=256, readsize=256), "/flash")
        self.log, self.events = [MarkedLog(folder) for folder in FOLDERS]
        self.meter = make_meter(
            "/flash",
            signer,
            lambda *known: Clock(world),
            Element(world, volatile),
            self.log,
            self.events,
            configuration_id=CONFIGURATIONS[world.true_ms // 1000 >= ANOTHER_S],
        )
        self.meter.inputs = self._inputs
        notes.hand_over(self.meter)
        self.settle()

    def _inputs(self):
        """What is open or near at this time of the day."""
        second = self._world.true_ms // 1000 % DAY_S
        return [start <= second < end for start, end in TOUCHED]

    def unsigned(self):
        """The payloads of events that wait for their signatures."""
        return [bytes.fromhex(each) for each in self.meter._state["unsigned_events"]]

    def settle(self):
        self.meter.step()
        while self.meter.busy:
            self.meter.step()

    def at(self, second):
        self._world.true_ms = second * 1000
        self.settle()

    def end(self):
        vfs.umount("/flash")


class Story:
    """The days as they were lived, and at which write each thing was done."""

    def __init__(self, days, volatile):
        self.volatile = volatile
        self.world = World()
        self.flash = RecordedFlash(BLOCKS)
        vfs.VfsLfs2.mkfs(self.flash, progsize=256, readsize=256)
        self.formatted = bytearray(self.flash.data)
        self.flash.trace = self.trace = []
        self.flash.second = lambda: self.world.true_ms // 1000
        self.commits = [(0, 0, 0)]  # Writes, records, events.
        self.registers = []  # Writes, and what the element's true counter is ahead of the register.
        self.signed = {}  # Kind and number: writes before it was signed, the message.
        self.boots = []  # Writes, and the highest boot counter that was signed.
        self.promised = [(0, 0)]  # Writes, and how many events somebody was told of.
        self._live(days)
        self.files = self._read()

    def _live(self, days):
        second = self.world.true_ms // 1000
        end = second + days * 86400
        number = 0
        life = self._start()
        while second < end:
            number += 1
            second = (second // LOOK_S + 1) * LOOK_S
            life.at(second)
            if second % LENGTH_S == 0:
                self._mark(life)
            if second % DAY_S in SHOWN:
                assert life.meter.snapshot()
                self._promise(life.meter._events.made)
            off_s = SHORT_OFF_S if number % 51 == 0 else LONG_OFF_S if number % 187 == 0 else 0
            if off_s:
                second += off_s
                life = self._restart(life, off_s)
        life.end()

    def _start(self):
        life = Life(self.flash, self.world, FakeSigner(self._sign), self.volatile)
        if self.volatile:
            self._mark(life)
        for log in (life.log, life.events):
            log.committed = lambda _, life=life: self._commit(life)
        self._commit(life)
        return life

    def _restart(self, life, off_s):
        life.end()
        if off_s == LONG_OFF_S:
            self._visit()
        self.world.true_ms += off_s * 1000
        if self.volatile:
            ahead = self.registers[-1][1] + off_s * 1000 * MWH_PER_MS
            self.registers.append((len(self.trace), ahead))
        return self._start()

    def _visit(self):
        """A technician was at the console, and has seen to what was open."""
        vfs.mount(vfs.VfsLfs2(self.flash, progsize=256, readsize=256), "/flash")
        notes.session()
        notes.acknowledge("tech-1")
        vfs.umount("/flash")

    def _promise(self, events):
        if events > self.promised[-1][1]:
            self.promised.append((len(self.trace), events))

    def _commit(self, life):
        self.commits.append((len(self.trace), life.log.head, life.events.head))

    def _mark(self, life):
        ahead = self.world.true_ms * MWH_PER_MS - life.meter._registers.totals_mwh[0]
        self.registers.append((len(self.trace), ahead))

    def _sign(self, message):
        key, fields = named(message)
        self.signed.setdefault(key, (len(self.trace), message))
        if not self.boots or fields[11] > self.boots[-1][1]:
            self.boots.append((len(self.trace), fields[11]))
        self._promise(fields[18] if 18 in fields else fields[10] + 1)

    def _read(self):
        """The final files of both logs, by path."""
        vfs.mount(vfs.VfsLfs2(self.flash, progsize=256, readsize=256), "/flash")
        found = {}
        for folder in FOLDERS:
            log = Log(folder)
            for number in range(log.head // PER_FILE + 1):
                path = folder + "/" + str(number)
                found[path] = contents(path)
        vfs.umount("/flash")
        return found


def contents(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def named(message):
    """(content type, number) and the fields of what a signer is given."""
    _, head, _, payload = decode(message)
    fields = decode(payload)
    return (decode(head)[3], fields[10]), fields
