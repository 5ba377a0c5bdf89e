# mypy: ignore-errors
"""Runs under MicroPython: power fails at every write to the flash of a meter that lived for days.

For each write of `lived_days`: the flash as it was before it, once without the write and once with
a torn part of it, is started from and lived on until the next record. What stands then is compared
with what was committed or signed before the cut. That is also the flash after the write before,
failed but persisted. Arguments: days, 1 for an element that forgets at each start, this part, of
how many. Prints one JSON line: figures, and the first broken rules in words.
"""

import gc
import hashlib
import json
import sys

import vfs

from meter import events, record
from meter.log import PER_FILE, SLOT
from tests.device.lived_days import (
    BLOCKS,
    FOLDERS,
    LENGTH_S,
    MWH_PER_MS,
    Life,
    Story,
    contents,
    named,
)
from tests.device.meter_bench import decode, payload_of
from tests.device.meter_parts import FakeSigner, World
from tests.device.nor_flash import BLOCK, EMPTY, OverlaidFlash

MOST_SHOWN = 5
AFTER_S = 1  # Between the cut and the next start.
NEVER = 1 << 30
IMPORT, STATUS, EVENTS, KIND, DETAILS = 6, 13, 18, 30, 32
STICKY = (
    record.COVER_OPEN
    | record.TERMINAL_COVER_OPEN
    | record.MAGNETIC_FIELD
    | record.CONFIGURATION_CHANGED
    | record.SOFTWARE_CHANGED
)
RECORD, EVENT = 60, "application/x-gridwitness-event"


class Until:
    """Of entries (writes, ...) in order, the last one made before a write; asked in order."""

    def __init__(self, entries):
        self._entries, self._at = entries, -1

    def __call__(self, writes):
        while self._at + 1 < len(self._entries) and self._entries[self._at + 1][0] <= writes:
            self._at += 1
        return self._entries[self._at] if self._at >= 0 else None


