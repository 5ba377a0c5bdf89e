"""`gridwitness bench bus`: what a dead and a babbling meter cost their neighbours, and idle wire.

Decides what is measured: Eastron SDM630s on one simulated line at 9600 baud, polled by the
gateway's own actor, and in turn by pymodbus's own client with the pause that the maker wants. Time
is virtual: the figures are the same on every machine and in every run.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway.meters import templates
from gateway.polling.schedule import INTERVAL_S
from gridwitness.simulated_bus import BEGIN_S, BarePymodbus, GatewayBus, meter_of
from hwsim.curves import PowerSteps
from hwsim.faults import Babbling, Dead, When, noise
from hwsim.modbus_device import ModbusDevice, between
from hwsim.rs485 import Device, Frame, Wire
from hwsim.vendors.eastron import Sdm630
from hwsim.virtual_time import run_jumping

LIVING = 31
BAUDRATE = 9_600
TIMEOUT_MS = 500
FALLS_ILL_S = 850.0
"""The 32nd meter is well at the first boundary."""

CYCLES = 4
"""Boundaries that count; the first one, with its fences of a start, does not."""

SERIAL_LATENCY_S = 0.016
"""What common USB adapters keep octets back for, until their driver is told otherwise."""

_TEMPLATE = templates.load("eastron-sdm630")
_SILENCE_S = _TEMPLATE.silence_ms / 1000
_PUSH = bytes([32, 4, 8, 0, 1, 0, 2, 0, 3, 0, 4])
_EVERY = between(0.1, 0.5)

SCENES = ("31 living meters", "and a dead one", "and one that babbles", "and noise")


def _living(first: int = 1) -> list[Device]:
    return [_meter(unit) for unit in range(first, first + LIVING)]


def _meter(unit: int) -> Device:
    return ModbusDevice(unit, Sdm630(), PowerSteps(import_wh=1_000.0 * unit))


def devices_of(scene: str) -> list[Device]:
    """Who is on the line; the one that falls ill is asked first, which is the worst place."""
    ill = When(from_s=FALLS_ILL_S)
    if scene == SCENES[1]:
        return [Dead(_meter(1), ill), *_living(2)]
    if scene == SCENES[2]:
        return [Babbling(_meter(1), ill, _EVERY, b"\x01" + _PUSH[1:]), *_living(2)]
    if scene == SCENES[3]:
        return [*_living(2), noise(ill, _EVERY)]
    return _living(2)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One cycle: every living meter was asked for its energy."""

    seconds: float
    """From its begin until the last living meter's value is known."""

    unread: int
    """Living meters without a value."""


@dataclass(slots=True)
class Traffic:
    """What was on the wire: begin and end of each frame, as a receiver heard it."""

    frames: list[tuple[float, float, bool]] = field(default_factory=list)
    """And whether the master spoke."""

    def heard(self, frame: Frame) -> None:
        """Take a frame."""
        first, last = frame.characters[0], frame.characters[-1]
        self.frames.append((first.start_s, last.end_s, None in first.talkers))

    def used(self, from_s: float, until_s: float) -> dict[str, float]:
        """Shares of a stretch of time, which begins with a request that is due."""
        bits = silence = meters = 0.0
        before_s = from_s - _SILENCE_S  # Nobody talked before, so none is demanded.
        for start_s, end_s, master in self.frames:
            if not from_s <= start_s < until_s:
                continue
            bits += end_s - start_s
            pause_s = start_s - max(before_s, from_s)
            if master:
                silence += min(pause_s, max(0.0, before_s + _SILENCE_S - max(before_s, from_s)))
            else:
                meters += pause_s
            before_s = end_s
        whole_s = until_s - from_s
        return {"bits": bits / whole_s, "silence": silence / whole_s, "meters": meters / whole_s}


async def gateway_sweeps(
    devices: Sequence[Device], latency_s: float = 0.0, traffic: Traffic | None = None
) -> list[Sweep]:
    """Each cycle of the gateway's actor, when the 32nd meter is well in the first."""
    wire = Wire(devices, BAUDRATE)
    if traffic is not None:
        wire.watch = traffic.heard
    units = [each.unit for each in devices if each.unit]
    bus = GatewayBus.on(
        wire, [meter_of(unit, _TEMPLATE) for unit in units], TIMEOUT_MS, latency_s=latency_s
    )
    await bus.run(INTERVAL_S * (CYCLES + 0.5))
    sweeps = []
    for cycle in range(1, 1 + CYCLES):
        boundary_s = BEGIN_S + cycle * INTERVAL_S
        ends_s = [
            each.at_s - cycle * INTERVAL_S
            for each in bus.notes.taken
            if each.sample.boundary_s == boundary_s and each.meter.unit in living_units()
        ]
        sweeps.append(Sweep(max(ends_s, default=0.0), LIVING - len(ends_s)))
    return sweeps


