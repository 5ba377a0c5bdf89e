"""A whole grid on one machine: feeder, meters, broker, gateways, validators, paced network time.

Wires real programs together and starts, kills and restarts them; the demo and the disaster tests
are made of it. Simulated are the physics (energy that flows, time that passes); what signs, polls,
witnesses, relays and agrees are the programs that run in the field.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.provision.board import FIRMWARE, Commissioned, commission
from gridwitness import status_pages
from gridwitness.addresses import free_ports
from gridwitness.broker import Broker
from gridwitness.network import Network, make_network
from gridwitness.plan import (
    PARAMETERS,
    Address,
    AuthorityPlan,
    Bus,
    BusMeter,
    GatewayPlan,
    NetworkPlan,
    ValidatorPlan,
)
from gridwitness.processes import Program
from hwsim.board import Board, inside
from hwsim.feeder import FeederDay, registry_entries, write_profile
from hwsim.scaled_clock import Pacer
from wire.errors import Unavailable
from wire.keys import ES256, SoftSigner

ZONE = "z1"
OPERATOR = "PEA"
AUTHORITIES = (
    AuthorityPlan("EGAT", "Electricity Generating Authority of Thailand", "EGAT"),
    AuthorityPlan("MEA", "Metropolitan Electricity Authority", "MEA"),
    AuthorityPlan("PEA", "Provincial Electricity Authority", "PEA"),
    AuthorityPlan("ERC", "Energy Regulatory Commission", "ERC"),
)
GATEWAYS = ("gw-north", "gw-south")
START_LIMIT_S = 60.0
LOOK_S = 0.02
INTERVAL_S = 900
LEAD_MS = 10_000
SERIAL_METERS = 3
"""On a serial line each read costs real time: Eastron meters want 60 ms of silence."""

# Paced time runs a thousand times as fast as life, so a message that is a second on its way is a
# quarter of an hour old in network time: bounds on it must be wide, and deadlines late.
PACED_PARAMETERS: Mapping[str, int] = {
    **PARAMETERS,
    "block_interval_ms": 1_000,
    "empty_block_interval_ms": 5_000,
    "block_precision_ms": 7_200_000,
    "block_delay_ms": 86_400_000,
    "deadline_intervals": 32,
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which world to make."""

    day: FeederDay
    """The feeder and its day."""

    signing: tuple[str, ...]
    """Meters that are MicroPython boards and sign for themselves."""

    parameters: Mapping[str, int]
    """Of the genesis."""


