"""Each template says where it comes from, and reads what its maker's documents and meters sent."""

import contextlib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lines.frames import check_sum
from gateway.meters import templates
from gateway.meters.decode import Registers, decode, evidence
from gateway.meters.template import MOST_EVIDENCE, SIZES, Golden, Template, UnknownTemplate
from gateway.meters.template_file import parse
from gateway.meters.words import bytes_words, number_of

ALL = templates.load_all()
MADE = Path(templates.__file__).parent / "templates"
SDM120 = (MADE / "eastron-sdm120.toml").read_text()
NAMED = {
    "eastron-sdm120",
    "eastron-sdm630",
    "peacefair-pzem",
    "carlo-gavazzi-em340",
    "carlo-gavazzi-em340-import",
    "carlo-gavazzi-em24",
    "carlo-gavazzi-em24-import",
    "abb-b23",
    "schneider-iem3155",
    "sunspec-meter-203",
    "sunspec-meter-213",
    "sunspec-inverter-103",
    "sunspec-der-701",
    "iec62056-21",
}


def payload(reply: bytes) -> tuple[int, ...]:
    """The registers of a whole RTU reply."""
    assert reply[2] == len(reply) - 5
    return bytes_words(reply[3:-2])


def energy_words(template: Template, golden: Golden) -> tuple[int, ...]:
    """A golden reply's registers, laid into the template's energy requests."""
    words = payload(golden.reply)
    if not golden.request:
        return words
    first = int.from_bytes(golden.request[2:4], "big")
    there = dict(enumerate(words, first))
    return tuple(
        there.get(address, 0)
        for block in template.energy_registers.blocks
        for address in range(block.address, block.address + block.words)
    )


def goldens(energies: bool) -> list[object]:
    return [
        pytest.param(template, golden, id=f"{template.name}-{number}")
        for template in ALL
        for number, golden in enumerate(template.golden)
        if (not golden.value) is energies
    ]


def test_every_meter_that_was_named_has_a_template() -> None:
    assert {each.name for each in ALL} == NAMED
    assert len({each.hash for each in ALL}) == len(ALL)
    assert all(each.source and each.meters and each.traps for each in ALL)


@pytest.mark.parametrize(("template", "golden"), goldens(energies=True))
def test_a_golden_frame_says_its_energy(template: Template, golden: Golden) -> None:
    found = decode(template, energy_words(template, golden))
    wanted = Registers(
        found.import_wh if golden.import_wh is None else golden.import_wh,
        found.export_wh if golden.export_wh is None else golden.export_wh,
    )
    assert (golden.import_wh, golden.export_wh) != (None, None)
    assert found == wanted


@pytest.mark.parametrize(("template", "golden"), goldens(energies=False))
def test_a_golden_frame_of_another_register_says_its_value(
    template: Template, golden: Golden
) -> None:
    assert golden.number is not None
    found = number_of(golden.number, payload(golden.reply))
    assert found is not None
    half_a_step = Fraction(10) ** int(Decimal(golden.value).as_tuple().exponent) / 2
    assert abs(found - Fraction(golden.value)) <= half_a_step


@pytest.mark.parametrize("template", ALL, ids=lambda each: each.name)
def test_golden_requests_are_what_the_template_asks(template: Template) -> None:
    for golden in template.golden:
        if golden.request and not golden.value:
            unit, function = golden.request[:2]
            assert unit
            assert function == template.energy.function
            count = int.from_bytes(golden.request[4:6], "big")
            assert len(payload(golden.reply)) == count


@pytest.mark.parametrize("template", ALL, ids=lambda each: each.name)
def test_the_words_that_count_fit_into_a_reading(template: Template) -> None:
    words = tuple(range(sum(block.words for block in template.energy_registers.blocks)))
    kept = bytes_words(evidence(template, words))
    assert len(kept) <= MOST_EVIDENCE
    used = [word for at, size in template.energy_registers.used for word in range(at, at + size)]
    assert set(used) <= set(kept)


