"""`gridwitness sim gps`: a simulated receiver as a program, on a pty, behind a gpsd, or both.

Decides what is printed, an address a line, and that an epoch goes out each second. Ends on SIGTERM
and SIGINT.
"""

import asyncio
import contextlib
import json
import os
import pty
import signal
import termios
import tty
from pathlib import Path

from hwsim import port_name
from hwsim.gps import SatelliteReceiver, sentences
from hwsim.gpsd import GpsdServer

EVERY_S = 1.0


class NmeaPort:
    """A pty on which a receiver speaks NMEA."""

    def __init__(self, link: Path | None) -> None:
        """Open it, under a name if there is one."""
        self._near, self._far = pty.openpty()
        tty.setraw(self._far, termios.TCSANOW)
        os.set_blocking(self._near, False)
        self._link = link
        self.path = os.ttyname(self._far)
        """Of the port, or of its link."""
        if link is not None:
            port_name.give(link, self.path)
            self.path = str(link)

    def say(self, lines: list[bytes]) -> None:
        """Send sentences; what nobody reads is lost when the port is full."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._near, b"".join(lines))

    def close(self) -> None:
        """Take the port away."""
        if self._link is not None:
            port_name.take_away(self._link)
        os.close(self._near)
        os.close(self._far)


async def serve(
    receiver: SatelliteReceiver,
    talker: str,
    link: Path | None,
    gpsd_port: int | None,
    as_json: bool,
) -> None:
    """Serve until told to end.

    Args:
        receiver: the receiver.
        talker: of its sentences.
        link: a name for the pty.
        gpsd_port: where gpsd listens, 0 for any port; None: no gpsd.
        as_json: tell the addresses as one JSON object.

    Raises:
        OSError: the port is taken, or the link cannot be made.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ended.set)
    gpsd = GpsdServer()
    if gpsd_port is not None:
        await gpsd.listen(gpsd_port)
    port = NmeaPort(link)
    try:
        _introduce(port.path, gpsd.port, as_json)
        begin_s, number = loop.time(), 0
        while not ended.is_set():
            epoch = receiver.epoch(number * EVERY_S)
            port.say(sentences(epoch, talker))
            gpsd.report(epoch)
            number += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(begin_s + number * EVERY_S):
                    await ended.wait()
    finally:
        gpsd.close()
        port.close()


def _introduce(path: str, gpsd_port: int, as_json: bool) -> None:
    gpsd = f"127.0.0.1:{gpsd_port}" if gpsd_port else None
    if as_json:
        print(json.dumps({"path": path, "gpsd": gpsd}), flush=True)
        return
    print(path)
    if gpsd:
        print(f"gpsd {gpsd}")
    print(end="", flush=True)
