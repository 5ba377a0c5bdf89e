"""`gridwitness network`: a whole test network on one machine, from nothing.

Decides the synthetic defaults: authorities, ports, one zone with a boundary meter and three
customers behind simulated Eastron meters on a Modbus TCP port, and a technician of its operator who
may enrol more.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridwitness import zone_from
from gridwitness.change_arguments import add_change_commands
from wire.errors import WrongUsage
from wire.fields import identifier

if TYPE_CHECKING:
    from gridwitness.plan import GatewayPlan, NetworkPlan, ValidatorPlan

AUTHORITIES = (
    ("EGAT", "Electricity Generating Authority of Thailand", "EGAT"),
    ("MEA", "Metropolitan Electricity Authority", "MEA"),
    ("PEA", "Provincial Electricity Authority", "PEA"),
    ("ERC", "Energy Regulatory Commission", "ERC"),
)
LEAST_VALIDATORS, MOST_VALIDATORS = 4, 100
LONGEST_NAME = 20
"""Characters, as in a genesis file."""

# Each validator's two ports; the first has the defaults of a real one.
FIRST_API_PORT = 8_800
FIRST_PEER_PORT = 8_810
PORT_STEP = 20
BROKER_PORT = 8_883
STATUS_PORT = 9_464
MODBUS_PORT = 1_502

ZONE = "z1"
OPERATOR = "PEA"
TECHNICIAN = "tech-1"
GATEWAY = "gw-north"
SITE = (187_883_000, 989_853_000)
SITE_COS_PPM = 946_713
CUSTOMERS = 3


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `network`."""
    network = subparsers.add_parser(
        "network", help="make a network; let validators join, leave, rotate"
    )
    verbs = network.add_subparsers(dest="verb", required=True, metavar="VERB")
    init = verbs.add_parser("init", help="make a whole test network in a new folder")
    init.add_argument("--dir", type=Path, required=True, help="a new or empty folder")
    init.add_argument("--validators", type=int, default=4, help="how many (default 4)")
    init.add_argument("--name", default="test", help="the network's name (default test)")
    init.add_argument(
        "--open-readings",
        action="store_true",
        help="anybody may read readings and receipts: for a trial, where no household lives",
    )
    init.add_argument("--json", action="store_true", help="end with one JSON object on stdout")
    init.set_defaults(run=init_network)
    add_change_commands(verbs)
    zone_from.add_command(verbs)


def init_network(args: argparse.Namespace) -> int:
    """Make the folder and say what to start."""
    from gridwitness.network import make_network

    if not LEAST_VALIDATORS <= args.validators <= MOST_VALIDATORS:
        numbers = f"{LEAST_VALIDATORS} to {MOST_VALIDATORS}"
        raise WrongUsage(f"--validators is {numbers}: with fewer than four none may fail")
    identifier(args.name, "--name", most=LONGEST_NAME)
    plan = synthetic_plan(args.name, args.validators, args.open_readings)
    network = make_network(args.dir, plan, lambda words: print(f"making {words}", file=sys.stderr))
    found = {
        "network": network.genesis.topic_name,
        "genesis": str(network.genesis_path),
        "broker": str(network.broker / "mosquitto.conf"),
        "validators": [str(network.validator(each.id)) for each in plan.validators],
        "gateways": [str(network.gateway(each.id)) for each in plan.gateways],
        "technicians": [str(network.technician(each.id)) for each in plan.technicians],
        "operator": str(network.authority(OPERATOR)),
    }
    if args.json:
        print(json.dumps(found))
    else:
        print(_words(found))
    return 0


