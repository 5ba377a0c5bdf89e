"""docs/METER-TEMPLATES.md against the templates: its table, its example, its readout."""

import re
from pathlib import Path

import pytest

from gateway import config
from gateway.meters import templates
from gateway.meters.decode import Registers, decode
from gateway.meters.template import Template
from gateway.meters.template_file import parse
from gateway.meters.words import bytes_words
from tests.gateway.world import GOOD

DOCUMENT = (Path(__file__).parent.parent.parent / "docs/METER-TEMPLATES.md").read_text()
ROWS = {
    name: (registers, step)
    for name, registers, step in re.findall(
        r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", DOCUMENT, re.MULTILINE
    )
}
EXAMPLES = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)


def test_the_table_names_every_template() -> None:
    assert set(ROWS) == {each.name for each in templates.load_all()}


@pytest.mark.parametrize("template", templates.load_all(), ids=lambda each: each.name)
def test_a_row_says_what_the_template_reads(template: Template) -> None:
    registers, step = ROWS[template.name]
    energy = template.energy_registers
    if energy.number.kind == "obis":
        return
    assert step == f"{energy.resolution_wh} Wh"
    if energy.model:
        assert f"model {energy.model}" in registers
        assert ("scale factor" in registers) == (energy.scale_at is not None)
        return
    assert energy.number.kind in registers
    assert ("low word first" in registers) == (energy.number.order == "low-first")
    for block in energy.blocks:
        assert f"0x{block.address:04X}" in registers
    assert f"FC0{template.energy.function}" in registers


def test_the_example_is_a_template() -> None:
    template = parse(EXAMPLES[0].encode())
    (golden,) = template.golden
    words = bytes_words(golden.reply[3:-2])
    assert decode(template, words) == Registers(1_234_560, 100)


def test_every_key_of_a_template_is_in_the_example() -> None:
    code = Path(templates.__file__).with_name("template_file.py").read_text()
    taking = r"(?:take|number|one_of|table|tables|_strings|_place|_patterns|_with_dots|_frame|_wh)"
    keys = set(re.findall(taking + r'\((?:\w+, )?"(\w+)"', code)) - {"value"}
    shown = set(re.findall(r"^(?:# )?(\w+) = ", EXAMPLES[0], re.MULTILINE))
    shown |= {name.split(".")[-1] for name in re.findall(r"^\[+([\w.]+)\]+", EXAMPLES[0], re.M)}
    shown |= {"stopbits", "text", "between"}
    assert keys - shown == set()


def test_the_readout_is_a_bus(tmp_path: Path) -> None:
    other = '[[bus.meter]]\nid = "m1"\nunit = 1\ntemplate = "eastron-sdm630"\n'
    path = tmp_path / "gateway.toml"
    path.write_text(GOOD.replace(other, "") + EXAMPLES[1])
    assert config.load(path).buses[1].readout == "sign-on"
