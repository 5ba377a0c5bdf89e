"""Where a gateway's keys live, and by which signed changes they are the registered ones."""

from dataclasses import dataclass
from pathlib import Path

from gateway.config_table import Table


@dataclass(frozen=True, slots=True)
class TokenConfig:
    """Where the gateway's two keys live."""

    witness: str
    """PKCS#11 URI of the key that signs batches."""

    reader: str
    """PKCS#11 URI of the key that signs readings of meters that cannot sign."""

    softhsm2_conf: Path | None
    """Configuration file of SoftHSM; None for other tokens."""

    folder: Path
    """The configuration's folder, from which the URIs' paths are taken."""

    witness_next: str = ""
    """URI of the key that is to follow the witness key; the registered one of the two signs."""

    reader_next: str = ""
    """The same for the reader key."""

    changes: tuple[Path, ...] = ()
    """Registry transactions since the genesis file, in order: what added this gateway, each
    rotation of its keys, new technicians and zones of its meters."""


def token_of(table: Table) -> TokenConfig:
    """Read the table `token`; raises BadConfiguration."""
    folder = table.folder_path()
    token = TokenConfig(
        table.take("witness", str),
        table.take("reader", str),
        table.optional_path("softhsm2_conf"),
        folder,
        table.take("witness_next", str, ""),
        table.take("reader_next", str, ""),
        tuple(folder / _path(table, each) for each in table.take("changes", list, [])),
    )
    table.end()
    return token


def _path(table: Table, value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise table.wrong("changes", "needs a list of files")
    return value
