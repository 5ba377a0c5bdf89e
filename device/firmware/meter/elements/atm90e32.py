"""ATM90E32AS: three phases, import and export, over SPI (Microchip Atmel-46003, M90E32AS).

Decides how the chip is configured, that its registers hold what was written, and that each tick of
energy is counted once. The energy registers (80H forward, 84H reverse, arithmetic sum of the
phases) are cleared by the transfer that reads them, so the sums live in RAM: `volatile`. What the
chip sent last stays in LastSPIData (78H), and a read that it did not accept clears nothing and
leaves LastSPIData as it was. So each clearing read is made from a known mark, and LastSPIData,
read until it says the same three times, decides: still the mark, nothing was cleared; another
value, that many ticks were. Until it is known, nothing else is transferred. More ticks than the
chip's range of current can make in that time came from another register, by an address that was
damaged on its way. A tick is a hundredth of a pulse; PL_Constant (31H, 32H) is
450 * 10**9 / pulses_per_kwh (Atmel-46103).

A board that starts again finds a chip that has counted on, and takes what it holds. A chip that
loses its configuration while the meter runs is configured anew, which `restarts` tells.
"""

import time

from meter import NotConfigured

METER_EN, OI_TH, PL_HIGH, PL_LOW, M_MODE_0, M_MODE_1 = 0x00, 0x0B, 0x31, 0x32, 0x33, 0x34
SOFT_RESET, LAST_SPI_DATA, CONFIG_ACCESS = 0x70, 0x78, 0x7F
ENERGY = (0x80, 0x84)
POWER, POWER_LOW, VOLTAGE, CURRENT, FREQUENCY = 0xB1, 0xC1, 0xD9, 0xDD, 0xF8
RESET_KEY, ACCESS_KEY = 0x789A, 0x55AA
MARK = 0xFFFE  # In OIth, the over-current threshold: out of the way, and no count of ticks.
START, PHASE_START = 0x1D4C, 0x02EE  # 2.4 W in all, 0.24 W a phase.
THRESHOLDS = ((0x35, START), (0x36, START), (0x37, START))
THRESHOLDS += ((0x38, PHASE_START), (0x39, PHASE_START), (0x3A, PHASE_START))
CALIBRATION = {  # Register of phase A, and how far the next phase's is.
    "u_gain": (0x61, 4),
    "i_gain": (0x62, 4),
    "u_offset": (0x63, 4),
    "i_offset": (0x64, 4),
    "p_offset": (0x41, 2),
    "q_offset": (0x42, 2),
    "pq_gain": (0x47, 2),
    "phi": (0x48, 2),
}
PL_NUMERATOR = 450000000000
MWH_PER_KWH, TICKS_PER_PULSE = 1000000, 100
FOUR_WIRE = 0x0087  # MMode0: three phases, four wires, 50 Hz.
TRIES = 3
EVERY_MS = 1000  # Ticks are fetched: at 69 kW and 3200 imp/kWh the register lasts 10 s.
MOST_MWH_PER_MS = 17  # 3 * 300 V * 65.5 A, the end of Irms.
SLACK_MS = 200


