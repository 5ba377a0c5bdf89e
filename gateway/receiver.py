"""A satellite receiver at the gateway: gpsd over TCP, or NMEA 0183 from a serial port.

Decides which reports are measured positions: fixes of two or three dimensions, neither estimated,
simulated nor typed in, with the receiver's own bound of their error. A receiver that goes away is
opened again. What a gateway makes of its fixes is decided in `gateway.place`.
"""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pynmeagps import NMEAReader

from gateway.config import Address, BusConfig, PlaceConfig
from gateway.lines.transport import SerialTransport
from wire.errors import Unavailable

SILENT_S = 10.0
"""A receiver that says nothing for so long is opened again."""

MOST_ERROR_DM = 10_000
"""A position that is worse known than this, one kilometre, is none."""

_LONGEST = 100
"""Bytes of an NMEA sentence; the standard ends them at 82."""

_MOST_LINE = 65_536
_E7 = 10_000_000
_RANGE_ERROR_M = 5.0
"""One sigma with an HDOP of 1, as the meters reckon it."""

_LARGE = 1e6
"""No angle and no error has so large a number."""

_UNSAID_M = 50.0
"""Error of a fix whose receiver gives none."""

_MEASURED_NMEA = frozenset({1, 2, 3, 4, 5})
"""GGA qualities that are measured; 6 is estimated, 7 typed in, 8 simulated."""

_NOT_MEASURED_GPSD = frozenset({5, 6, 8})
"""TPV status (gpsd_json(5)): dead reckoning, with GNSS or without, and simulated."""


@dataclass(frozen=True, slots=True)
class Fix:
    """One measured position."""

    lat_e7: int
    """Latitude, 1e-7 degrees."""

    lon_e7: int
    """Longitude, 1e-7 degrees."""

    accuracy_dm: int
    """Radius of the error, decimetres."""


class Receiver(Protocol):
    """Something that tells positions."""

    def fixes(self) -> AsyncGenerator[Fix, None]:
        """Positions as they come, until the receiver goes away; raises Unavailable."""


class GpsdReceiver:
    """A gpsd, asked in its JSON protocol (gpsd_json(5))."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def fixes(self) -> AsyncGenerator[Fix, None]:
        """Positions as they come; raises Unavailable when gpsd or its receiver is silent."""
        where = f"gpsd at {self._address.host}:{self._address.port}"
        try:
            async with asyncio.timeout(SILENT_S):
                reader, writer = await asyncio.open_connection(
                    self._address.host, self._address.port, limit=_MOST_LINE
                )
        except (OSError, TimeoutError) as reason:
            raise Unavailable(f"no {where}: {reason or 'no answer'}") from None
        try:
            writer.write(b'?WATCH={"enable":true,"json":true};\n')
            while True:
                async with asyncio.timeout(SILENT_S):
                    line = await reader.readline()
                if not line:
                    raise Unavailable(f"{where} closed the connection")
                fix = tpv_fix(line)
                if fix is not None:
                    yield fix
        except TimeoutError:
            raise Unavailable(f"{where} says nothing: is a receiver attached?") from None
        except (OSError, ValueError) as reason:
            raise Unavailable(f"{where}: {reason}") from None
        finally:
            writer.close()


class NmeaReceiver:
    """A receiver that speaks NMEA 0183 on a serial port."""

    def __init__(self, port: str, baudrate: int) -> None:
        self._port = port
        self._baudrate = baudrate

    async def fixes(self) -> AsyncGenerator[Fix, None]:
        """Positions as they come; raises Unavailable when the port is gone or silent."""
        transport = SerialTransport(BusConfig("receiver", self._port, self._baudrate, 0, ()))
        await transport.open()
        sentences = Sentences()
        try:
            while True:
                if not await transport.inbox.more(SILENT_S):
                    raise Unavailable(f"the receiver at {self._port} says nothing")
                octets = bytes(transport.inbox.received)
                transport.inbox.received.clear()
                for fix in sentences.take(octets):
                    yield fix
        finally:
            transport.close()


class Sentences:
    """Turns bytes of a serial line into fixes: whole sentences with a right checksum only."""

    def __init__(self) -> None:
        self._rest = b""
        self._deviation_m: float | None = None

    def take(self, octets: bytes) -> list[Fix]:
        """The fixes that these bytes complete."""
        lines = (self._rest + octets).split(b"\n")
        self._rest = lines.pop()[-_LONGEST:]
        found = []
        for line in lines:
            fix = self._sentence(line[line.rfind(b"$") :])
            if fix is not None:
                found.append(fix)
        return found

    def _sentence(self, line: bytes) -> Fix | None:
        if not line.startswith(b"$") or len(line) > _LONGEST or b"*" not in line:
            return None
        try:
            message = NMEAReader.parse(line + b"\n")
        except Exception:  # Anybody may talk here, and the library raises as it likes.
            return None
        said = vars(message) if message is not None else {}
        if message is not None and message.msgID == "GST":
            self._deviation_m = _radius(said.get("stdLat"), said.get("stdLong"))
        if message is None or message.msgID != "GGA" or said.get("quality") not in _MEASURED_NMEA:
            return None
        error_m, self._deviation_m = self._deviation_m, None
        if error_m is None:
            dilution = _number(said.get("HDOP"))
            error_m = dilution * _RANGE_ERROR_M if dilution else _UNSAID_M
        return _fix(_number(said.get("lat")), _number(said.get("lon")), error_m)


def tpv_fix(line: bytes) -> Fix | None:
    """The position of one of gpsd's lines; None when it tells none."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, Mapping) or said.get("class") != "TPV":
        return None
    status = said.get("status", 0)
    if said.get("mode") not in (2, 3) or not isinstance(status, int):
        return None
    if status in _NOT_MEASURED_GPSD:
        return None
    return _fix(_number(said.get("lat")), _number(said.get("lon")), _tpv_error_m(said))


def receiver_for(place: PlaceConfig) -> Receiver | None:
    """The receiver that a configuration names; None for a site that is only surveyed."""
    if place.gpsd is not None:
        return GpsdReceiver(place.gpsd)
    if place.nmea:
        return NmeaReceiver(place.nmea, place.nmea_baudrate)
    return None


def _tpv_error_m(said: Mapping[str, Any]) -> float:
    for error_m in (_number(said.get("eph")), _radius(said.get("epx"), said.get("epy"))):
        if error_m is not None:
            return error_m
    return _UNSAID_M


def _radius(east: object, north: object) -> float | None:
    east_m, north_m = _number(east), _number(north)
    return None if east_m is None or north_m is None else math.hypot(east_m, north_m)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LARGE else None


def _fix(lat: float | None, lon: float | None, error_m: float) -> Fix | None:
    if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
        return None
    accuracy_dm = int(10 * max(error_m, 0)) + 1
    if accuracy_dm > MOST_ERROR_DM:
        return None
    return Fix(round(lat * _E7), round(lon * _E7), accuracy_dm)
