"""A line of IEC 62056-21: signs on or listens, and gives a readout as registers.

Stands where `lines.line` stands for Modbus: whoever asks it, whatever he asks, gets a whole
readout, made anew, its energy lines laid into 64 registers (`meters.obis`). Decides the rhythm:
sign-on at 300 baud, the meter's own rate for the data, back again; and that a telegram without a
check character counts only when the next one agrees with it.

The port is opened with 8 bits and no parity, which takes as long on the wire as 7 bits and even
parity; the parity is ours, and its errors are seen (`lines.readout`).
"""

import asyncio

from gateway.config import BusConfig
from gateway.lines.frames import Garbled, Request
from gateway.lines.line import Line, NoAnswer
from gateway.lines.readout import (
    Telegram,
    acknowledgement,
    block_in,
    identification_in,
    pushed_in,
    seven_bits,
    sign_on,
    with_parity,
)
from gateway.lines.transport import SerialTransport, transport_for
from gateway.meters.obis import energy_lines, energy_of, lay_out, numbers_in
from gateway.meters.words import bytes_words
from gateway.polling.window import WrongMeter
from wire.errors import Unavailable

_REACTION_S = 0.25
"""A meter needs 200 ms between its message and ours (IEC 62056-21, section 6.3.14)."""

_SENT_S = 0.02
"""Before the rate is changed, so that the last character has left."""

_LONGEST = 16_384
_MOST_BETWEEN_WH = 100
"""What two telegrams that follow each other can differ by."""


def line_for(bus: BusConfig) -> Line:
    """The line that a bus's configuration names."""
    if bus.readout:
        return ReadoutLine(bus, SerialTransport(bus))
    return Line(bus, transport_for(bus))


class ReadoutLine(Line):
    """A serial line or optical head with meters that give readouts."""

    def __init__(self, bus: BusConfig, port: SerialTransport) -> None:
        super().__init__(bus, port)
        self._port = port
        self._bus = bus
        self._addresses = {meter.unit: meter.address for meter in bus.meters}

    async def ask(self, request: Request, silence_ms: int = 0) -> tuple[int, ...]:
        """Get a readout; see `Line.ask` for the other errors.

        Args:
            request: of which unit; as many registers are given as it asks for.
            silence_ms: not needed here.

        Raises:
            WrongMeter: another meter than the bus's configuration names.
        """
        await self._open(request.unit)
        try:
            async with asyncio.timeout(self._bus.timeout_ms / 1000):
                telegram = await self._believed(request.unit)
        except TimeoutError:
            self.count("no-answer", request.unit)
            raise NoAnswer(f"no readout within {self._bus.timeout_ms} ms") from None
        except Garbled:
            self.count("garbled", request.unit)
            raise
        except Unavailable:
            self.count("line-down", request.unit)
            self._port.close()
            raise
        self._check(request.unit, telegram)
        return _registers(telegram)[: request.count]

    def _check(self, unit: int, telegram: Telegram) -> None:
        """See that a meter which says its number says the one that was asked for."""
        wanted, numbers = self._addresses.get(unit, ""), numbers_in(telegram.data)
        if wanted and numbers and wanted not in numbers:
            raise WrongMeter(f"the meter says it is {', '.join(sorted(numbers))}, not {wanted}")

    async def _believed(self, unit: int) -> Telegram:
        """A telegram with a right check, or one that the one before agrees with."""
        telegram = await self._telegram(unit)
        if telegram.checked:
            return telegram
        second = await self._telegram(unit)
        if not _agree(telegram, second):
            raise Garbled("two telegrams without a check character that do not agree")
        return second

    async def _telegram(self, unit: int) -> Telegram:
        self._port.inbox.received.clear()
        if self._bus.readout == "push":
            return await self._pushed()
        try:
            return await self._read_out(self._addresses.get(unit, ""))
        finally:
            if self._port.is_open:
                self._port.set_baudrate(self._bus.baudrate)

    async def _pushed(self) -> Telegram:
        while True:
            found = pushed_in(self._heard())
            if found is not None:
                del self._port.inbox.received[: found[1]]
                return found[0]
            await self._more()

    async def _read_out(self, address: str) -> Telegram:
        """Mode C, or A when the meter offers no rate (section 6.4)."""
        self._port.send(with_parity(sign_on(address)))
        while (found := identification_in(self._heard())) is None:
            await self._more()
        who, rest = found
        if who.baudrate is not None:
            await asyncio.sleep(_REACTION_S)
            self._port.inbox.received.clear()
            rest = b""
            self._port.send(with_parity(acknowledgement(who.rate)))
            await self._sent()
            self._port.set_baudrate(who.baudrate)
        else:
            # What follows the identification is data already.
            self._port.inbox.received[:] = rest
        while (telegram := block_in(self._heard())) is None:
            await self._more()
        return telegram

    async def _sent(self) -> None:
        """Wait until the last character has left."""
        left_s = self._port.inbox.last_byte_s - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, left_s) + _SENT_S)

    def _heard(self) -> bytes:
        received = self._port.inbox.received
        if len(received) > _LONGEST:
            raise Garbled(f"{_LONGEST} octets and no readout in them")
        return seven_bits(bytes(received))

    async def _more(self) -> None:
        await self._port.inbox.more(self._bus.timeout_ms / 1000)


def _registers(telegram: Telegram) -> tuple[int, ...]:
    octets = lay_out(energy_lines(telegram.data))
    if octets is None:
        raise Garbled("a readout whose energy lines are longer than a reading can carry")
    return bytes_words(octets)


def _agree(first: Telegram, second: Telegram) -> bool:
    """Whether two telegrams that follow each other can both be right."""
    pairs = zip(energy_lines(first.data), energy_lines(second.data), strict=True)
    for before, after in pairs:
        before_wh, after_wh = energy_of(before), energy_of(after)
        if before_wh is None or after_wh is None:
            return False
        if not 0 <= after_wh - before_wh <= _MOST_BETWEEN_WH:
            return False
    return True
