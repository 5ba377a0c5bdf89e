"""The eight steps from a boxed board to a sealed meter, each verified from the device.

Decides the order, what each step does, finds or refuses, and that each can be done again: what is
there and right stays, so that the same command after any interruption completes. A check walks the
same steps, changes nothing, and goes on behind what differs. Leaves options, printing and papers to
`cli` and `papers`.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from device.provision import asked, bundle, enrolment, faults, install, measuring, registered
from device.provision.at_prompt import Proof, prove
from device.provision.commissioning import Visit, complete, content_of, with_meter
from device.provision.console import Console, Say, session
from device.provision.order import Found, Order
from device.provision.report import Measured, Step
from device.provision.running import back_to_work, restart, still_answers, window_ms
from wire import cbor
from wire.commissioning import CommissioningRecord, configuration_id, unsigned
from wire.errors import BadKey, BadSignature, Refused, Unavailable
from wire.keys import ES256, PublicKey, Signer

TITLES = (
    "Find meter",
    "Firmware",
    "Copy application",
    "Key",
    "Clock",
    "Measuring element",
    "Commissioning",
    "Lock",
)
OLDEST = (1, 22, 0)
"""Of MicroPython: the first whose littlefs and emitters the application was tried on."""

CLOCK_TOLERANCE_S = 2.0
CLOCK_LATE_S = 60.0
"""A meter in service that is further off says so in `check`."""

FIRST_YEAR, LAST_YEAR = 2025, 2100
NOBODY_ASKED = (
    "no network was asked whether a line of the zone reaches the node: --genesis or --validator"
)
PROOF = "GridWitness: the board has this key"
"""Opens what a board signs to prove its key: no record and no event begins so."""

Done = tuple[str, str]
"""(outcome as `report.Step` has it, words)."""


def computer_time() -> float:
    """This computer's time, Unix s; raises a Fault when it cannot be."""
    now_s = time.time()
    year = time.gmtime(now_s).tm_year
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise faults.BAD_COMPUTER_CLOCK.fault(year=year)
    return now_s


