"""One RS-485 line, octet by octet: who talks when, and who hears what.

Decides the physics that masters stumble over: each octet takes its time; there is one pair of
wires, so two who talk at once garble each other, and who talks hears nothing; a frame is over after
3.5 characters of silence; a device that wants more silence before a request has not heard one that
comes sooner; whoever listens with other settings hears garbage (`hwsim.uart`).

No input, no output, no clock: `send` and `receive` are told the time, in seconds since the line was
made. Devices decide what they answer (`hwsim.modbus_device`); `hwsim.line_drivers` puts a line on a
pty or under an event loop.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hwsim.uart import Burst, Ear, Heard, LineFormat

_FORGOTTEN_S = 0.25
"""What ended so long ago is in no receiver any more: longer than a character at 50 baud."""

_SLACK_S = 0.0001
"""A silence that is shorter by so little is long enough."""


@dataclass(frozen=True, slots=True)
class Transmission:
    """What a device will say."""

    delay_s: float
    """After the frame that it answers is over."""

    octets: bytes
    """What it says."""

    line: LineFormat | None = None
    """Other settings than it listens with."""


class Device:
    """Somebody on the line. Says nothing by itself."""

    unit: int = 0
    """Its address; 0 is nobody's."""

    line: LineFormat | None = None
    """Its own settings; None: the line's."""

    silence_s: float = 0.0
    """Silence that it needs before a request."""

    def heard(self, frame: bytes, now_s: float) -> list[Transmission]:
        """What it says to a frame, whoever the frame is for."""
        return []

    def next_unasked_s(self) -> float | None:
        """When it will speak without being asked; None: never."""
        return None

    def unasked(self, now_s: float) -> list[Transmission]:
        """What it says at that time."""
        return []


@dataclass(frozen=True, slots=True)
class Frame:
    """Octets between two silences, as one receiver heard them."""

    characters: tuple[Heard, ...]
    """In order, never empty."""

    before_s: float
    """When the line was last driven before."""

    @property
    def silence_s(self) -> float:
        """Silence before it."""
        return self.characters[0].start_s - self.before_s

    def comes_too_early(self, silence_s: float) -> bool:
        """Whether somebody who needs so much silence has not heard it."""
        return self.silence_s < silence_s - _SLACK_S

    def for_ears_of(self, device: object | None = None) -> bytes:
        """The octets that a device heard, who hears nothing while it talks; None: all of them.

        Nothing when its receiver found an error in them.
        """
        there = [each for each in self.characters if device is None or device not in each.talkers]
        return bytes(each.octet for each in there) if all(each.sound for each in there) else b""


@dataclass(slots=True)
class _Hearing:
    """A receiver and the frame it is in."""

    ear: Ear
    characters: list[Heard] = field(default_factory=list)
    before_s: float = -math.inf

    def frame_end_s(self) -> float | None:
        """When the frame is over, if nobody says more."""
        if not self.characters:
            return None
        return self.characters[-1].end_s + self.ear.format.frame_end_s


