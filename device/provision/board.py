"""A meter made without asking anybody: what the steps do, for programs that have many boards.

The same walk as a technician's, from files to a meter that serves its line; a configuration is
taken as it is given, no element is judged and no paper written. Simulated grids and tests use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.provision import asked, bundle, faults, install, running
from device.provision.bundle import FIRMWARE, software_id
from device.provision.commissioning import complete, with_meter
from device.provision.console import Console, session
from device.provision.faults import BoardRefused
from wire.commissioning import CommissioningRecord, unsigned
from wire.errors import Refused
from wire.keys import ES256, PublicKey, Signer

__all__ = ["FIRMWARE", "BoardRefused", "Commissioned", "commission", "session", "software_id"]


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What the registry must know of a meter that was just made."""

    public: PublicKey
    """The key that it made."""

    software_id: bytes
    """Prefix of the hash of its code, 4 bytes."""

    configuration_id: bytes
    """Prefix of the hash of its configuration, 8 bytes; computed by the board too."""

    record: bytes
    """Its commissioning record, COSE_Sign."""


def commission(
    port: str, firmware: Path, config: Mapping[str, Any], technician: Signer
) -> Commissioned:
    """Make a meter of the board on `port` and set it running.

    Args:
        port: its serial port.
        firmware: folder of the application's sources, normally `FIRMWARE`.
        config: as `meter.config` describes it.
        technician: signs the commissioning record with the meter.

    Raises:
        Unavailable: no board answers there.
        BoardRefused: files, configuration or key were not accepted.
    """
    with session(port) as console:
        try:
            made = _make(console, firmware, config, technician)
        finally:
            running.back_to_work(console)
    return made


def _make(
    console: Console, firmware: Path, config: Mapping[str, Any], technician: Signer
) -> Commissioned:
    found = asked.identity(console)
    board = bundle.BOARDS.get(found.platform, found.platform)
    files = bundle.make(board, firmware)
    install.install(console, files, found.free_bytes)
    install.software_id(console, files)
    asked.check_configuration(console, config)
    kind = str(config.get("key", "flash"))
    asked.make_key(console, kind, lock_chip=False)
    public, record = _signed(console, kind, config, technician)
    asked.store(console, config, record.encoded)
    identity = asked.configuration_id(console)
    if identity != record.configuration_id:
        expected = record.configuration_id.hex()
        raise faults.CONFIGURATION_DIFFERS.fault(found=identity.hex(), expected=expected)
    return Commissioned(public, files.software_id, identity, record.encoded)


def _signed(
    console: Console, kind: str, config: Mapping[str, Any], technician: Signer
) -> tuple[PublicKey, CommissioningRecord]:
    """The meter's key, and the record that both have signed: the one that is there, if it fits."""
    message = unsigned(config).to_sign
    raw, _ = asked.proof(console, kind, b"")
    public = PublicKey(ES256, raw)
    try:
        kept = CommissioningRecord.open(asked.content_of_file(console, "/commissioning.cbor"))
        kept.verify(public, technician.public)
        if kept.content == dict(config):
            return public, kept
    except Refused:
        pass
    _, signature = asked.proof(console, kind, message(public))
    return public, complete(with_meter(config, public, signature), public, technician)
