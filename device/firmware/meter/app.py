"""The meter at work: registers in, signed records and events out, a master answered meanwhile.

Decides the order of deeds at a boundary: latch the registers, store the unsigned payload with
everything else that must survive (one write), sign in small steps between which the bus is
answered, append to the log. A power cut anywhere leaves either nothing of the record or its exact
bytes, which are signed at the next start. Events go the same way behind the records. Decides which
status bits a record carries, and what is an event. Leaves pins, lines and paths to `main`.
"""

from meter import events, record, signing, state, sunspec
from meter.events import Events
from meter.intervals import Intervals
from meter.registers import Registers
from meter.registers_map import RegistersMap

RETRY_MS = 10000  # After which a signer or a flash that failed is tried again.
LOOK_MS = 500  # How often covers and the receiver's time are looked at.
MEASURED_FOR_MS = 1000  # How long what the element measured is shown.
RECEIVER_ERROR_S = 1
_INPUTS = (
    (record.COVER_OPEN, events.COVER_OPEN),
    (record.TERMINAL_COVER_OPEN, events.TERMINAL_COVER_OPEN),
    (record.MAGNETIC_FIELD, events.MAGNET),
)


class Meter:
    """One meter: configuration, key, clock, element and storage, brought together."""

    receiver = None
    """A satellite receiver, when the board has one."""

    inputs = None
    """Tells (cover open, terminal cover open, magnet near), when the board has such contacts."""

    set_rtc = None
    """Takes (Unix s, ms) for a clock of the board's that outlives a reset."""

    def __init__(self, config, signer, software_id, make_clock, element, storage, kept_s=None):
        """Boot: counts it, and finishes the record that a power cut interrupted.

        `make_clock(times_set, set_at_s)` gives the clock, from what is remembered of it; `kept_s`
        is what a clock of the board's says that outlives a reset.
        """
        self._config = config
        self._signer = signer
        self._software_id = software_id
        self._element = element
        self._log = storage.records
        self._state_path = storage.state_path
        self._kid = record.kid(signer.public)
        self._state = known = storage.known
        self._events = Events(config["meter"], self._kid, known, storage.events)
        known["boots"] += 1
        self._operating_before_s = known["operating_s"]
        self._clock = make_clock(known["times_set"], known["set_at_s"])
        self._clock.start_from(kept_s, known["closed_until_s"])
        self._registers = Registers(known["totals_mwh"], known["counters_mwh"], element.volatile)
        self._intervals = Intervals(
            config["interval_s"], known["open_start_s"], known["closed_until_s"]
        )
        self._awake = False
        self._status = record.POWER_DOWN if known["boots"] > 1 else 0
        self._failing = {}  # Event kinds of what does not work now.
        self._restarts = 0  # Of the element in this boot, as far as an event has told of them.
        self._signing = None
        self._retry_at_ms = 0
        self._looked_ms = 0
        self._keep_at_ms = config["interval_s"] * 500  # Then what was counted is saved again.
        self._measured = (None, -MEASURED_FOR_MS)
        self.map = RegistersMap(self, config["meter"], signer.public)
        self._begin_boot()
        self._save()

    def _begin_boot(self):
        """Tell that the power is on, and what is new since the last boot."""
        from meter import notes  # A start forgets it.

        self._event(events.POWER_UP, [])
        new = self._config["configuration_id"], self._software_id, self._kid
        notes.changes(self._state, self._event, *new)

    # What a loop and a bus ask for.

    @property
    def busy(self):
        """True while something is being signed: call `step` again soon."""
        return self._signing is not None

    @property
    def wants(self):
        """True when something waits to be signed, now or after a pause."""
        return self._state["sequence"] > self._log.head or self._events.unsigned() is not None

    @property
    def records(self):
        """The log of records."""
        return self._log

    @property
    def events(self):
        """The log of signed events."""
        return self._events.log

    def step(self):
        """Do the next small piece of work; returns at once. True when it got on."""
        self._listen()
        if self._signing is not None:
            return self._sign_on()
        up_ms = self._clock.up_ms()
        if up_ms >= self._looked_ms:
            self._looked_ms = up_ms + LOOK_MS
            self._look()
        if up_ms >= self._retry_at_ms:
            self._begin_signing()
        now_ms = self._clock.now_ms()
        if now_ms is not None:
            self._mind(now_ms, up_ms)
        return self._signing is not None or not self.wants

    def _listen(self):
        """Let the parts have their small steps that have some."""
        step = getattr(self._element, "step", None)
        if step:
            step()
        if self.receiver:
            self.receiver.step()

    def _mind(self, now_ms, up_ms):
        """See whether a boundary has passed, or an element's memory is to be saved."""
        boundary_s = self._intervals.boundary(now_ms, self._awake)
        self._awake = True
        if boundary_s is not None:
            self._close(boundary_s)
        elif self._element.volatile and up_ms >= self._keep_at_ms:
            self._count(now_ms)  # Else what it has counted would be lost without power.
            self._save()

    def status(self):
        """The status bits as a record would carry them now."""
        bits = self._status | self._state["sticky"]
        if self._signer.in_flash:
            bits |= record.KEY_IN_FLASH
        if not self._config["commissioned"]:
            bits |= record.CONFIGURATION_CHANGED
        if self._clock.adjusted:
            bits |= record.CLOCK_ADJUSTED
        if self._clock.now_ms() is None:
            bits |= record.CLOCK_INVALID
        if self._log.degraded:
            bits |= record.LOG_DEGRADED
        if events.SIGNER_FAILED in self._failing:
            bits |= record.CRITICAL
        return bits

    def moments(self):
        """(status bits, clock evidence, boots, operating seconds, Unix s or 0), as of now."""
        now_ms = self._clock.now_ms() or 0
        evidence = self._clock.evidence()
        return self.status(), evidence, self._state["boots"], self._operating_s(), now_ms // 1000

    def give_time(self, network_ms, error_s):
        """Take the time from a master; True, or False for nonsense, None when too busy."""
        if self._events.full:
            return None
        before_ms = self._clock.now_ms()
        done = self._clock.give(network_ms, error_s, self._operating_s())
        if done == "refused":
            return False
        if done != "kept" and self.set_rtc:
            self.set_rtc(network_ms // 1000, network_ms % 1000)
        if before_ms is not None:
            self._intervals.moved(before_ms, self._clock.now_ms())
        if done == "set":
            self._state["times_set"] = self._clock.times_set
            self._state["set_at_s"] = self._clock.set_at_s
            times = [(before_ms or 0) // 1000, network_ms // 1000, error_s]
            self._event(events.CLOCK_SET, times)
            self._save()
        return True

    def snapshot(self):
        """Make a signed event of the registers as they stand; None when too busy."""
        if self._events.full:
            return None
        self._count(self._clock.now_ms() or 0)
        self._event(events.SNAPSHOT, list(self._registers.wh()))
        self._save()
        return True

    @property
    def snapshot_waits(self):
        """True while an event waits for its signature."""
        return self._events.unsigned() is not None

    def sunspec(self):
        """The registers that SunSpec's tools read, as bytes."""
        up_ms = self._clock.up_ms()
        measured, at_ms = self._measured
        if up_ms - at_ms >= MEASURED_FOR_MS:
            measured = self._element.measure()
            self._measured = (measured, up_ms)
        import_wh, export_wh = self._registers.wh()
        software = self._software_id.hex()
        config = self._config
        return sunspec.block(
            config["meter"], software, import_wh, export_wh, measured, config["unit"]
        )

    def noted(self, notes):
        """Take in what happened before this boot (`meter.notes`)."""
        for kind, details in notes:
            bits = 0
            if kind == events.ACKNOWLEDGED:
                bits = self._state["sticky"]
                details = details + [bits]
            if (bits or kind != events.ACKNOWLEDGED) and self._event(kind, details):
                self._state["sticky"] &= ~bits
        self._save()

    # What it does by itself.

    def _operating_s(self):
        return self._operating_before_s + self._clock.up_ms() // 1000

    def _event(self, kind, details):
        status, _, boots, operating_s, now_s = self.moments()
        return self._events.make(kind, details, {11: boots, 12: operating_s, 13: status, 31: now_s})

    def _save(self):
        saved = self._state
        saved["operating_s"] = self._operating_s()
        saved["totals_mwh"] = self._registers.totals_mwh
        saved["counters_mwh"] = self._registers.counters_mwh
        state.save(self._state_path, saved)

    def _look(self):
        """See whether somebody opened the meter, and what time the receiver has."""
        changed = False
        if self.inputs:
            for on, (bit, kind) in zip(self.inputs(), _INPUTS):
                if on and not self._state["sticky"] & bit and self._event(kind, []):
                    self._state["sticky"] |= bit
                    changed = True
        if changed:
            self._save()
        moment = self.receiver and self.receiver.time()
        if moment:
            self.give_time(moment[0] * 1000 + moment[1], RECEIVER_ERROR_S)

    def _works(self, kind, details):
        """What was said to fail works again (details None), or fails: an event the first time."""
        if details is None:
            self._failing.pop(kind, None)
        elif kind not in self._failing:
            self._failing[kind] = True
            if self._event(kind, details):
                self._save()

    def _count(self, at_ms):
        """Read the element; the caller saves what came of it."""
        counters = self._element.read(at_ms)
        if counters is None:
            self._status |= record.VALUE_HELD
        self._works(events.ELEMENT_FAILED, [] if counters is None else None)
        self._registers.count(counters)
        restarts = getattr(self._element, "restarts", 0)
        if restarts != self._restarts and self._event(
            events.ELEMENT_FAILED, ["restarts", restarts]
        ):
            self._restarts = restarts
        self._keep_at_ms = self._clock.up_ms() + self._config["interval_s"] * 500

    def _close(self, boundary_s):
        """Latch at a boundary; begin the record of the interval that ended, if it is whole."""
        self._count(boundary_s * 1000)
        start_s = self._intervals.close(boundary_s)
        saved = self._state
        if start_s is not None and saved["sequence"] == self._log.head:
            content = record.payload(self._fields(start_s))
            saved["pending"] = content.hex()
            saved["sequence"] += 1
            self._status = 0
            self._clock.told(boundary_s)
        saved["open_start_s"] = self._intervals.open_start_s
        saved["open_wh"] = self._registers.wh()
        saved["closed_until_s"] = self._intervals.closed_until_s
        self._save()
        self._begin_signing()

    def _fields(self, start_s):
        import_wh, export_wh = self._registers.wh()
        open_import_wh, open_export_wh = self._state["open_wh"]
        fields = {
            2: self._config["meter"],
            3: self._config["node"],
            4: start_s,
            5: self._config["interval_s"],
            6: import_wh,
            7: export_wh,
            8: import_wh - open_import_wh,
            9: export_wh - open_export_wh,
            10: self._state["sequence"],
            11: self._state["boots"],
            12: self._operating_s(),
            13: self._interval_status(start_s),
            14: self._clock.evidence(),
            15: self._previous(),
            16: self._software_id,
            17: self._config["configuration_id"],
            18: self._events.made,
            19: record.ORIGIN_OWN_ELEMENT,
        }
        fix = self.receiver and self.receiver.fix()
        if fix:
            fields[21] = list(fix)
        return fields

    def _interval_status(self, start_s):
        """The bits of an interval; for a part of it, the meter may not have known the time."""
        unknown = self._clock.known_since_ms > start_s * 1000
        return self.status() | (record.CLOCK_INVALID if unknown else 0)

    def _previous(self):
        """Hash of the signed bytes of the record before; its payload is still in the state."""
        if not self._state["sequence"]:
            return record.NO_PREVIOUS
        content = bytes.fromhex(self._state["pending"])
        return signing.sha256(record.signed_bytes(self._kid, content))

    def _begin_signing(self):
        """Sign the stored payload, unless the log has its record already; then events."""
        if self._signing is not None:
            return
        if self._state["sequence"] > self._log.head:
            self._signing = self._sign(bytes.fromhex(self._state["pending"]))
        elif self._events.unsigned() is not None:
            self._signing = self._events.sign(self._signer)

    def _sign(self, content):
        message = record.signed_bytes(self._kid, content)
        signature = yield from self._signer.sign(message)
        self._log.append(self._log.head, record.envelope(self._kid, content, signature))

    def _sign_on(self):
        """The next step of a signature; what fails is tried again after a pause."""
        try:
            next(self._signing)
            return True
        except StopIteration:
            self._signing = None
            self._works(events.SIGNER_FAILED, None)
            return True
        except signing.SignerFailed as error:
            self._put_off([str(error)[:24]])
        except OSError as error:  # The flash is full or worn: the log says so in its status bit.
            self._log.degraded = True
            self._put_off(["flash %s" % error.args[0]])
        return False

    def _put_off(self, details):
        self._signing = None
        self._retry_at_ms = self._clock.up_ms() + RETRY_MS
        self._works(events.SIGNER_FAILED, details)