class Sweep:
    """Every cut of a story."""

    def __init__(self, story):
        self._story = story
        self._flash = bytearray(story.formatted)
        self._commit = Until(story.commits)
        self._register = Until(story.registers)
        self._boots = Until(story.boots)
        self._promised = Until(story.promised)
        self._luck = 1
        self._writes = 0
        self._torn = None
        self.broken = []
        self.figures = {
            "writes": len(story.trace),
            "records": story.commits[-1][1],
            "events": story.commits[-1][2],
            "boots": story.boots[-1][1],
            "kinds": sorted(
                {named(message)[1].get(KIND, 0) for _, message in story.signed.values()}
            ),
            "erases": sum(story.flash.erases),
            "programmed_twice": story.flash.again,
            "whole": 0,
            "torn": 0,
            "broken": 0,
            "signed_again": 0,
            "promised_again": 0,
            "stuck": 0,
            "acknowledged": 0,
            "under_mwh": 0,
        }

    def run(self, part, parts):
        trace = self._story.trace
        for n in range(len(trace) + 1):
            self._writes = n
            self._before = self._commit(n), self._register(n), self._boots(n), self._promised(n)
            if n % parts == part:
                self._fail(None)
                if n < len(trace):
                    self._fail(trace[n])
                gc.collect()
            if n < len(trace):
                block, offset, data, _ = trace[n]
                at = block * BLOCK + offset
                self._flash[at : at + len(data or EMPTY)] = data or EMPTY

    def _fail(self, torn):
        """Power fails at a write, and comes back a second later."""
        self._torn = torn
        self.figures["torn" if torn else "whole"] += 1
        flash = OverlaidFlash(self._flash, BLOCKS)
        if torn:
            self._luck = (self._luck * 1103515245 + 12345) & 0x7FFFFFFF
            flash.tear(*torn[:3], self._luck >> 8)
        trace = self._story.trace
        world = World()
        world.true_ms = (trace[min(self._writes, len(trace) - 1)][3] + AFTER_S) * 1000
        asked = []
        try:
            life = Life(flash, world, FakeSigner(asked.append), self._story.volatile)
            self._live_on(life, world)
            self._judge(asked, life)
        except Exception as error:
            self._rule(False, f"the meter does not live on: {error!r}")
        vfs.umount("/flash")

    def _live_on(self, life, world):
        """Until a whole interval has been recorded in this life."""
        _, records, events = self._before[0]
        self._rule(life.log.head >= records, "records are lost")
        self._rule(life.events.head >= events, "events are lost")
        made = life.log.head
        for _ in range(3):
            if life.log.head == made:
                life.at((world.true_ms // 1000 // LENGTH_S + 1) * LENGTH_S)
        self._rule(life.log.head == made + 1, "no new record")
        self._compare(FOLDERS[0], records)
        self._compare(FOLDERS[1], events)

    def _compare(self, folder, count):
        """The committed slots stand as they were."""
        for number in range(-(-count // PER_FILE)):
            path = folder + "/" + str(number)
            size = min(count - number * PER_FILE, PER_FILE) * SLOT
            same = contents(path)[:size] == self._story.files[path][:size]
            self._rule(same, "other bytes in " + path)

    def _judge(self, messages, life):
        """What is signed after the cut, against what was signed before it."""
        signed = {}
        for message in messages:
            key, fields = named(message)
            when, before = self._story.signed.get(key, (NEVER, None))
            if message == before:
                self.figures["signed_again"] += 1
            elif when <= self._writes:
                self._rule(False, f"number {key} has other bytes")
            else:
                previous = key[0], key[1] - 1
                self._judge_new(fields, signed.get(previous) or self._signed_before(previous))
            signed[key] = message
        self._judge_events(signed, life)

    def _judge_events(self, signed, life):
        """Events that somebody was told of are there, and bits that stick go with one only."""
        waiting = {decode(payload)[10]: decode(payload) for payload in life.unsigned()}
        made = life.events.head + len([number for number in waiting if number >= life.events.head])
        self._rule(made == life.meter._events.made, "events are missing behind the log")
        promised = self._before[3][1]
        self._rule(made >= promised, "an event is lost that somebody was told of")
        for number in range(self._before[0][2], promised):
            logged = number < life.events.head
            fields = payload_of(life.events.read(number)) if logged else waiting.get(number)
            told = self._story.signed.get((EVENT, number), (NEVER, None))[1]
            self._rule(told and named(told)[1] == fields, f"event {number} is another one")
            self.figures["promised_again"] += 1
        for number in sorted([number for kind, number in signed if kind == RECORD]):
            key = RECORD, number - 1
            before = signed.get(key) or self._signed_before(key)
            if before:
                after = named(signed[RECORD, number])[1]
                self._judge_bits(named(before)[1], after, signed, waiting)

    def _judge_bits(self, before, after, signed, waiting):
        gone = before[STATUS] & ~after[STATUS] & STICKY
        self.figures["stuck"] += 1 if before[STATUS] & after[STATUS] & STICKY else 0
        for number in range(before[EVENTS], after[EVENTS]) if gone else ():
            message = signed.get((EVENT, number)) or self._signed_before((EVENT, number))
            fields = named(message)[1] if message else waiting[number]
            if fields[KIND] == events.ACKNOWLEDGED:
                gone &= ~fields[DETAILS][1]
                self.figures["acknowledged"] += 1
        self._rule(not gone, f"bits {gone:#x} are gone and nobody acknowledged them")

    def _judge_new(self, fields, previous):
        boots = self._before[2]
        self._rule(boots is None or fields[11] > boots[1], "a boot counter is used again")
        links = hashlib.sha256(previous).digest() if previous else bytes(32)
        self._rule(fields[15] == links, f"the chain is broken at {fields[10]}")
        if previous:
            older = named(previous)[1]
            self._rule(fields[12] >= older[12], "operating time runs backwards")
        if IMPORT in fields:
            self._judge_registers(fields)

    def _signed_before(self, key):
        """The message of this number, if it was signed before the cut."""
        when, message = self._story.signed.get(key, (NEVER, None))
        return message if when <= self._writes else None

    def _judge_registers(self, fields):
        """Never more than flowed, and at most what flowed in the open interval is missing."""
        if not self._before[1]:
            return
        seconds = fields[4] + fields[5] - (AFTER_S if self._story.volatile else 0)
        flowed = seconds * 1000 * MWH_PER_MS - self._before[1][1]
        under = flowed // 1000 * 1000 - fields[6] * 1000
        self._rule(under >= 0, f"the register is too high by {-under} mWh")
        most = LENGTH_S * 1000 * MWH_PER_MS if self._story.volatile else 0
        self._rule(under <= most, f"the register is too low by {under} mWh")
        self.figures["under_mwh"] = max(self.figures["under_mwh"], under)

    def _rule(self, holds, words):
        if not holds:
            self.figures["broken"] += 1
            if len(self.broken) < MOST_SHOWN:
                torn = ", torn" if self._torn else ""
                self.broken.append(f"write {self._writes}{torn}: {words}")


days, volatile, part, parts = [int(text) for text in sys.argv[1:]]
sweep = Sweep(Story(days, bool(volatile)))
sweep.run(part, parts)
print(json.dumps({"figures": sweep.figures, "broken": sweep.broken}))
