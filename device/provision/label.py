"""The meter's label: a QR code that ties the nameplate to the key, and the same for people.

The text is `GW1:<meter id>:<kid, 16 hex>:<fingerprint, 20 hex>:<check>`; the fingerprint is the
first 10 bytes of the SHA-256 over the key as SubjectPublicKeyInfo.
The public key itself comes from anywhere (the meter's registers, a gateway, a report): the hash on
the housing says whether it is the right one. The check is two decimal digits, the sum over the
characters before it of (place + 1) times (code - 32), modulo 97: as 97 is prime and greater than
every weight and every difference, one wrong character or two that were swapped always show. Decides
text and drawing; leaves printing to the printer.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import Self
from xml.sax.saxutils import escape

import segno

from wire import fields
from wire.errors import Malformed
from wire.keys import EDDSA, ES256, PublicKey

VERSION = "GW1"
SIZE_MM = 30
"""Width of a label when nobody asks for another, millimetres; it is a third higher."""

SMALLEST_MM, LARGEST_MM = 18, 100
_MODULUS = 97
_FINGERPRINT_SIZE = 10
_MOST_TEXT = 80
_QUIET_MODULES = 4
_HEX = frozenset("0123456789abcdef")
# SubjectPublicKeyInfo (RFC 5480 §2, RFC 8410 §4) is these bytes and then the point.
_SPKI_HEADS = {
    ES256: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
    EDDSA: bytes.fromhex("302a300506032b6570032100"),
}
_LINE_MM = 3.2
_GLYPH = 0.61  # Width of a letter of a monospaced font, by its height.
_WRAP = 20


class BadLabel(Malformed):
    """A label's text that was mistyped, misread, or is no meter's."""

    code = "bad-label"


def spki(public: PublicKey) -> bytes:
    """The key as SubjectPublicKeyInfo, DER: what other programs take."""
    return _SPKI_HEADS[public.alg] + public.raw


def fingerprint(public: PublicKey) -> str:
    """The first 10 bytes of SHA-256 over the SPKI, hex."""
    return hashlib.sha256(spki(public)).digest()[:_FINGERPRINT_SIZE].hex()


def groups(digits: str) -> str:
    """Hex in groups of four, for people."""
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))


def check_digits(text: str) -> str:
    """The two digits behind everything else, its last colon included."""
    whole = sum((place + 1) * (ord(char) - 32) for place, char in enumerate(text))
    return f"{whole % _MODULUS:02d}"


@dataclass(frozen=True, slots=True)
class Label:
    """What a label says."""

    meter: str
    """Meter id."""

    kid: str
    """Hint of its key, 16 hex digits."""

    fingerprint: str
    """Prefix of the SHA-256 of its SPKI, 20 hex digits."""

    @classmethod
    def of(cls, meter: str, public: PublicKey) -> Self:
        """The label of a meter; raises Malformed when its id is none."""
        fields.identifier(meter, "meter", most=20)
        return cls(meter, public.kid.hex(), fingerprint(public))

    @property
    def text(self) -> str:
        """What the QR code says."""
        before = f"{VERSION}:{self.meter}:{self.kid}:{self.fingerprint}:"
        return before + check_digits(before)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a label's text, scanned or typed; raises BadLabel saying what is wrong."""
        text = text.strip()
        if len(text) > _MOST_TEXT or not (text.isascii() and text.isprintable()):
            raise BadLabel("not a meter's label: too long, or characters that no label has")
        before, check = text[:-2], text[-2:]
        parts = before.split(":")
        if parts[0] != VERSION or len(parts) != 5 or parts[4]:
            raise BadLabel(f"not a meter's label: {VERSION}:meter:key:fingerprint:check is one")
        if check != check_digits(before):
            raise BadLabel("the check digits do not fit: a character is wrong; scan it again")
        meter, kid, found = parts[1:4]
        for name, digits, size in (("key", kid, 16), ("fingerprint", found, 20)):
            if len(digits) != size or not _HEX.issuperset(digits):
                raise BadLabel(f"the label's {name} is not {size} hexadecimal digits")
        try:
            fields.identifier(meter, "the label's meter", most=20)
        except Malformed as reason:
            raise BadLabel(str(reason)) from None
        return cls(meter, kid, found)

    def check_key(self, public: PublicKey) -> None:
        """Check that this is the key which the label names; raises BadLabel."""
        if (public.kid.hex(), fingerprint(public)) != (self.kid, self.fingerprint):
            raise BadLabel(
                f"the key {groups(public.kid.hex())} is not the one on the label of"
                f" {self.meter}, {groups(self.kid)}"
            )

    def lines(self, node: str = "") -> list[str]:
        """What people read under the code."""
        wrapped = [node[place : place + _WRAP] for place in range(0, len(node), _WRAP)]
        return [self.meter, groups(self.kid), *wrapped]

    def qr(self) -> segno.QRCode:
        """The code: level Q, which reads with a quarter of it scratched away."""
        return segno.make_qr(self.text, error="q", boost_error=False)

    def svg(self, node: str = "", width_mm: int = SIZE_MM) -> str:
        """The label to print, as SVG of that width in millimetres; black on white."""
        _check_width(width_mm)
        matrix = [list(row) for row in self.qr().matrix]
        modules = len(matrix) + 2 * _QUIET_MODULES
        scale = width_mm / modules
        lines = self.lines(node)
        line_mm = min(_LINE_MM * width_mm / SIZE_MM, width_mm * 0.94 / (_GLYPH * _longest(lines)))
        below = [_line(lines, number, line_mm, width_mm) for number in range(len(lines))]
        height_mm = round(width_mm + line_mm * (1.25 * len(lines) + 0.2), 2)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_mm}mm" height="{height_mm}mm"'
            f' viewBox="0 0 {width_mm} {height_mm}" role="img" aria-label="{escape(self.text)}">'
            f'<rect width="{width_mm}" height="{height_mm}" fill="#fff"/>'
            f'<path transform="scale({scale:.6f})" shape-rendering="crispEdges" fill="#000"'
            f' d="{_path(matrix)}"/>'
            '<g font-family="DejaVu Sans Mono, Liberation Mono, Menlo, Consolas, monospace"'
            f' text-anchor="middle" fill="#000">{"".join(below)}</g></svg>'
        )

    def png(self, width_mm: int = SIZE_MM, dots_per_inch: int = 600) -> bytes:
        """The code alone, as PNG for label printers that set their own text.

        It is as wide as whole dots a module allow, never wider than `width_mm`.
        """
        _check_width(width_mm)
        code = self.qr()
        modules = len(code.matrix) + 2 * _QUIET_MODULES
        dots = int(width_mm / 25.4 * dots_per_inch) // modules
        if dots < 2:
            raise BadLabel(f"{dots_per_inch} dots an inch are too coarse for {width_mm} mm")
        data = io.BytesIO()
        code.save(data, kind="png", scale=dots, border=_QUIET_MODULES, dpi=dots_per_inch)
        return data.getvalue()


def _check_width(width_mm: int) -> None:
    if not SMALLEST_MM <= width_mm <= LARGEST_MM:
        raise BadLabel(f"a label is {SMALLEST_MM} to {LARGEST_MM} mm wide, not {width_mm}")


def _longest(lines: list[str]) -> int:
    return max(len(line) for line in lines)


def _line(lines: list[str], number: int, line_mm: float, width_mm: int) -> str:
    weight = ' font-weight="bold"' if number == 0 else ""
    base = width_mm + line_mm * (0.75 + 1.25 * number)
    return (
        f'<text x="{width_mm / 2:g}" y="{base:.2f}" font-size="{line_mm:.2f}"{weight}>'
        f"{escape(lines[number])}</text>"
    )


def _path(matrix: list[list[int]]) -> str:
    """The dark modules, runs of a row as one rectangle."""
    parts = []
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end]:
                end += 1
            if end > x:
                left, top = x + _QUIET_MODULES, y + _QUIET_MODULES
                parts.append(f"M{left} {top}h{end - x}v1h-{end - x}z")
            x = end + 1
    return "".join(parts)
