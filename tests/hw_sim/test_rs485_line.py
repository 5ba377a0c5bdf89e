"""The physics of the line: time, clashes, silences, settings."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import BusConfig
from gateway.lines.frames import Request
from gateway.lines.line import Line, NoAnswer
from gateway.lines.transport import Inbox, Transport
from hwsim.curves import PowerSteps
from hwsim.modbus_device import ModbusDevice, always
from hwsim.rs485 import Device, Frame, Transmission, Wire
from hwsim.uart import LineFormat
from hwsim.vendors.eastron import Sdm120, Sdm630
from hwsim.virtual_time import WireTransport, run_jumping
from tests.hw_sim.line_master import ask, listen, read_frame, words_of
from wire.errors import Malformed, Unavailable


@dataclass(eq=False)
class Parrot(Device):
    """Says something to the first frame, and remembers what it heard."""

    says: bytes = b""
    delay_s: float = 0.0
    unit: int = 9
    line: LineFormat | None = None
    silence_s: float = 0.0
    frames: list[bytes] = field(default_factory=list)

    def heard(self, frame: bytes, now_s: float) -> list[Transmission]:
        self.frames.append(frame)
        if len(self.frames) > 1:
            return []  # Two parrots would never come to an end.
        return [Transmission(self.delay_s, self.says)]


def sdm(unit: int = 1, delay_s: float = 0.03, line: LineFormat | None = None) -> ModbusDevice:
    return ModbusDevice(unit, Sdm120(), PowerSteps(import_wh=5_000), always(delay_s), line)


def test_each_octet_takes_its_time() -> None:
    wire = Wire([Parrot(b"abc", 0.02)], 9_600, "8N1")
    wire.send(1.0, b"question")
    asked_s = 1.0 + 8 * 10 / 9_600
    answered_s = asked_s + 3.5 * 10 / 9_600 + 0.02
    heard = listen(wire, 2.0)
    assert [octets for _, octets in heard] == [b"a", b"b", b"c"]
    for number, (at_s, _) in enumerate(heard, 1):
        assert at_s == pytest.approx(answered_s + number * 10 / 9_600, abs=1e-9)


@pytest.mark.parametrize(("bits", "length"), [("8N1", 10), ("8E1", 11), ("8N2", 11), ("7E1", 10)])
def test_a_character_is_as_long_as_its_bits(bits: str, length: int) -> None:
    assert LineFormat.of(2_400, bits).character_s == pytest.approx(length / 2_400)


def test_above_19200_baud_a_frame_ends_after_1750_microseconds() -> None:
    assert LineFormat.of(19_200, "8E1").frame_end_s == pytest.approx(3.5 * 11 / 19_200)
    assert LineFormat.of(38_400, "8E1").frame_end_s == 0.00175


def test_a_pause_in_a_request_makes_two_frames_of_it() -> None:
    parrot = Parrot()
    wire = Wire([parrot])
    wire.send(0.0, b"one")
    wire.send(3 * 10 / 9_600 + 3.4 * 10 / 9_600, b"still one")
    wire.receive(0.1)
    wire.send(0.1, b"two")
    wire.receive(0.2)
    assert parrot.frames == [b"onestill one", b"two"]


def test_two_who_talk_at_once_are_garbled() -> None:
    first, second = Parrot(bytes(range(40, 60))), Parrot(bytes(range(90, 110)))
    reply = ask(Wire([first, second]), 0.0, b"all of you")
    assert reply not in (first.says, second.says)
    assert len(reply) <= 20


def test_a_clash_spoils_only_what_overlaps() -> None:
    first, second = Parrot(b"A" * 20), Parrot(b"B" * 20, delay_s=10 * 10 / 9_600)
    reply = ask(Wire([first, second]), 0.0, b"x")
    assert reply.startswith(b"A" * 9)
    assert reply.endswith(b"B" * 9)
    assert reply != b"A" * 20 + b"B" * 10


def test_two_meters_of_one_number_give_no_sound_answer() -> None:
    same = ModbusDevice(1, Sdm120(), PowerSteps(import_wh=77_000), always(0.031))
    reply = ask(Wire([sdm(), same]), 0.0, read_frame(1, 0x48, 4))
    with pytest.raises(AssertionError):
        words_of(reply)


def test_who_talks_hears_nothing() -> None:
    wire = Wire([Parrot(b"A" * 20)])
    wire.send(0.0, b"x")
    begin_s = 10 / 9_600 * 4.5
    wire.receive(begin_s + 5 * 10 / 9_600)
    wire.send(begin_s + 5 * 10 / 9_600, b"y" * 5)
    heard = b"".join(octets for _, octets in listen(wire, 1.0))
    assert heard == b"A" * len(heard)
    assert 8 <= len(heard) <= 10


def test_an_adapter_with_echo_hears_itself() -> None:
    request = read_frame(1, 0x48, 4)
    reply = ask(Wire([sdm()], echo=True), 0.0, request)
    assert reply.startswith(request)
    words_of(reply.removeprefix(request))


def test_a_request_that_comes_too_early_for_an_eastron_is_not_heard() -> None:
    wire, request = Wire([sdm()]), read_frame(1, 0x48, 4)
    reply = ask(wire, 0.0, request, wait_s=0.08)
    words_of(reply)
    over_s = (8 + 3.5 + len(reply)) * 10 / 9_600 + 0.03
    assert ask(wire, over_s + 0.055, request, wait_s=0.2) == b""
    last_s = over_s + 0.055 + 8 * 10 / 9_600
    words_of(ask(wire, max(last_s + 0.06, over_s + 0.255), request))


def test_the_silence_is_since_anybody_talked() -> None:
    wire = Wire([sdm(1), Parrot(b"", unit=2)])
    wire.send(0.0, b"to somebody else")
    over_s = 16 * 10 / 9_600
    wire.receive(over_s + 0.02)
    assert ask(wire, over_s + 0.02, read_frame(1, 0x48, 4)) == b""
    words_of(ask(wire, 5.0, read_frame(1, 0x48, 4)))


@pytest.mark.parametrize(
    ("baudrate", "bits"), [(4_800, "8N1"), (19_200, "8N1"), (9_600, "8E1"), (2_400, "8N1")]
)
def test_a_meter_with_other_settings_hears_garbage_and_says_nothing(
    baudrate: int, bits: str
) -> None:
    other = sdm(line=LineFormat.of(baudrate, bits))
    assert ask(Wire([other]), 0.0, read_frame(1, 0x48, 4)) == b""


@pytest.mark.parametrize(("baudrate", "bits"), [(9_600, "8E1"), (4_800, "8N1"), (38_400, "8N1")])
def test_a_master_with_other_settings_hears_garbage(baudrate: int, bits: str) -> None:
    says = read_frame(1, 0x48, 4)
    wire = Wire([Parrot(says, delay_s=0.5)], baudrate, bits)
    wire.send(0.0, b"?")
    wire.receive(0.2)
    wire.change_format(0.2, LineFormat.of(9_600, "8N1"))
    heard = b"".join(octets for _, octets in listen(wire, 2.0))
    assert heard
    assert heard != says


def test_a_seven_bit_line_heard_with_eight_shows_the_parity() -> None:
    wire = Wire([Parrot(b"/ISK5", delay_s=0.5)], 300, "7E1")
    wire.send(0.0, b"?")
    wire.change_format(0.3, LineFormat.of(300, "8N1"))
    heard = b"".join(octets for _, octets in listen(wire, 3.0))
    assert bytes(each & 0x7F for each in heard) == b"/ISK5"
    assert heard == bytes(each | (each.bit_count() & 1) << 7 for each in b"/ISK5")


def test_a_parity_error_spoils_a_frame_for_its_hearer() -> None:
    parrot = Parrot(line=LineFormat.of(9_600, "8O1"))
    wire = Wire([parrot], 9_600, "8E1")
    wire.send(0.0, b"hello")
    wire.receive(1.0)
    assert parrot.frames == []


@pytest.mark.parametrize("bits", ["", "8n1", "9N1", "8X1", "8N3", "8N11"])
def test_bits_that_nobody_writes_are_refused(bits: str) -> None:
    with pytest.raises(Malformed, match="written like 8N1"):
        Wire([], 9_600, bits)


@given(st.lists(st.floats(0.0001, 0.05), min_size=1, max_size=30))
def test_how_often_one_looks_changes_nothing(steps_s: list[float]) -> None:
    def play(looks_s: list[float]) -> bytes:
        wire = Wire([sdm(), Parrot(b"clash!", 0.04)], seed=7)
        wire.send(0.0, read_frame(1, 0x48, 4))
        heard = b"".join(wire.receive(look_s) for look_s in looks_s)
        wire.send(2.0, b"again")
        return heard + wire.receive(3.0)

    looks_s = [sum(steps_s[:count]) for count in range(len(steps_s))]
    assert play([each for each in looks_s if each < 2] + [1.999]) == play([1.999])


def test_frames_are_shown_to_who_watches() -> None:
    meter, seen = sdm(), list[tuple[object | None, bytes]]()

    def watch(frame: Frame) -> None:
        octets = bytes(each.octet for each in frame.characters)
        seen.append((frame.characters[0].talkers[0], octets))

    wire = Wire([meter])
    wire.watch = watch
    request = read_frame(1, 0x48, 4)
    reply = ask(wire, 0.0, request)
    assert seen == [(None, request), (meter, reply)]


def test_a_gateways_line_reads_meters_in_virtual_time() -> None:
    async def poll() -> float:
        wire = Wire([ModbusDevice(n, Sdm630(), PowerSteps(phases=3)) for n in range(1, 33)])
        transport: Transport = WireTransport[Inbox](wire, Inbox)
        line = Line(BusConfig("b", "/dev/x", 9_600, 500, ()), transport)
        for _ in range(5):
            for unit in range(1, 33):
                assert len(await line.ask(Request(unit, 4, 0x48, 4), 60)) == 4
            await asyncio.sleep(800)
        with pytest.raises(NoAnswer):
            await line.ask(Request(99, 4, 0x48, 4), 60)
        return asyncio.get_running_loop().time()

    assert run_jumping(poll()) == pytest.approx(5 * (800 + 32 * 0.115), rel=0.01)


def test_an_unplugged_adapter_hangs_up_and_can_be_opened_when_it_is_back() -> None:
    async def live() -> None:
        transport = WireTransport[Inbox](Wire([sdm()]), Inbox)
        line = Line(BusConfig("b", "/dev/x", 9_600, 500, ()), transport)
        await line.ask(Request(1, 4, 0x48, 4), 60)
        transport.unplug()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await line.ask(Request(1, 4, 0x48, 4), 60)
        transport.plug()
        await line.ask(Request(1, 4, 0x48, 4), 60)

    run_jumping(live())
