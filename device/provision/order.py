"""What a technician orders, and what a walk through the steps has found.

Decides nothing; `steps` does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device.provision import asked, measuring, registered
from device.provision.at_prompt import Proof
from device.provision.bundle import FIRMWARE, Bundle
from device.provision.console import Patience
from device.provision.enrolment import Placement
from device.provision.hands import Hands
from device.provision.report import Measured
from wire.commissioning import CommissioningRecord
from wire.keys import PublicKey, Signer
from wire.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Registration:
    """What an enrolment says beyond the commissioning record."""

    network: bytes
    """Network id, 32 bytes."""

    interval_s: int
    """Of the network."""

    placement: Placement
    """Role, gateway and limits."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the technician wants."""

    port: str
    """Serial port of the board."""

    config: Mapping[str, Any]
    """What the meter shall run with, without `commissioning`."""

    technician: Signer | None
    """Signs the commissioning record; None in a check without a key."""

    visit: Mapping[str, Any]
    """`technician`, `seals`, `old_meter`, `note`, as `Visit` takes them."""

    place: registered.Place
    """Which meter is to measure where."""

    known: tuple[Mapping[str, Any], ...] = ()
    """Registered meters."""

    grid: registered.Grid | None = None
    """The zone as it is registered; None: no network was named, or no meter is made."""

    hands: Hands | None = None
    """Technician and gateway as they are registered; None: no network was named."""

    installation: measuring.Installation = field(default_factory=measuring.Installation)
    """What is said of the mains."""

    site: tuple[int, int] | None = None
    """Latitude and longitude, 1e-7 degrees."""

    registration: Registration | None = None
    """For the enrolment; None when none is to be made."""

    board: str = ""
    """Board file; "" for the one that fits what the board says."""

    sources: bool = False
    """Copy .py files instead of compiled ones."""

    lock_secure_element: bool = False
    """Lock a new secure element's configuration for ever."""

    first_record_s: float = 0.0
    """How long a first record is waited for: in life nobody waits for a quarter of an hour."""

    checking: bool = False
    """Change nothing."""

    patience: Patience = field(default_factory=Patience)
    """How long the board is waited for."""

    firmware: Path = FIRMWARE
    """Folder of the application's sources."""

    confirm: Callable[[str], bool] = lambda _: True
    """Asks the person something with yes or no."""


@dataclass
class Found:
    """What the steps have learned, from the device."""

    identity: asked.Identity | None = None
    """Which board."""

    bundle: Bundle | None = None
    """The application for it."""

    public: PublicKey | None = None
    """The key that it proved."""

    clock_error_ms: int = 0
    """How far its clock may be off, milliseconds."""

    measured: Measured | None = None
    """What its element measures now."""

    registers_wh: tuple[int, int] = (0, 0)
    """Its element's counters, Wh."""

    record: CommissioningRecord | None = None
    """What meter and technician signed."""

    proof: Proof | None = None
    """What the meter signed last, its registers among it."""

    enrolment: Transaction | None = None
    """Signed by meter and technician, for the operator."""

    warnings: list[str] = field(default_factory=list)
    """What is allowed and should be looked at."""
