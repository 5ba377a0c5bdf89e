"""The meter at work: registers in, signed records out, a master answered meanwhile.

Decides the order of deeds at a boundary: latch the registers, store the unsigned payload with
everything else that must survive (one write), sign in small steps between which the bus is
answered, append to the log. A power cut anywhere leaves either nothing of the record or its exact
bytes, which are signed at the next start. Leaves pins, lines and paths to `main`.
"""

from meter import record, signing, state, sunspec
from meter.intervals import Intervals
from meter.registers import Registers
from meter.registers_map import RegistersMap


class Meter:
    """One meter: configuration, key, clock, element and storage, brought together."""

    def __init__(self, config, signer, software_id, make_clock, element, log, state_path):
        """Boot: counts it, and finishes the record that a power cut interrupted.

        `make_clock(times_set, set_at_s)` gives the clock, from what is remembered of it.
        """
        self._config = config
        self._signer = signer
        self._software_id = software_id
        self._element = element
        self._log = log
        self._state_path = state_path
        self.public = signer.public
        self._kid = signing.kid(self.public)
        self._state = state.load(state_path, log.head)
        if self._state["sequence"] == log.head:
            log.drop_damaged_end()  # Its payload is still in the state: it is made again.
        if self._state["sequence"] - log.head not in (0, 1):
            raise state.StateLost("the log ends at %d" % log.head)
        self._state["boots"] += 1
        self._operating_before_s = self._state["operating_s"]
        self._clock = make_clock(self._state["times_set"], self._state["set_at_s"])
        self._registers = Registers(
            self._state["totals_mwh"], self._state["counters_mwh"], element.volatile
        )
        open_start_s = self._state["open_start_s"]
        self._intervals = Intervals(
            config["interval_s"], open_start_s, self._state["closed_until_s"]
        )
        self._awake = False
        self._status = record.POWER_DOWN if self._state["boots"] > 1 else 0
        self._save()
        self.map = RegistersMap(config["meter"], self.public, log, self._time_given)
        self._show()
        self._begin_signing()

    @property
    def busy(self):
        """True while a record is being signed: call `step` again soon."""
        return self._signing is not None

    def step(self):
        """Do the next small piece of work; returns at once."""
        if self._signing is not None:
            try:
                next(self._signing)
            except StopIteration:
                self._signing = None
            return
        now_ms = self._clock.now_ms()
        if now_ms is None:
            return
        boundary_s = self._intervals.boundary(now_ms, self._awake)
        self._awake = True
        if boundary_s is not None:
            self._close(boundary_s)
        elif self._element.volatile and self._clock.up_ms() >= self._keep_at_ms:
            self._keep(now_ms)

    def _keep(self, now_ms):
        """Save in mid-interval what an element has counted that would forget it without power."""
        self._registers.count(self._element.read(now_ms))
        self._save()

    def _operating_s(self):
        return self._operating_before_s + self._clock.up_ms() // 1000

    def _time_given(self, network_ms, error_s):
        before = self._clock.now_ms()
        self._clock.give(network_ms, error_s, self._operating_s())
        if before is not None:
            self._intervals.moved(before, self._clock.now_ms())
        self._state["times_set"] = self._clock.times_set
        self._state["set_at_s"] = self._clock.set_at_s
        self._save()

    def _save(self):
        self._state["operating_s"] = self._operating_s()
        self._state["totals_mwh"] = self._registers.totals_mwh
        self._state["counters_mwh"] = self._registers.counters_mwh
        self._keep_at_ms = self._clock.up_ms() + self._config["interval_s"] * 500
        state.save(self._state_path, self._state)

    def _show(self):
        import_wh, export_wh = self._registers.wh()
        software = self._software_id.hex()
        meter = self._config["meter"]
        self.map.sunspec = sunspec.block(meter, software, import_wh, export_wh, None)

    def _close(self, boundary_s):
        """Latch at a boundary; begin the record of the interval that ended, if it is whole."""
        counters = self._element.read(boundary_s * 1000)
        if counters is None:
            self._status |= record.VALUE_HELD
        self._registers.count(counters)
        start_s = self._intervals.close(boundary_s)
        if start_s is not None:
            content = record.payload(self._fields(start_s))
            self._state["pending"] = content.hex()
            self._state["sequence"] += 1
        self._state["open_start_s"] = self._intervals.open_start_s
        self._state["open_wh"] = self._registers.wh()
        self._state["closed_until_s"] = self._intervals.closed_until_s
        self._save()
        if start_s is not None:
            self._status = 0
            self._clock.told(boundary_s)
        self._show()
        self._begin_signing()

    def _fields(self, start_s):
        import_wh, export_wh = self._registers.wh()
        open_import_wh, open_export_wh = self._state["open_wh"]
        return {
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
            13: self._status_bits(start_s),
            14: self._clock.evidence(),
            15: self._previous(),
            16: self._software_id,
            17: bytes.fromhex(self._config["configuration_id"]),
            18: 0,
            19: record.ORIGIN_OWN_ELEMENT,
        }

    def _status_bits(self, start_s):
        status = self._status | record.KEY_IN_FLASH
        if self._clock.adjusted:
            status |= record.CLOCK_ADJUSTED
        if self._clock.known_since_ms > start_s * 1000:
            status |= record.CLOCK_INVALID
        return status

    def _previous(self):
        """Hash of the signed bytes of the record before; its payload is still in the state."""
        if not self._state["sequence"]:
            return record.NO_PREVIOUS
        content = bytes.fromhex(self._state["pending"])
        return signing.sha256(record.signed_bytes(self._kid, content))

    def _begin_signing(self):
        """Sign the stored payload, unless the log has its record already."""
        self._signing = None
        if self._state["sequence"] > self._log.head:
            self._signing = self._sign(bytes.fromhex(self._state["pending"]))

    def _sign(self, content):
        message = record.signed_bytes(self._kid, content)
        signature = yield from self._signer.sign(message)
        self._log.append(self._log.head, record.envelope(self._kid, content, signature))
