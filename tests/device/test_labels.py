"""A label is read by a scanner and by people, and a slip of either is noticed."""

import re
import struct
import zlib

import numpy as np
import pytest
import zxingcpp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from hypothesis import given
from hypothesis import strategies as st

from device.provision.label import BadLabel, Label, check_digits, groups, spki
from gridwitness.cli import main
from tests.device.paper_meter import METER, TECHNICIAN
from wire.errors import Malformed
from wire.keys import SoftSigner

LABEL = Label.of("GW-000117", METER.public)
LONGEST = Label.of("PROVINCIAL-METER-009", METER.public)
PRINTABLE = [chr(code) for code in range(32, 127)]


def png_pixels(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """The pixels of a PNG of one bit and one colour, as segno writes it."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, packed, width, height = 8, b"", 0, 0
    while place < len(data):
        [size] = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
            assert (depth, colour) == (1, 0)
        packed += body if kind == b"IDAT" else b""
        place += size + 12
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, -1).copy()
    for number, row in enumerate(rows):
        assert row[0] in (0, 2)  # Plain, or the difference to the row above (PNG §9.2).
        if row[0] == 2:
            row[1:] += rows[number - 1, 1:]
    return np.unpackbits(rows[:, 1:], axis=1)[:, :width] * np.uint8(255)


def svg_pixels(svg: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """What the path of the drawing covers, four pixels a module."""
    runs = re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", svg)
    size = 4 + max(int(y) for _, y, _ in runs) + 1
    pixels = np.full((size, size), 255, np.uint8)
    for x, y, length in runs:
        pixels[int(y), int(x) : int(x) + int(length)] = 0
    return pixels.repeat(4, axis=0).repeat(4, axis=1)


def scanned(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(pixels)]


@pytest.mark.parametrize("label", [LABEL, LONGEST])
@pytest.mark.parametrize("width_mm", [18, 30, 100])
def test_a_scanner_reads_what_the_label_says(label: Label, width_mm: int) -> None:
    assert scanned(png_pixels(label.png(width_mm))) == [label.text]
    assert scanned(svg_pixels(label.svg("LV1.101.Bus-7", width_mm))) == [label.text]


def test_a_scratched_label_is_still_read() -> None:
    pixels = png_pixels(LABEL.png()).copy()
    middle, depth = len(pixels) // 2, len(pixels) // 12
    pixels[middle - depth : middle + depth, middle - depth : middle + depth] = 255
    assert scanned(pixels) == [LABEL.text]


def test_the_text_names_meter_key_and_fingerprint() -> None:
    kid = METER.public.kid.hex()
    assert LABEL.text.startswith(f"GW1:GW-000117:{kid}:{LABEL.fingerprint}:")
    assert Label.parse(f"  {LABEL.text}\n") == LABEL
    assert Label.parse(LONGEST.text) == LONGEST
    assert len(LONGEST.text) == 65


def test_the_key_in_full_is_held_against_the_label() -> None:
    LABEL.check_key(METER.public)
    with pytest.raises(BadLabel, match="not the one on the label"):
        LABEL.check_key(TECHNICIAN.public)


@pytest.mark.parametrize("signer", [METER, TECHNICIAN])
def test_the_spki_is_what_other_programs_write(signer: SoftSigner) -> None:
    public = signer.public
    library = load_der_public_key(spki(public))
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert library.public_bytes(*form) == spki(public)
    assert isinstance(library, ec.EllipticCurvePublicKey) == (signer is METER)


@pytest.mark.parametrize("label", [LABEL, LONGEST])
def test_any_single_wrong_character_is_noticed(label: Label) -> None:
    text = label.text
    for place, right in enumerate(text):
        for wrong in PRINTABLE:
            if wrong == right or (wrong == " " and place == len(text) - 1):
                continue
            with pytest.raises(BadLabel):
                Label.parse(text[:place] + wrong + text[place + 1 :])


@pytest.mark.parametrize("label", [LABEL, LONGEST])
def test_any_two_characters_that_were_swapped_are_noticed(label: Label) -> None:
    text = label.text[:-2]
    for first in range(len(text)):
        for second in range(first):
            if text[first] != text[second]:
                swapped = list(text)
                swapped[first], swapped[second] = text[second], text[first]
                assert check_digits("".join(swapped)) != label.text[-2:]


@pytest.mark.parametrize(
    "body",
    [
        "GW2:GW-000117:750ca40795ab23e5:5a7a78cca4a0f420d9bc:",
        "GW1:GW-000117:750ca40795ab23e5:",
        "GW1:GW-000117:750ca40795ab23e:5a7a78cca4a0f420d9bc:",
        "GW1:GW-000117:750CA40795AB23E5:5a7a78cca4a0f420d9bc:",
        "GW1:GW-000117:750ca40795ab23e5:5a7a78cca4a0f420d9b:",
        "GW1::750ca40795ab23e5:5a7a78cca4a0f420d9bc:",
        "GW1:-x:750ca40795ab23e5:5a7a78cca4a0f420d9bc:",
        "GW1:a b:750ca40795ab23e5:5a7a78cca4a0f420d9bc:",
        "GW1:GW-000117:750ca40795ab23e5:5a7a78cca4a0f420d9bc::",
        "",
        ":",
    ],
)
def test_what_is_no_label_is_refused_also_with_the_right_check(body: str) -> None:
    with pytest.raises(BadLabel):
        Label.parse(body + check_digits(body))


@given(st.text(max_size=100))
def test_any_text_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(BadLabel):
        Label.parse("GW1:" + text)


def test_people_read_the_same_under_the_code() -> None:
    svg = LABEL.svg("LV1.101.Bus-7")
    for line in ("GW-000117", groups(METER.public.kid.hex()), "LV1.101.Bus-7"):
        assert f">{line}</text>" in svg
    assert LABEL.lines("x" * 33)[2:] == ["x" * 20, "x" * 13]


def test_a_label_is_as_wide_as_it_is_to_be_printed() -> None:
    assert 'width="30mm"' in LABEL.svg()
    assert 'width="18mm"' in LABEL.svg(width_mm=18)
    for width_mm in (17, 101):
        with pytest.raises(BadLabel, match="mm wide"):
            LABEL.svg(width_mm=width_mm)
        with pytest.raises(BadLabel, match="mm wide"):
            LABEL.png(width_mm)
    with pytest.raises(BadLabel, match="too coarse"):
        LABEL.png(18, 72)
    assert len(png_pixels(LABEL.png(30, 300))) <= 30 / 25.4 * 300


def test_a_meter_without_a_name_gets_no_label() -> None:
    for name in ("", "x" * 21, '"><script>'):
        with pytest.raises(Malformed):
            Label.of(name, METER.public)


def test_the_command_reads_a_label_and_holds_a_key_against_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["meter", "label", LABEL.text]) == 0
    assert "GW-000117" in capsys.readouterr().out
    assert main(["meter", "label", LABEL.text, "--key", METER.public.text]) == 0
    assert "the key is the one on the label" in capsys.readouterr().out
    assert main(["meter", "label", LABEL.text, "--key", TECHNICIAN.public.text]) == 1
    assert "is not the one on the label of GW-000117" in capsys.readouterr().err
    assert main(["meter", "label", LABEL.text[:-1] + "x"]) == 1
    assert "a character is wrong" in capsys.readouterr().err
