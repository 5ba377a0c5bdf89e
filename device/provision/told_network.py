"""What `--genesis` and `--validator` say of the network that a meter is to be enrolled in.

Decides who is believed: a validator tells zone, gateway and technicians as they are now, else the
genesis file. What does not fit is refused by `registered` and `hands`, in step 1.
"""

import argparse
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from device.provision import faults, holder, papers, registered
from device.provision.enrolment import Placement
from device.provision.hands import REACH_M, Commissioner, Hands, Reader
from device.provision.holder import HolderLink
from device.provision.order import Registration
from device.provision.registered import Grid
from wire.genesis import Genesis
from wire.keys import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldNetwork:
    """What is known before the board is touched."""

    known: tuple[Mapping[str, Any], ...] = ()
    """Registered meters."""

    grid: Grid | None = None
    """The meter's zone; None: no network was named."""

    hands: Hands | None = None
    """Technician and gateway; None: no network was named."""

    registration: Registration | None = None
    """What the enrolment says; None when none is to be made."""


def told_by(args: argparse.Namespace, key: PublicKey | None) -> ToldNetwork:
    """What the options say; `key` is the technician's. Raises a Fault.

    Args:
        args: of `provision`; `holder` becomes the link for the meter's holder.
        key: what signs, None when nothing does.
    """
    if not args.check:
        papers.check_folder(args.out / args.meter)
    known = tuple(registered.from_genesis(args.genesis)) if args.genesis else ()
    if args.validator:
        with closing(args.desk(args.validator, args.ca)) as desk:
            known += tuple(registered.from_validator(desk, args.meter))
            entry = registered.zone_from_validator(desk, args.zone)
            gateway = registered.gateway_from_validator(desk, args.reader) if args.reader else None
            technicians = registered.technicians_from_validator(desk)
            reach_m = registered.reach_from_validator(desk)
    elif args.genesis:
        entry = registered.zone_from_genesis(args.genesis, args.zone)
        gateway = registered.gateway_from_genesis(args.genesis, args.reader)
        technicians = registered.technicians_from_genesis(args.genesis)
        reach_m = Genesis.load(args.genesis).parameters.get("reach_m", REACH_M)
    else:
        return ToldNetwork(registration=_registration(args))
    commissioner = reader = None
    if key is not None and entry is not None and not args.check:
        commissioner = Commissioner(
            id=args.technician,
            key=key,
            technicians=technicians,
            zone=args.zone,
            operator=str(entry.get("operator", "")),
        )
    registration = _registration(args)
    if registration is not None:
        site, zone = args.site, args.zone
        reader = Reader(id=args.reader, entry=gateway, zone=zone, site=site, reach_m=reach_m)
    hands = Hands(commissioner=commissioner, reader=reader)
    grid = Grid(args.zone, entry, args.role)
    return ToldNetwork(known=known, grid=grid, hands=hands, registration=registration)


def _registration(args: argparse.Namespace) -> Registration | None:
    """What the enrolment says, when a gateway and a network are named."""
    if not args.reader:
        return None
    if args.genesis is None or not args.service_a or args.site is None:
        raise faults.BAD_ARGUMENT.fault(
            what="an enrolment (--reader) needs --genesis, --service-a and --site too"
        )
    genesis = Genesis.load(args.genesis)
    args.holder = None if args.check else _holder(args)
    placement = Placement(
        role=args.role,
        reader=args.reader,
        rating_w=args.service_a * args.voltage * args.phases,
        installed_w=args.generation_w,
        phases=args.phases,
        holder="" if args.holder is None else args.holder.secret.digest.hex(),
    )
    return Registration(genesis.network, genesis.parameters.get("interval_s", 900), placement)


def _holder(args: argparse.Namespace) -> HolderLink | None:
    """The link for the meter's holder; None when an earlier enrolment went without one."""
    secret = holder.secret_in(args.out / args.meter, args.meter)
    explorer = args.explorer or args.validator or ""
    return None if secret is None else holder.link_of(secret, explorer, args.meter)