def living_units() -> range:
    """The meters that stay well."""
    return range(2, 2 + LIVING)


async def pymodbus_sweeps(devices: Sequence[Device], timeout_s: float, retries: int) -> list[Sweep]:
    """The same, by pymodbus's client asking in turn."""
    master = BarePymodbus(Wire(devices, BAUDRATE), timeout_s, retries, _SILENCE_S)
    loop = asyncio.get_running_loop()
    await master.open()
    await asyncio.sleep(FALLS_ILL_S + 1.0)
    energy = _TEMPLATE.energy
    sweeps = []
    for _ in range(CYCLES):
        begin_s, read = loop.time(), set()
        for unit in [each.unit for each in devices if each.unit]:
            if await master.read(unit, energy.address, energy.words) is not None:
                read.add(unit)
        unread = sum(unit not in read for unit in living_units())
        sweeps.append(Sweep(loop.time() - begin_s, unread))
    return sweeps


def measure(say: bool = False) -> dict[str, Any]:
    """All figures."""
    found: dict[str, Any] = {"scenes": {}}
    for scene in SCENES:
        if say:
            print(f"simulating {scene}", file=sys.stderr, flush=True)
        found["scenes"][scene] = {
            "gateway": _worst(run_jumping(gateway_sweeps(devices_of(scene)))),
            "pymodbus, 0.5 s, no retry": _worst(
                run_jumping(pymodbus_sweeps(devices_of(scene), TIMEOUT_MS / 1000, 0))
            ),
            "pymodbus, as it comes": _worst(run_jumping(pymodbus_sweeps(devices_of(scene), 3, 3))),
        }
    alone = found["scenes"][SCENES[0]]["gateway"]["seconds"]
    for key, scene in (("dead_meter", SCENES[1]), ("babbling_meter", SCENES[2])):
        seconds = found["scenes"][scene]["gateway"]["seconds"]
        found[f"{key}_cycle_ratio"] = round(seconds / alone, 3)
    found |= utilisation(0.0)
    found["wire_utilisation_usb"] = utilisation(SERIAL_LATENCY_S)["wire_utilisation"]
    return found


def utilisation(latency_s: float) -> dict[str, Any]:
    """Share of a cycle in which the wire carries bits or waits as the meters demand."""
    traffic = Traffic()
    sweeps = run_jumping(gateway_sweeps(_living(2), latency_s, traffic))
    begin_s = float(CYCLES * INTERVAL_S)
    used = traffic.used(begin_s, begin_s + sweeps[-1].seconds)
    return {
        "wire_utilisation": round(sum(used.values()), 3),
        "wire_shares": {name: round(share, 3) for name, share in used.items()},
    }


def _worst(sweeps: Sequence[Sweep]) -> dict[str, Any]:
    return {
        "seconds": round(max(each.seconds for each in sweeps), 3),
        "unread": max(each.unread for each in sweeps),
    }


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found = measure(say=True)
    if args.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 0


def _show(found: dict[str, Any]) -> None:
    scenes = found["scenes"]
    masters = list(scenes[SCENES[0]])
    print(f"Time to ask all {LIVING} living meters for their energy, the worst of {CYCLES} cycles,")
    print("and how many of them gave no value:")
    print(f"{'':24}" + "".join(f"{each:>28}" for each in masters))
    for scene in SCENES:
        cells = [scenes[scene][each] for each in masters]
        words = [f"{each['seconds']:.2f} s, {each['unread']} unread" for each in cells]
        print(f"{scene:24}" + "".join(f"{each:>28}" for each in words))
    shares = found["wire_shares"]
    print(
        f"a dead meter costs the others    {found['dead_meter_cycle_ratio'] - 1:8.1%}  "
        "in the cycle in which it dies, aim: at most 10 %; then nothing"
    )
    print(f"a babbling one                   {found['babbling_meter_cycle_ratio'] - 1:8.1%}")
    print(
        f"wire utilisation at {BAUDRATE} baud   {found['wire_utilisation']:8.1%}  "
        f"aim: at least 95 %: bits {shares['bits']:.1%}, "
        f"silence that the meters want {shares['silence']:.1%}, "
        f"their time to answer {shares['meters']:.1%}"
    )
    usb = found["wire_utilisation_usb"]
    print(f"with a USB adapter's 16 ms       {usb:8.1%}  set its latency timer to 1 ms")
