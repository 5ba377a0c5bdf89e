# mypy: ignore-errors
"""Runs under MicroPython: days in the life of a meter, with every write to its flash on record.

Decides what happens in these days: short and long outages, events, intervals. Says at which write
each thing was committed, signed or counted, for `cuts_in_days` to compare with.
"""

import vfs

from meter.log import PER_FILE, Log
from tests.device.meter_bench import decode
from tests.device.meter_parts import Element, FakeSigner, World, make_meter
from tests.device.nor_flash import RecordedFlash
from tests.device.steady_clock import Clock

BLOCKS = 64
LENGTH_S, LOOK_S = 900, 150
SHORT_OFF_S, LONG_OFF_S = 60, 1500
MWH_PER_MS = 3
FOLDERS = ("/flash/log", "/flash/events")


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
        )
        self.settle()

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
        self.world.true_ms += off_s * 1000
        if self.volatile:
            ahead = self.registers[-1][1] + off_s * 1000 * MWH_PER_MS
            self.registers.append((len(self.trace), ahead))
        return self._start()

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