def _words(found: dict[str, Any]) -> str:
    lines = [
        f"network {found['network']} in {Path(found['genesis']).parent}; start it with",
        # Debian puts it where a plain user's PATH does not look.
        f"  /usr/sbin/mosquitto -c {found['broker']}",
        *(f"  gridwitness validator run {path}" for path in found["validators"]),
        *(f"  gridwitness gateway run {path}" for path in found["gateways"]),
        f"the gateway asks meters on Modbus TCP port {MODBUS_PORT}; to simulate some instead, see",
        "  docs/OPERATIONS.md, A network to try",
        "keys that enrol meters (what opens one is 'passphrase' beside it):",
        *(f"  technician {path}" for path in found["technicians"]),
        f"  operator   {found['operator']}",
    ]
    return "\n".join(lines)


def synthetic_plan(name: str, validators: int, open_readings: bool = False) -> "NetworkPlan":
    """Return a plan with default ports for that many validators."""
    from gridwitness.plan import PARAMETERS, Address, AuthorityPlan, NetworkPlan, TechnicianPlan

    producers = [
        (f"SPP-{number}", f"Small Power Producer {number}", "SPP")
        for number in range(1, validators - len(AUTHORITIES) + 1)
    ]
    authorities = tuple(AuthorityPlan(*each) for each in (*AUTHORITIES, *producers))
    return NetworkPlan(
        name=name,
        time_ms=time.time_ns() // 1_000_000,
        broker=Address("127.0.0.1", BROKER_PORT),
        authorities=authorities,
        validators=tuple(
            _validator(number, authorities[number].id) for number in range(validators)
        ),
        gateways=(_gateway(),),
        meters=tuple(_meter(number) for number in range(CUSTOMERS + 1)),
        zones=(_zone(),),
        technicians=(TechnicianPlan(TECHNICIAN, "Technician 1", OPERATOR),),
        parameters=dict(PARAMETERS) | ({"open_readings": 1} if open_readings else {}),
    )


def _validator(number: int, authority: str) -> "ValidatorPlan":
    from gridwitness.plan import Address, ValidatorPlan

    return ValidatorPlan(
        id=f"val-{authority.lower()}",
        authority=authority,
        peers=Address("127.0.0.1", FIRST_PEER_PORT + PORT_STEP * number),
        api=Address("127.0.0.1", FIRST_API_PORT + PORT_STEP * number),
    )


def _gateway() -> "GatewayPlan":
    from gridwitness.plan import Address, Bus, BusMeter, GatewayPlan

    meters = tuple(
        BusMeter(_meter_id(number), number + 1, "eastron-sdm120" if number else "eastron-sdm630")
        for number in range(CUSTOMERS + 1)
    )
    return GatewayPlan(
        id=GATEWAY,
        operator=OPERATOR,
        site=SITE,
        site_cos_ppm=SITE_COS_PPM,
        zones=(ZONE,),
        status=Address("127.0.0.1", STATUS_PORT),
        buses=(Bus("feeder", Address("127.0.0.1", MODBUS_PORT), meters),),
    )


def _meter_id(number: int) -> str:
    return f"customer-{number}" if number else "boundary"


def _meter(number: int) -> dict[str, Any]:
    return {
        "id": _meter_id(number),
        "node": f"node-{number}",
        "zone": ZONE,
        "role": "customer" if number else "boundary",
        "key": "",
        "reader": GATEWAY,
        "configuration_id": f"{number:016x}",
        "software": "",
        "class_ppm": [[0, 15_000], [50, 10_000]],
        "register_wh": 10,
        "rating_w": 15_000 if number else 100_000,
        "installed_w": 0,
        "phases": 1 if number else 3,
        "site": list(SITE),
        "radius_m": 500,
        "dead_wh": 0,
        "ct_ppm": 0,
    }


def _zone() -> dict[str, Any]:
    branches = [
        {
            "id": f"line-{number}",
            "from": f"node-{number - 1}",
            "to": f"node-{number}",
            "rho": 1_250_000,
            "kappa": 6,
            "ampacity_w": 100_000,
        }
        for number in range(1, CUSTOMERS + 1)
    ]
    return {
        "id": ZONE,
        "parent": "",
        "operator": OPERATOR,
        "p0_mw": 0,
        "branches": branches,
        "root": "node-0",
    }