def test_nobody_guesses_what_a_meter_is_known_by() -> None:
    """Every Modbus template outside SunSpec has an identity probe; weak ones say so."""
    for template in ALL:
        if template.energy_registers.model or template.name == "iec62056-21":
            continue
        assert template.identity
        if not any(check.sure for check in template.identity):
            assert template.doubts


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("words = 2\n", "words = 4\n", "differ in length"),
        ("most_words = 80", "most_words = 3", "too long"),
        ("export_at = 2", "export_at = 3", "outside"),
        ("import_at = 0\nexport_at = 2", "", "neither import_at nor export_at"),
        ('type = "float32"', 'type = "float16"', "type is 'float16'"),
        ('unit_wh = "1000"', 'unit_wh = "0"', "unit_wh is not above 0"),
        ('unit_wh = "1000"', 'unit_wh = "1/0"', "cannot be used"),
        ('unit_wh = "1000"', 'unit_wh = "x"', "Invalid literal"),
        ("silence_ms = 60", "silence = 60", "silence_ms"),
        ("function = 4", "function = 6", "function is 6"),
        ("[[energy.read]]\naddress = 0x48\nwords = 4\n", "", "no [[energy.read]]"),
        ('equals = ["0020"]', "", "needs one of"),
        ("71 CB", "71 CC", "has check sum 71cc, not 71cb"),
        ("[fence]", "colour = 1\n[fence]", "unknown keys: colour"),
        ('name = "eastron-sdm120"', "name = 1", "needs text"),
        ('name = "eastron-sdm120"', "name = ", "cannot be used"),
    ],
)
def test_a_template_that_cannot_be_right_is_refused(before: str, after: str, words: str) -> None:
    assert before in SDM120
    with pytest.raises(UnknownTemplate) as caught:
        parse(SDM120.replace(before, after, 1).encode())
    assert words in str(caught.value)


@given(st.data())
def test_whatever_a_file_says_it_is_a_template_or_refused(data: st.DataObject) -> None:
    lines = SDM120.splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    key = lines[place].partition("=")[0]
    values = st.sampled_from(["", "1", "-1", "[]", "[1, 2]", '["x"]', "inf", "{}", '"x"', "true"])
    lines[place] = f"{key}= {data.draw(values)}" if data.draw(st.booleans()) else ""
    with contextlib.suppress(UnknownTemplate):
        assert parse("\n".join(lines).encode()).energy.words


def test_the_check_sums_that_eastron_prints_wrongly_are_not_copied() -> None:
    assert check_sum(bytes.fromhex("01 03 00 00 00 14")) != bytes.fromhex("C4 0B")
    assert all("C4 0B" not in each.read_text().upper() for each in MADE.glob("*.toml"))


def test_a_folder_adds_templates_and_never_replaces_one(tmp_path: Path) -> None:
    own = tmp_path / "own-meter.toml"
    own.write_text(SDM120.replace("eastron-sdm120", "own-meter"))
    assert templates.load("own-meter", tmp_path).energy.address == 0x48
    assert templates.load("abb-b23", tmp_path).hash == templates.load("abb-b23").hash
    (tmp_path / "abb-b23.toml").write_text(SDM120)
    with pytest.raises(UnknownTemplate, match="comes with the gateway; rename it"):
        templates.load("own-meter", tmp_path)


def test_a_file_is_named_as_its_template(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SDM120)
    with pytest.raises(UnknownTemplate, match="calls itself 'eastron-sdm120'"):
        templates.load("mine", tmp_path)
    (tmp_path / "mine.toml").write_text(SDM120.replace("71 CB", "71 CC"))
    with pytest.raises(UnknownTemplate, match=r"mine.toml: .*has check sum 71cc, not 71cb"):
        templates.load("mine", tmp_path)
    with pytest.raises(UnknownTemplate, match="no template 'theirs'"):
        templates.load("theirs", tmp_path)
    with pytest.raises(UnknownTemplate, match="folder of templates"):
        templates.load("mine", tmp_path / "nowhere")


def test_every_number_type_has_a_size() -> None:
    assert all(each.energy_registers.number.kind in SIZES for each in ALL)
