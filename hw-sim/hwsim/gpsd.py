"""A gpsd that speaks its JSON protocol over TCP, with a simulated receiver behind it.

Decides what gpsd_json(5) says of requests: VERSION at once, WATCH switches reports on and off,
POLL, VERSION and DEVICES are answered, anything else is an ERROR. Reports are TPV and SKY, a pair
for each epoch. Serves the loopback interface only.
"""

import asyncio
import contextlib
import json
from typing import Any

from hwsim.gps import Epoch, satellites

DEVICE = "/dev/simulated"
RELEASE, PROTOCOL = "3.25", (3, 15)
_STATUS = {6: 5, 8: 8}
"""GGA's estimated and simulated as TPV's status; a normal fix has none."""

_LONGEST = 8_192
_COMPACT = (",", ":")


def tpv(epoch: Epoch) -> dict[str, Any]:
    """Time, position, velocity."""
    report: dict[str, Any] = {"class": "TPV", "device": DEVICE, "mode": epoch.mode}
    report["time"] = f"{epoch.at:%Y-%m-%dT%H:%M:%S}.000Z"
    report["leapseconds"] = 18
    if epoch.quality in _STATUS:
        report["status"] = _STATUS[epoch.quality]
    if epoch.mode > 1:
        report |= {"ept": 0.005, "lat": round(epoch.lat, 9), "lon": round(epoch.lon, 9)}
        report |= {"epx": 2.1, "epy": 2.3, "eph": 3.1, "speed": 0.01, "track": 0.0}
    if epoch.mode > 2:
        report |= {"altMSL": epoch.alt_m, "alt": epoch.alt_m, "epv": 4.6}
    return report


def sky(epoch: Epoch) -> dict[str, Any]:
    """Satellites in view."""
    seen = satellites(epoch)
    used = sum(bool(each["used"]) for each in seen)
    return {
        "class": "SKY", "device": DEVICE, "hdop": epoch.hdop, "nSat": len(seen), "uSat": used,
        "satellites": seen,
    }  # fmt: skip


_VERSION: dict[str, Any] = {
    "class": "VERSION", "release": RELEASE, "rev": RELEASE,
    "proto_major": PROTOCOL[0], "proto_minor": PROTOCOL[1],
}  # fmt: skip
_DEVICES: dict[str, Any] = {
    "class": "DEVICES",
    "devices": [{"class": "DEVICE", "path": DEVICE, "driver": "NMEA0183", "bps": 9_600}],
}


class GpsdServer:
    """Serves whoever connects."""

    def __init__(self) -> None:
        self.port = 0
        """Where it listens, once it does."""
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._watching: set[asyncio.StreamWriter] = set()
        self._last: list[dict[str, Any]] = []

    async def listen(self, port: int) -> None:
        """Listen on a loopback port, 0 for any; raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", port, limit=_LONGEST)
        self.port = self._server.sockets[0].getsockname()[1]

    def report(self, epoch: Epoch) -> None:
        """Tell an epoch to those who watch."""
        if "silent" in epoch.troubles:
            return
        self._last = [tpv(epoch), sky(epoch)]
        for writer in tuple(self._watching):
            _say(writer, *self._last)

    def close(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._clients):
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        _say(writer, _VERSION)
        # Ending while a client is connected is ordinary, for either side; so is a flood of junk.
        with contextlib.suppress(ConnectionError, ValueError, asyncio.CancelledError):
            while line := await reader.readline():
                for request in line.decode(errors="replace").strip().split(";"):
                    if request.strip():
                        self._answer(writer, request.strip())
        self._clients.discard(writer)
        self._watching.discard(writer)
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, request: str) -> None:
        word, _, argument = request.removeprefix("?").partition("=")
        if word == "VERSION":
            _say(writer, _VERSION)
        elif word == "DEVICES":
            _say(writer, _DEVICES)
        elif word == "POLL":
            kinds = {"TPV": "tpv", "SKY": "sky"}
            found = {kinds[each["class"]]: [each] for each in self._last}
            _say(writer, {"class": "POLL", "active": 1} | found)
        elif word == "WATCH" and request.startswith("?"):
            self._watch(writer, argument)
        else:
            _say(writer, {"class": "ERROR", "message": f"Unrecognized request '{request}'"})

    def _watch(self, writer: asyncio.StreamWriter, argument: str) -> None:
        try:
            wanted = json.loads(argument or "{}")
            enabled = bool(wanted.get("enable", True))
        except (ValueError, AttributeError):
            _say(writer, {"class": "ERROR", "message": "Invalid WATCH"})
            return
        if argument:
            (self._watching.add if enabled else self._watching.discard)(writer)
        watch = {"class": "WATCH", "enable": writer in self._watching, "json": True}
        _say(writer, _DEVICES, watch)


def _say(writer: asyncio.StreamWriter, *reports: dict[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(
            "".join(f"{json.dumps(each, separators=_COMPACT)}\r\n" for each in reports).encode()
        )