class Steps:
    """One walk through the eight steps."""

    def __init__(self, order: Order, say: Say) -> None:
        """`say` is told what a person can do meanwhile."""
        self.order = order
        self.found = Found()
        self._say = say

    def walk(self) -> Iterator[Step]:
        """Do the steps, giving each when it is done; raises a Fault with its step.

        A check gives steps that differ as failed, and goes on.
        """
        number = 1
        began = time.monotonic()
        try:
            with session(self.order.port, self._say, self.order.patience) as console:
                try:
                    for number, work in enumerate(self._works(), start=1):
                        yield self._step(number, work, console, began)
                        began = time.monotonic()
                finally:
                    back_to_work(console)
        except faults.Fault as fault:
            fault.step = fault.row.step or number
            raise

    def _works(self) -> tuple[Callable[[Console], Done], ...]:
        first = (self._find, self._firmware, self._copy, self._key)
        return (*first, self._clock, self._element, self._commission, self._lock)

    def _step(
        self, number: int, work: Callable[[Console], Done], console: Console, began: float
    ) -> Step:
        try:
            outcome, words = work(console)
        except faults.RefusedFault as fault:
            if not self.order.checking or self.found.bundle is None:
                raise
            fault.step = number
            outcome, words = "failed", str(fault)
        return Step(number, TITLES[number - 1], outcome, words, time.monotonic() - began)

    # 1 and 2: nothing is changed.

    def _find(self, console: Console) -> Done:
        found = self.found.identity = asked.identity(console)
        order = self.order
        if found.meter and order.place.meter not in ("", found.meter):
            raise faults.FOREIGN_METER.fault(found=found.meter, meter=order.place.meter)
        measuring.check_ratio(order.installation)
        if order.grid is not None:
            order.grid.check(order.place.node)
        elif not order.checking:
            self.found.warnings.append(NOBODY_ASKED)
        if order.hands is not None:
            self.found.warnings += order.hands.check()
        if not found.has_key:
            registered.check(order.known, order.place, None)
        words = f"{order.port}  {found.machine}  MicroPython {found.version_text}"
        return "ok", words + (f"  is {found.meter}" if found.meter else "")

    def _firmware(self, console: Console) -> Done:
        found = self._identity
        if found.version < OLDEST:
            least = ".".join(map(str, OLDEST))
            raise faults.OLD_MICROPYTHON.fault(found=found.version_text, least=least)
        if found.missing:
            raise faults.MISSING_MODULES.fault(modules=", ".join(found.missing))
        if not self.order.sources and found.mpy != bundle.MPY_VERSION:
            raise faults.WRONG_MPY.fault(found=found.mpy or "none", made=bundle.MPY_VERSION)
        name = self.order.board or bundle.BOARDS.get(found.platform, found.platform)
        made = self.found.bundle = bundle.make(name, self.order.firmware, self.order.sources)
        kind = "compiled" if made.compiled else "sources"
        return "ok", f"application for {name}, {kind}, software id {made.software_id.hex()}"

    # 3 to 5: the board becomes able.

    def _copy(self, console: Console) -> Done:
        made = self._bundle
        if self.order.checking:
            left = install.difference(console, made)
            if left:
                raise faults.NOT_INSTALLED.fault(differences=left.words)
        else:
            left = install.install(console, made, self._identity.free_bytes)
        install.software_id(console, made)
        words = f"{made.size / 1000:.0f} kB, sha256 verified on device"
        if left.foreign:
            words += f"; removed {', '.join(left.foreign)}"
        return ("ok" if left else "already"), words

    def _key(self, console: Console) -> Done:
        kind = str(self._config.get("key", "flash"))
        self._check_lost(console, kind)
        made = not self.order.checking and asked.make_key(
            console, kind, self.order.lock_secure_element
        )
        if self.order.checking and kind == "flash" and not self._identity.has_key:
            raise faults.NO_KEY.fault()
        challenge = cbor.encode([PROOF, os.urandom(16)])
        try:
            raw, signature = asked.proof(console, kind, challenge)
            public = PublicKey(ES256, raw)
            public.verify(challenge, signature)
        except (BadKey, BadSignature) as reason:
            raise faults.BAD_KEY.fault(why=reason) from None
        registered.check(self.order.known, self.order.place, public)
        self.found.public = public
        words = "made on device, never leaves it" if made else "kept, proved again"
        return ("ok" if made else "already"), f"{words}: kid {public.kid.hex()}"

    def _check_lost(self, console: Console, kind: str) -> None:
        """A board with records and without a key was a meter whose key is gone."""
        if kind != "flash" or self._identity.has_key:
            return
        code = "from meter.log import Log\nlog = Log('/log')\nprint(log.head)"
        records = console.ask("import os\nprint('log' in os.listdir('/'))") and console.ask(code)
        if records:
            raise faults.KEY_LOST.fault(records=records)

    def _clock(self, console: Console) -> Done:
        if self._no_meter:
            return "skipped", "no meter yet"
        computer_time()
        if not self.order.checking:
            began = time.monotonic()
            console.run("pass")
            trip_s = time.monotonic() - began
            now_s = time.time() + trip_s / 2
            asked.set_clock(console, int(now_s), int(now_s * 1000) % 1000)
        began = time.monotonic()
        tick_s = asked.next_tick(console)
        error_s = abs(time.time() - tick_s) if tick_s else float("inf")
        if error_s > (CLOCK_LATE_S if self.order.checking else CLOCK_TOLERANCE_S):
            raise faults.CLOCK_NOT_KEPT.fault(error=f"{error_s:.1f} s off" if tick_s else "not set")
        self.found.clock_error_ms = round(error_s * 1000)
        said = "is right" if self.order.checking else "set to UTC"
        return "ok", f"{said}, error {error_s:.2f} s at most, by this computer"

    # 6: what it measures.

    def _element(self, console: Console) -> Done:
        if self._no_meter:
            return "skipped", "no meter yet"
        settings = self._config["element"]
        kind, *found = asked.measured(console, settings, time.time_ns() // 1_000_000)
        if kind == "refused":
            raise faults.CONFIGURATION_REFUSED.fault(why=found[0])
        measure, counters = found
        name = f"{settings['kind']} at address {settings.get('address', 1)}"
        if counters is None or (measure is None and settings["kind"] != "s0"):
            raise faults.SILENT_ELEMENT.fault(address=name)
        self.found.registers_wh = (counters[0] // 1000, counters[1] // 1000)
        words = f"{settings['kind']}: pulses only"
        if measure is not None:
            frequency_mhz, phases = measure
            self.found.measured = Measured(frequency_mhz, tuple(map(tuple, phases)))
            warned = measuring.check(frequency_mhz, self.found.measured.phases, self._place)
            self.found.warnings += warned
            words = f"{settings['kind']}: {measuring.words(frequency_mhz, phases)}"
        kwh = measuring.thousandths(self.found.registers_wh[0], 3)
        if not self.order.confirm(f"The register reads {kwh} kWh: does the display show the same?"):
            raise faults.DISPLAY_DIFFERS.fault(kwh=kwh)
        return "ok", f"{words}, register {kwh} kWh"

    # 7 and 8: it becomes a meter.

    def _commission(self, console: Console) -> Done:
        stored = asked.content_of_file(console, "/commissioning.cbor")
        if self.order.checking:
            return self._check_record(console, stored)
        content = self._content()
        asked.check_configuration(console, content)
        record = self._kept(content, stored)
        kept = record is not None
        if record is None:
            record = self._signed(console, content)
        asked.store(console, content, record.encoded)
        expected, found = record.configuration_id, asked.configuration_id(console)
        if found != expected:
            raise faults.CONFIGURATION_DIFFERS.fault(found=found.hex(), expected=expected.hex())
        self.found.record = record
        self._enrol(console, record)
        proof = self._prove(console)
        restart(console, window_ms(self._config))
        words = f"configuration {expected.hex()} signed; {proof.words}; meter serves"
        return ("already" if kept else "ok"), words

    def _prove(self, console: Console) -> Proof:
        """The last word is the meter's: what it signs of its registers."""
        who = str(self.order.visit.get("technician") or self._technician.public.kid.hex())
        meter = str(self.order.config["meter"])
        proof = prove(console, meter, self._public, who, self.order.first_record_s)
        self.found.proof = proof
        self.found.warnings += [f"acknowledged: {each.words}" for each in proof.stood]
        self.found.warnings += [f"stands again: {each.words}" for each in proof.left]
        return proof

    def _content(self) -> dict[str, Any]:
        """What is to be signed: as it was, when only the moment and the registers are others."""
        now = Visit(
            commissioned_at_s=int(time.time()),
            start_wh=self.found.registers_wh,
            **self.order.visit,
        )
        try:
            content = content_of(self.order.config, now, self.order.site)
        except Refused as reason:
            raise faults.CONFIGURATION_REFUSED.fault(why=reason) from None
        before = self._identity.config.get("commissioning", {})
        if isinstance(before, dict):
            moment = {key: before.get(key) for key in ("commissioned_at_s", "start_wh")}
            again = {**content, "commissioning": {**content["commissioning"], **moment}}
            if again == self._identity.config:
                return again
        return content

    def _kept(self, content: Mapping[str, Any], stored: bytes) -> CommissioningRecord | None:
        """The record on the board, when it is of this content and both signatures stand."""
        try:
            record = CommissioningRecord.open(stored)
            record.verify(self._public, self._technician.public)
        except Refused:
            return None
        return record if record.content == content else None

    def _signed(self, console: Console, content: Mapping[str, Any]) -> CommissioningRecord:
        kind = str(content.get("key", "flash"))
        message = unsigned(content).to_sign(self._public)
        try:
            _, signature = asked.proof(console, kind, message)
            sign = with_meter(content, self._public, signature)
        except BadSignature as reason:
            raise faults.BAD_METER_SIGNATURE.fault(why=reason) from None
        try:
            return complete(sign, self._public, self._technician)
        except (Refused, Unavailable) as reason:
            raise faults.NO_TECHNICIAN_KEY.fault(why=reason) from None

    def _enrol(self, console: Console, record: CommissioningRecord) -> None:
        """Both signatures of the site under an enrolment, while the board can sign one."""
        wanted = self.order.registration
        if wanted is None:
            return
        try:
            entry = enrolment.entry_of(
                record, self._public, self._bundle.software_id, wanted.placement
            )
            from_s = enrolment.first_interval(int(time.time()), wanted.interval_s)
            old = self.order.place.replaces
            known = any(each.get("id") == old for each in self.order.known)
            begun = enrolment.begin(wanted.network, entry, from_s, record, old if known else "")
            kind = str(record.content.get("key", "flash"))
            _, signature = asked.proof(console, kind, begun.to_sign(self._public))
            done = enrolment.on_site(begun, self._public, signature, self._technician)
            if old and not known:
                self.found.warnings.append(
                    f"{old} is not registered now: the file enrols a meter and replaces none"
                )
        except Refused as reason:
            raise faults.NOT_ENROLLABLE.fault(why=reason) from None
        self.found.enrolment = done

    def _check_record(self, console: Console, stored: bytes) -> Done:
        config = self._identity.config
        if self._no_meter:
            raise faults.NOT_COMMISSIONED.fault(differences="there is none")
        try:
            record = CommissioningRecord.open(stored)
            record.sign.verify(self._public)
            if self.order.technician is not None:
                record.verify(self._public, self.order.technician.public)
        except Refused as reason:
            raise faults.NOT_COMMISSIONED.fault(differences=reason) from None
        if record.content != config or asked.configuration_id(console) != configuration_id(
            record.sign.payload
        ):
            raise faults.NOT_COMMISSIONED.fault(
                differences="the configuration on the board is not the one that was signed"
            )
        self.found.record = record
        restart(console, window_ms(self._config))
        return "already", f"configuration {record.configuration_id.hex()} as signed; meter serves"

    def _lock(self, console: Console) -> Done:
        config = self._config
        if not config.get("locked", 0):
            return "skipped", "not locked: whoever has the cable can change this meter"
        if still_answers(console):
            raise faults.NOT_LOCKED.fault()
        return "ok", "Ctrl-C stops nothing after the service window"

    # What steps have found, once they have.

    @property
    def _identity(self) -> asked.Identity:
        assert self.found.identity is not None
        return self.found.identity

    @property
    def _config(self) -> Mapping[str, Any]:
        """What the meter shall run with; in a check, what it does run with."""
        return self._identity.config if self.order.checking else self.order.config

    @property
    def _no_meter(self) -> bool:
        """Whether a check finds a board that was never configured."""
        return self.order.checking and "element" not in self._identity.config

    @property
    def _bundle(self) -> bundle.Bundle:
        assert self.found.bundle is not None
        return self.found.bundle

    @property
    def _public(self) -> PublicKey:
        if self.found.public is None:
            raise faults.NO_KEY.fault()
        return self.found.public

    @property
    def _technician(self) -> Signer:
        if self.order.technician is None:
            raise faults.NO_TECHNICIAN_KEY.fault(why="none was given")
        return self.order.technician

    @property
    def _place(self) -> measuring.Installation:
        return self.order.installation