class Wire:
    """The line, its devices and the master's end of it."""

    def __init__(
        self,
        devices: Sequence[Device],
        baudrate: int = 9_600,
        bits: str = "8N1",
        seed: int = 0,
        echo: bool = False,
    ) -> None:
        """Make a silent line.

        Args:
            devices: who is on it; faults wrap devices (`hwsim.faults`).
            baudrate: of the master, and of devices without settings of their own.
            bits: likewise, as `8N1`.
            seed: of the coins that are tossed where talkers clash.
            echo: the master's adapter hears what the master says.
        """
        self.devices = tuple(devices)
        self.watch: Callable[[Frame], None] | None = None
        """Shown each frame as a receiver with the line's settings heard it."""
        self._default = self._master = LineFormat.of(baudrate, bits)
        self._seed = seed
        self._echo = echo
        self._bursts: list[Burst] = []
        self._busy_until_s: dict[object | None, float] = {}
        self._waiting: list[tuple[float, int, Device, Transmission]] = []
        self._count = 0
        self._speakers = tuple(
            each for each in devices if type(each).next_unasked_s is not Device.next_unasked_s
        )
        self._hearings: dict[LineFormat, _Hearing] = {}
        self._arrived = bytearray()
        self._regroup(0.0)

    @property
    def format(self) -> LineFormat:
        """The master's settings."""
        return self._master

    def change_format(self, now_s: float, format_: LineFormat) -> None:
        """The master switches its own end to other settings."""
        self._advance(now_s)
        self._master = format_
        self._regroup(now_s)

    def send(self, now_s: float, octets: bytes) -> None:
        """The master sends octets, behind what it is still sending."""
        self._advance(now_s)
        if octets:
            self._talk(None, self._master, now_s, octets)

    def receive(self, now_s: float) -> bytes:
        """What has arrived at the master and was not taken yet."""
        self._advance(now_s)
        arrived = bytes(self._arrived)
        self._arrived.clear()
        return arrived

    def next_s(self) -> float | None:
        """When something will happen next; None: nothing will, unless the master speaks."""
        moments = [self._waiting[0][0]] if self._waiting else []
        for hearing in self._hearings.values():
            octet_s, frame_s = hearing.ear.next_s(), hearing.frame_end_s()
            # A frame is not over while a character is coming in that began before its end.
            if octet_s is not None:
                moments.append(octet_s)
            if frame_s is not None and not self._goes_on(hearing, frame_s):
                moments.append(frame_s)
        for device in self._speakers:
            unasked_s = device.next_unasked_s()
            if unasked_s is not None:
                moments.append(unasked_s)
        return min(moments, default=None)

    def _goes_on(self, hearing: _Hearing, frame_s: float) -> bool:
        octet_s = hearing.ear.next_s()
        return octet_s is not None and octet_s - hearing.ear.format.character_s < frame_s

    def _advance(self, now_s: float) -> None:
        while (moment_s := self.next_s()) is not None and moment_s <= now_s:
            self._step(moment_s)

    def _step(self, now_s: float) -> None:
        for device in self._speakers:
            unasked_s = device.next_unasked_s()
            if unasked_s is not None and unasked_s <= now_s:
                self._will_say(device, device.unasked(now_s), now_s)
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, device, saying = heapq.heappop(self._waiting)
            self._talk(device, saying.line or device.line or self._default, now_s, saying.octets)
        for hearing in list(self._hearings.values()):
            self._listen(hearing, now_s)
        self._bursts = [each for each in self._bursts if each.end_s > now_s - _FORGOTTEN_S]

    def _talk(self, who: Device | None, format_: LineFormat, now_s: float, octets: bytes) -> None:
        start_s = max(now_s, self._busy_until_s.get(who, now_s))
        burst = Burst(who, format_, start_s, octets)
        self._busy_until_s[who] = burst.end_s
        self._bursts.append(burst)
        for hearing in self._hearings.values():
            hearing.ear.look(self._bursts)

    def _will_say(self, device: Device, sayings: list[Transmission], now_s: float) -> None:
        for each in sayings:
            if each.octets:
                self._count += 1
                at_s = now_s + max(0.0, each.delay_s)
                heapq.heappush(self._waiting, (at_s, self._count, device, each))

    def _listen(self, hearing: _Hearing, now_s: float) -> None:
        frame_s = hearing.frame_end_s()
        if frame_s is not None and frame_s <= now_s and not self._goes_on(hearing, frame_s):
            self._frame_over(hearing, now_s)
        octet_s = hearing.ear.next_s()
        if octet_s is None or octet_s > now_s:
            return
        character = hearing.ear.take(self._bursts)
        hearing.characters.append(character)
        if hearing.ear.format == self._master and (self._echo or None not in character.talkers):
            self._arrived.append(character.octet)

    def _frame_over(self, hearing: _Hearing, now_s: float) -> None:
        frame = Frame(tuple(hearing.characters), hearing.before_s)
        hearing.before_s = frame.characters[-1].end_s
        hearing.characters.clear()
        if self.watch is not None and hearing.ear.format == self._default:
            self.watch(frame)
        talkers = {who for each in frame.characters for who in each.talkers}
        whole = frame.for_ears_of()
        for device in self.devices:
            if (device.line or self._default) != hearing.ear.format:
                continue
            octets = frame.for_ears_of(device) if device in talkers else whole
            if octets and not frame.comes_too_early(device.silence_s):
                self._will_say(device, device.heard(octets, now_s), now_s)
        self._regroup(now_s)

    def _regroup(self, now_s: float) -> None:
        """One receiver for each settings that somebody listens with."""
        wanted = {device.line or self._default for device in self.devices} | {self._master}
        for format_ in wanted - self._hearings.keys():
            hearing = self._hearings[format_] = _Hearing(Ear(format_, self._seed, now_s))
            hearing.ear.look(self._bursts)
        for format_ in self._hearings.keys() - wanted:
            del self._hearings[format_]
