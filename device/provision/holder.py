"""The link with which a meter's holder reads its own load profile: made once, kept with the papers.

The secret is made where the meter is provisioned; the registry learns its SHA-256 only, and the
report's last page carries the link for the holder. Decides when there is one: with the enrolment
that names its hash. An enrolment that was made without it, or whose secret is gone, has none.
"""

from dataclasses import dataclass
from pathlib import Path

import segno

from device.provision import enrolment, faults
from hsm.durable import write_new
from wire.access import HolderSecret
from wire.errors import Malformed

NAME = "holder.secret"
"""In the meter's folder; readable by its owner only."""


@dataclass(frozen=True, slots=True)
class HolderLink:
    """What the holder gets."""

    secret: HolderSecret
    """Opens the meter's readings."""

    text: str
    """The link, or the secret alone where no explorer's address is known."""

    @property
    def is_link(self) -> bool:
        """Whether a browser can open it."""
        return self.text != self.secret.text

    @property
    def qr(self) -> str:
        """The same as QR code, SVG."""
        return str(segno.make_qr(self.text, error="m").svg_inline(scale=4, border=4, dark="#000"))


def secret_in(folder: Path, meter: str) -> HolderSecret | None:
    """The secret in a meter's folder, made when there is none and no enrolment went without it.

    Raises a Fault when it cannot be read or written.
    """
    path = folder / NAME
    try:
        if path.exists():
            return HolderSecret.from_text(path.read_text().strip())
        if (folder / f"{meter}{enrolment.SUFFIX}").exists():
            return None
        secret = HolderSecret.make()
        folder.mkdir(parents=True, exist_ok=True)
        write_new(path, f"{secret.text}\n".encode())
        return secret
    except OSError as reason:
        raise faults.NO_PAPERS.fault(path=path, why=reason.strerror) from None
    except (Malformed, UnicodeDecodeError) as reason:
        raise faults.NO_PAPERS.fault(path=path, why=f"it is no holder's secret: {reason}") from None


def link_of(secret: HolderSecret, explorer: str, meter: str) -> HolderLink:
    """What the holder of a meter gets; `explorer` is a validator's address or empty."""
    return HolderLink(secret, secret.link(explorer, meter) if explorer else secret.text)
