"""`gridwitness meter probe`: which ports have boards, and which meters they are.

Decides what is printed; `ports` looks at boards, `scanning` at everything.
"""

import argparse
import json
from dataclasses import asdict
from typing import Any

_HELP = "which ports have boards, and which meters they are"
_DESCRIPTION = """
Asks the ports of USB devices which boards they are. A meter that was asked is reset and goes on.
"""
_SCAN = """
With --scan every serial port is listed with what is there, and nothing is harmed: a port hears
Ctrl-C, the interrupt of a MicroPython, twice at most, and nothing else unless a prompt answers it.
No reset line is moved; opening a port raises DTR and RTS, as every program does, which resets an
Arduino and no ESP32 or Pico. What the interrupt stopped is started again: a meter by its own reset
(it signs an event of the visit, and its line rests for some seconds), another MicroPython by a soft
reset; who waited at a prompt waits there afterwards. A locked meter answers nothing and goes on.
Ports that another program has open, and Bluetooth, are not touched.
"""


def add_probe_command(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", told: Any
) -> None:
    """Add `probe`."""
    probe = verbs.add_parser("probe", help=_HELP, description=_DESCRIPTION + _SCAN)
    probe.add_argument("--port", action="append", default=[], help="only this one; repeat it")
    probe.add_argument("--scan", action="store_true", help="every port, carefully: see above")
    probe.add_argument("--json", action="store_true", help="with --scan: one JSON object a port")
    probe.set_defaults(run=told(run))


def run(args: argparse.Namespace) -> int:
    """List the ports; raises a Fault when there is none."""
    from device.provision import faults, ports, scanning

    names = args.port or (scanning.everything() if args.scan else ports.there())
    if not names:
        raise faults.NO_PORT.fault()
    if args.scan:
        for seen in scanning.scan(names):
            text = f"{seen.port}  {seen.kind}: {seen.words}"
            print(json.dumps(asdict(seen)) if args.json else text, flush=True)
        return 0
    status = 0
    for port in ports.look(names):
        print(f"{port.name}  {port.words}", flush=True)
        status = status if port.identity else faults.NO_ANSWER.fault(port="", seconds=0).status
    return status