class Atm90e32:
    """The measuring element at one SPI bus."""

    volatile = True

    def __init__(self, spi, cs, registers, pulses_per_kwh, m_mode_0=FOUR_WIRE, clock=time):
        """`registers`: (address, value) pairs of the calibration."""
        self._spi, self._cs, self._clock = spi, cs, clock
        self._out, self._in = bytearray(4), bytearray(4)
        constant = PL_NUMERATOR // pulses_per_kwh
        self._registers = ((OI_TH, MARK), (PL_HIGH, constant >> 16), (PL_LOW, constant & 0xFFFF))
        self._registers += (
            ((M_MODE_0, m_mode_0),) + THRESHOLDS + tuple(registers) + ((METER_EN, 1),)
        )
        self._pulses_per_kwh = pulses_per_kwh
        self._ticks = [0, 0]
        self._counted = [None, None]  # When the read was made that counted last.
        self._asked = None  # When the clearing read was made that is open.
        self._open = None  # Direction of a clearing read whose outcome is not known yet.
        self._ready = False
        self._fetched = clock.ticks_ms()
        self.restarts = 0  # Times that the chip had to be configured anew after it had counted.

    def step(self):
        """Bring the chip's ticks over before its registers are full; called often by the loop."""
        now = self._clock.ticks_ms()
        if self._clock.ticks_diff(now, self._fetched) >= EVERY_MS:
            self._fetched = now
            self._fetch()

    def read(self, at_ms):
        """(import, export) counters in mWh now, whatever the time; None when held."""
        for _ in range(TRIES):
            if self._fetch():
                break
        else:
            return None
        if self._holds() is False:  # Nobody knows what its ticks were worth.
            self._ready = False
            return None
        return tuple([self._mwh(ticks) for ticks in self._ticks])

    def _mwh(self, ticks):
        return ticks * (MWH_PER_KWH // TICKS_PER_PULSE) // self._pulses_per_kwh

    def measure(self):
        """(mHz, ((mV, mA, mW), three times)), or None."""
        if not self._ready or self._open is not None:
            return None
        frequency = self._value(FREQUENCY)
        phases = []
        for i in range(3):
            values = [self._value(base + i) for base in (VOLTAGE, CURRENT, POWER, POWER_LOW)]
            if frequency is None or None in values:
                return None
            phases.append((values[0] * 10, values[1], _power_mw(values[2], values[3])))
        return frequency * 10, tuple(phases)

    def _transfer(self, first, address, value=0):
        out = self._out
        out[0], out[1], out[2], out[3] = first, address, value >> 8, value & 0xFF
        self._cs(0)
        self._spi.write_readinto(out, self._in)
        self._cs(1)
        return self._in[2] << 8 | self._in[3]

    def _get(self, address):
        return self._transfer(0x80, address)

    def _value(self, address):
        """A register that reading does not change, or None when what came is not what was sent."""
        for _ in range(TRIES):
            value = self._get(address)
            if self._get(LAST_SPI_DATA) == value:
                return value
        return None

    def _holds(self):
        """Whether the chip has its configuration; None when a silent bus does not tell."""
        holds = True
        for address, wanted in self._registers:
            value = self._value(address)
            if value != wanted:
                if value not in (None, 0, 0xFFFF):
                    return False
                holds = None
        return holds

    def _prepare(self):
        """Take the chip as it is if it is ours, else configure it."""
        holds = self._holds()
        if holds is False:
            self._transfer(0, SOFT_RESET, RESET_KEY)
            self._clock.sleep_ms(20)
            self._transfer(0, CONFIG_ACCESS, ACCESS_KEY)
            for address, value in self._registers:
                self._transfer(0, address, value)
            self._transfer(0, CONFIG_ACCESS, 0)
            self.restarts += self._counted[0] is not None
            holds = self._holds()
        self._ready = holds is True
        return self._ready

    def _fetch(self):
        """Bring both registers over; False when that is not known to be done."""
        if self._open is not None:
            self._settle()
        if self._open is not None or not (self._ready or self._prepare()):
            return False
        for direction in range(2):
            if self._value(OI_TH) != MARK:
                self._ready = False  # It was reset, or the bus is silent: `_prepare` finds out.
                return False
            self._open = direction
            self._asked = self._clock.ticks_ms()
            if not self._settle(self._get(ENERGY[direction])):
                return False
        return True

    def _settle(self, said=None):
        """Count what the last clearing read cleared, once LastSPIData is known; True if it did.

        `said` is what that read itself gave. A count that cannot be is asked for more often.
        """
        times = 1
        for _ in range(4 * TRIES):
            last = self._get(LAST_SPI_DATA)
            times = times + 1 if last == said else 1
            said = last
            can_be = self._can_be(last)
            if times == (TRIES if can_be or last == MARK else 2 * TRIES):
                break
        else:
            return False
        direction, self._open = self._open, None
        if not can_be:
            return False
        self._counted[direction] = self._asked
        self._ticks[direction] += last
        return True

    def _can_be(self, ticks):
        """Whether so many ticks can have come between the read that counted and this one."""
        before = self._counted[self._open]
        if ticks == MARK or before is None:
            return ticks != MARK
        passed_ms = self._clock.ticks_diff(self._asked, before) + SLACK_MS
        return self._mwh(ticks) <= MOST_MWH_PER_MS * passed_ms


def _power_mw(high, low):
    """Signed 32 bits in units of 0.00032 W."""
    value = high << 16 | low
    return (value - (value >> 31 << 32)) * 32 // 100


def make(settings, board):
    """From {"kind": "atm90e32", "pulses_per_kwh": 3200, "phases": [{"u_gain": …, "i_gain": …}, …]}.

    Each phase may also have the other names of CALIBRATION. Optional: "m_mode_0", and "m_mode_1",
    the gains of the current channels.
    """
    pulses_per_kwh = settings.get("pulses_per_kwh", 3200)
    phases = settings.get("phases", [])
    if not 1 <= len(phases) <= 3 or not 105 <= pulses_per_kwh <= 1000000:
        raise NotConfigured("element: one to three phases, pulses_per_kwh from 105 to 1000000")
    registers = [(M_MODE_1, settings.get("m_mode_1", 0))]
    for i, phase in enumerate(phases):
        if "u_gain" not in phase or "i_gain" not in phase:
            raise NotConfigured("element: each phase has its u_gain and i_gain from calibration")
        for name in phase:
            if name not in CALIBRATION:
                raise NotConfigured("element: unknown in phases: " + name)
            base, stride = CALIBRATION[name]
            registers.append((base + stride * i, phase[name] & 0xFFFF))
    spi, cs = board.element_spi()
    return Atm90e32(spi, cs, registers, pulses_per_kwh, settings.get("m_mode_0", FOUR_WIRE))
