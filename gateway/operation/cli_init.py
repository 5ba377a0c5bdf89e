"""`gridwitness gateway init`: the first configuration file, from answers given as options."""

import argparse
from pathlib import Path

_SOFTHSM = "module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:pin"


def add_command(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `init` to the verbs of `gateway`."""
    init = verbs.add_parser(
        "init",
        help="write a commented gateway.toml",
        description="Writes a configuration in which every key is explained, with one bus. "
        "A file that exists is never written over. Next: gateway check, doctor, scan.",
    )
    init.add_argument("config", type=Path, help="the file to write, gateway.toml")
    init.add_argument("--id", required=True, help="registered id of this gateway")
    init.add_argument("--genesis", default="genesis.json", help="the network's genesis file")
    init.add_argument("--broker", type=_address, required=True, metavar="HOST:PORT")
    init.add_argument("--broker-ca", default="ca.pem", help="who vouches for the broker, PEM")
    init.add_argument("--certificate", default="gateway.pem", help="the gateway's own, PEM")
    init.add_argument("--key", default="gateway.key", help="its private key, PEM")
    for key, words in (("witness", "signs batches"), ("reader", "signs readings")):
        uri = f"pkcs11:token=gridwitness;object={key}?{_SOFTHSM}"
        init.add_argument(
            f"--{key}", default=uri, metavar="URI", help=f"key that {words}; default: {uri}"
        )
    init.add_argument("--softhsm2-conf", default="", help="configuration of SoftHSM, if it is one")
    init.add_argument("--latitude", type=_degrees, required=True, help="degrees, north is positive")
    init.add_argument("--longitude", type=_degrees, required=True, help="degrees, east is positive")
    init.add_argument("--accuracy-m", type=int, default=10, help="how well that is known, metres")
    where = init.add_mutually_exclusive_group(required=True)
    where.add_argument("--serial", metavar="PORT", help="Modbus RTU on this serial port")
    where.add_argument("--tcp", type=_address, metavar="HOST:PORT", help="Modbus TCP")
    where.add_argument("--readout", metavar="PORT", help="IEC 62056-21, the gateway signs on")
    where.add_argument("--push", metavar="PORT", help="IEC 62056-21, the meter sends by itself")
    init.add_argument("--baudrate", type=int, default=0, help="of a serial port")
    init.add_argument("--parity", default="none", choices=("none", "even", "odd"))
    init.add_argument(
        "--meter",
        type=_meter,
        action="append",
        default=[],
        metavar="ID:UNIT:TEMPLATE",
        help="a meter on the bus, several times for several; ID alone for a readout",
    )
    init.set_defaults(run=run_init)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        raise ValueError(text)
    return host, int(port)


def _degrees(text: str) -> int:
    from decimal import Decimal

    return round(Decimal(text) * 10_000_000)


def _meter(text: str) -> tuple[str, int, str]:
    name, _, rest = text.partition(":")
    unit, _, template = rest.partition(":")
    return name, int(unit or 1), template


def run_init(args: argparse.Namespace) -> int:
    """Write the file and say what comes next."""
    from gateway.config_table import BadConfiguration
    from gateway.operation.initial import Answers, write

    _check_templates(args)
    bus, where = _where(args)
    if bus in ("rtu", "tcp") and not all(template for _, _, template in args.meter):
        raise BadConfiguration("--meter needs ID:UNIT:TEMPLATE on a Modbus bus")
    answers = Answers(
        id=args.id,
        genesis=args.genesis,
        broker=args.broker,
        certificates=(args.broker_ca, args.certificate, args.key),
        token=(args.witness, args.reader, args.softhsm2_conf),
        place_e7=(args.latitude, args.longitude),
        accuracy_dm=10 * args.accuracy_m,
        bus=bus,
        where=where,
        parity=args.parity,
        meters=tuple(args.meter),
    )
    write(args.config, answers)
    print(f"{args.config} is written; read it, then: gridwitness gateway check {args.config}")
    return 0


def _check_templates(args: argparse.Namespace) -> None:
    """Refuse a name that no template has; raises UnknownTemplate."""
    from gateway.config import SIGNING
    from gateway.meters import templates

    for _, _, name in args.meter:
        if name and name != SIGNING:
            templates.load(name)


def _where(args: argparse.Namespace) -> tuple[str, tuple[str, int]]:
    if args.tcp:
        return "tcp", args.tcp
    if args.serial:
        return "rtu", (args.serial, args.baudrate)
    if args.push:
        return "push", (args.push, args.baudrate)
    return "sign-on", (args.readout, args.baudrate)