class World:
    """All programs of a grid, in one folder."""

    def __init__(self, folder: Path, choice: Choice, say: Say = lambda _: None) -> None:
        """Take an empty folder; nothing runs yet."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.choice = choice
        # Just before the first boundary: a meter's first record is of its first whole interval.
        self.pacer = Pacer(folder / "pace", choice.day.start_s * 1000 - LEAD_MS)
        self.boards: dict[str, Board] = {}
        self.programs: dict[str, Program] = {}
        self._say = say
        self._technician = SoftSigner.generate(ES256)
        self._network: Network | None = None
        self._broker: Broker | None = None
        self._ports = iter(free_ports(32))
        self.status_ports = {name: next(self._ports) for name in GATEWAYS}
        self.api_ports = {f"val-{each.id.lower()}": next(self._ports) for each in AUTHORITIES}

    @property
    def network(self) -> Network:
        """The network's folder, once it is made."""
        assert self._network is not None, "prepare() makes the network"
        return self._network

    @property
    def broker(self) -> Broker:
        """The broker, once it is made."""
        assert self._broker is not None, "prepare() makes the broker"
        return self._broker

    # Making it.

    def prepare(self) -> None:
        """Make meters, keys and the network's files; nothing polls yet.

        Raises:
            Unavailable: a board, SoftHSM or Mosquitto is missing.
        """
        self._say("meters make their keys")
        made = self._make_boards()
        self._say("authorities and gateways make their keys")
        self._network = make_network(self.folder / "network", self._plan(made))
        self._broker = Broker(self._network.broker)
        for name in self.api_ports:
            self._add(name, "validator", self._network.validator(name))
        for name in GATEWAYS:
            self._add(name, "gateway", self._network.gateway(name))

    def _add(self, name: str, kind: str, config: Path) -> None:
        arguments = ["-m", "gridwitness.cli", kind, "run", str(config)]
        self.programs[name] = Program(name, arguments, self.folder / "logs" / f"{name}.log")

    def _make_boards(self) -> dict[str, Commissioned]:
        """Switch the signing meters on and make them meters; what each has become, by id."""
        return {meter: self._make_board(meter) for meter in self.choice.signing}

    def _make_board(self, meter: str) -> Commissioned:
        folder = self.folder / "boards" / meter
        board = self.boards[meter] = Board(folder, meter)
        board.start()
        profile = folder / "profile"
        write_profile(self.choice.day, meter, profile)
        config = {
            "meter": meter,
            "node": self._node(meter),
            "zone": ZONE,
            "unit": 1,
            "element": {"kind": "simulated", "profile": inside(profile)},
            "paced_time_file": inside(self.pacer.path),
            "service_window_ms": 0,
        }
        made = commission(str(board.console), FIRMWARE, config, self._technician)
        board.wait_serving()
        return made

    def _node(self, meter: str) -> str:
        return next(each.node for each in self.choice.day.meters if each.id == meter)

    def reader_of(self, meter: str) -> str:
        """The gateway that polls a meter: neighbours on the feeder share one."""
        ids = [each.id for each in self.choice.day.meters]
        return GATEWAYS[ids.index(meter) * len(GATEWAYS) // len(ids)]

    def _plan(self, made: Mapping[str, Commissioned]) -> NetworkPlan:
        day = self.choice.day
        readers = {each.id: self.reader_of(each.id) for each in day.meters}
        keys = {meter: each.public.text for meter, each in made.items()}
        meters, zone = registry_entries(day, ZONE, OPERATOR, readers, keys)
        for entry in meters:
            if entry["id"] in made:
                entry["configuration_id"] = made[entry["id"]].configuration_id.hex()
        return NetworkPlan(
            name="demo",
            time_ms=day.start_s * 1000 - LEAD_MS,
            broker=Address("127.0.0.1", next(self._ports)),
            authorities=AUTHORITIES,
            validators=tuple(self._validator(each) for each in AUTHORITIES),
            gateways=tuple(self._gateway(name) for name in GATEWAYS),
            meters=tuple(meters),
            zones=(zone,),
            parameters=self.choice.parameters,
            paced_time_file=self.pacer.path,
        )

    def _validator(self, authority: AuthorityPlan) -> ValidatorPlan:
        name = f"val-{authority.id.lower()}"
        return ValidatorPlan(
            name,
            authority.id,
            peers=Address("127.0.0.1", next(self._ports)),
            api=Address("127.0.0.1", self.api_ports[name]),
        )

    def _gateway(self, name: str) -> GatewayPlan:
        """A gateway with a line to each board, and one with all meters that cannot sign."""
        mine = [each for each in self.choice.day.meters if self.reader_of(each.id) == name]
        buses = [
            Bus(each.id, str(self.boards[each.id].line), (BusMeter(each.id, 1, "gridwitness"),))
            for each in mine
            if each.id in self.boards
        ]
        plain = [each.id for each in mine if each.id not in self.boards]
        buses += self._plain_buses(name, plain)
        sites = mine or list(self.choice.day.meters)
        lat_e7 = sum(each.lat_e7 for each in sites) // len(sites)
        lon_e7 = sum(each.lon_e7 for each in sites) // len(sites)
        return GatewayPlan(
            id=name,
            operator=OPERATOR,
            site=(lat_e7, lon_e7),
            site_cos_ppm=round(math.cos(math.radians(lat_e7 / 1e7)) * 1e6),
            zones=(ZONE,),
            status=Address("127.0.0.1", self.status_ports[name]),
            buses=tuple(buses),
        )

    def _plain_buses(self, gateway: str, meters: Sequence[str]) -> list[Bus]:
        """Simulated Eastron meters: a few on a serial line, the others behind a TCP port."""
        on_line = meters[:SERIAL_METERS] if gateway == GATEWAYS[0] else []
        lines: dict[str, list[dict[str, Any]]] = {"rtu": [], "tcp": []}
        buses = []
        if on_line:
            link = self.folder / "lines" / gateway
            link.parent.mkdir(exist_ok=True)
            lines["rtu"].append({"link": str(link), "units": _units(on_line)})
            buses.append(Bus("street", str(link), self._polled(on_line)))
        behind = meters[len(on_line) :]
        if behind:
            address = Address("127.0.0.1", next(self._ports))
            lines["tcp"].append({"port": address.port, "units": _units(behind)})
            buses.append(Bus("cabinet", address, self._polled(behind)))
        if buses:
            self._add_simulator(gateway, lines)
        return buses

    def _polled(self, meters: Sequence[str]) -> tuple[BusMeter, ...]:
        """A single-phase service has an SDM120, the others an SDM630."""
        templates = {1: "eastron-sdm120", 3: "eastron-sdm630"}
        return tuple(
            BusMeter(meter, unit, templates[self.choice.day.meter(meter).phases])
            for unit, meter in enumerate(meters, start=1)
        )

    def _add_simulator(self, gateway: str, lines: Mapping[str, Any]) -> None:
        day = self.folder / "day.json"
        self.choice.day.save(day)
        config = self.folder / f"meters-{gateway}.json"
        faults = str(self.folder / f"faults-{gateway}.json")
        content = {"pace": str(self.pacer.path), "day": str(day)}
        config.write_text(json.dumps({**content, "faults": faults, **lines}))
        name = f"meters-{gateway}"
        arguments = ["-m", "hwsim.meters", "--config", str(config)]
        self.programs[name] = Program(name, arguments, self.folder / "logs" / f"{name}.log")

    # Running it.

    async def start(self) -> None:
        """Start everything and wait until all gateways and validators answer."""
        self._say("broker, validators, gateways and simulated meters start")
        self.broker.start()
        for program in self.programs.values():
            program.start()
        ports = [*self.status_ports.values(), *self.api_ports.values()]
        await self._until(lambda: status_pages.all_answer(ports), START_LIMIT_S, "all to answer")
        await self._until(self._connected, START_LIMIT_S, "all validators and the broker to meet")

    async def _connected(self) -> bool:
        pages = [await status_pages.validator(port) for port in self.api_ports.values()]
        met = all(page and len(page["peers"]) == len(pages) - 1 for page in pages)
        gateways = [await status_pages.gateway(port) for port in self.status_ports.values()]
        brokered = [page and page["broker"] == "connected" for page in [*pages, *gateways]]
        return met and all(brokered)

    async def run(self, intervals: int, progress: Callable[[int], None]) -> None:
        """Let network time pass over that many interval boundaries."""
        await self.pacer.run(intervals, self._interval_done, progress=progress)

    async def _interval_done(self, start_s: int) -> bool:
        """Whether every live gateway has read the interval; a dead one is not waited for."""
        for name, port in self.status_ports.items():
            if self.programs[name].alive:
                page = await status_pages.gateway(port)
                if page is None or page["last_interval_start_s"] < start_s:
                    return False
        return True

    async def settle(self, limit_s: float) -> None:
        """Wait until gateways have a receipt for every reading that they closed.

        Raises:
            Unavailable: that took longer than `limit_s`; says what is missing.
        """
        await self._until(self._settled, limit_s, "a receipt for every reading")

    async def _settled(self) -> bool:
        pages = [await status_pages.gateway(port) for port in self.status_ports.values()]
        return all(page is not None and open_readings(page) == 0 for page in pages)

    async def catch_up(self, limit_s: float) -> None:
        """Wait until all validators have the same height.

        Raises:
            Unavailable: that took longer than `limit_s`.
        """
        await self._until(self._level, limit_s, "all validators to have the same height")

    async def _level(self) -> bool:
        pages = [await status_pages.validator(port) for port in self.api_ports.values()]
        return len({None if page is None else page["height"] for page in pages}) == 1

    async def _until(
        self, condition: Callable[[], Awaitable[bool]], limit_s: float, what: str
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while not await condition():
            for program in self.programs.values():
                program.check()
            if loop.time() > deadline:
                raise Unavailable(f"waited {limit_s:.0f} s in vain for {what}; see {self.folder}")
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """End everything that runs; the folder stays."""
        for program in self.programs.values():
            program.stop()
        for board in self.boards.values():
            board.close()
        if self._broker is not None:
            self._broker.stop()
        self.pacer.close()


def _units(meters: Sequence[str]) -> dict[str, str]:
    return {str(unit): meter for unit, meter in enumerate(meters, start=1)}


def open_readings(page: Mapping[str, Any]) -> int:
    """Readings of a gateway that have neither a receipt nor a refusal."""
    return sum(int(page[name]) for name in ("closed", "queued", "witnessed", "published"))
