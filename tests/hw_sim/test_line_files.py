"""A line's file: the example works, every model and fault is known by name, mistakes are words."""

from pathlib import Path

import pytest

from gridwitness import cli
from hwsim import line_file, line_service
from hwsim.gps import TROUBLES
from hwsim.line_file import COUNTER_FAULTS, FAULTS, MODELS, PUSH, READOUT
from tests.hw_sim.line_master import ask, listen, read_frame, words_of
from wire.errors import Malformed

ARGUMENTS = {
    "late": "delay_s = {median = 0.03, spread = 0.5}",
    "exception": "code = 3",
    "holes": "registers = [0]",
    "babbling": 'every_s = [1, 2]\nsays = "01 04"',
    "glitch": "import_wh = 5e6",
    "rollover": "at_wh = 1e6",
    "power-cycle": "from_s = 1\nuntil_s = 2",
}


def write(folder: Path, content: str) -> Path:
    path = folder / "line.toml"
    path.write_text(content)
    return path


def test_the_example_is_a_line_that_answers(tmp_path: Path) -> None:
    line = line_file.load(write(tmp_path, line_service.example()))
    assert len(line.names) == 4
    words_of(ask(line.wire, 0.0, read_frame(1, 0x48, 4)))


@pytest.mark.parametrize("model", [*MODELS, READOUT, PUSH])
def test_every_model_can_be_put_on_a_line(model: str, tmp_path: Path) -> None:
    line = line_file.load(write(tmp_path, f'[[device]]\nmodel = "{model}"\nunit = 7'))
    assert line.names == (f"unit 7 {model}",)
    line.wire.receive(1.0)


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() | COUNTER_FAULTS.keys()))
def test_every_fault_can_be_given_to_a_meter(fault: str, tmp_path: Path) -> None:
    content = (
        '[[device]]\nmodel = "peacefair-pzem"\nunit = 1\n'
        f'[[device.fault]]\nname = "{fault}"\n{ARGUMENTS.get(fault, "")}'
    )
    line = line_file.load(write(tmp_path, content))
    assert line.names == (f"unit 1 peacefair-pzem, {fault}",)
    ask(line.wire, 0.0, read_frame(1, 0, 10))


def test_a_meter_that_was_without_power_is_silent_and_then_does_not_know(tmp_path: Path) -> None:
    content = (
        '[[device]]\nmodel = "peacefair-pzem"\nunit = 1\nimport_kwh = 5\npower_w = 0\n'
        '[[device.fault]]\nname = "power-cycle"\nfrom_s = 10\nuntil_s = 20\nstart_s = 5'
    )
    wire = line_file.load(write(tmp_path, content)).wire
    assert words_of(ask(wire, 1.0, read_frame(1, 5, 2))) == [5_000, 0]
    assert ask(wire, 15.0, read_frame(1, 5, 2)) == b""
    assert words_of(ask(wire, 22.0, read_frame(1, 5, 2))) == [0xFFFF, 0xFFFF]
    assert words_of(ask(wire, 26.0, read_frame(1, 5, 2))) == [5_000, 0]


def test_several_units_of_one_kind_have_chances_of_their_own(tmp_path: Path) -> None:
    content = (
        '[[device]]\nmodel = "peacefair-pzem"\nunits = [1, 2]\n'
        '[[device.fault]]\nname = "lost"\nchance = 0.5'
    )
    wire = line_file.load(write(tmp_path, content)).wire
    answered = [
        [bool(ask(wire, 100 * unit + n, read_frame(unit, 0, 10))) for n in range(30)]
        for unit in (1, 2)
    ]
    assert answered[0] != answered[1]
    assert 5 < sum(answered[0]) < 25


def test_a_line_has_noise_and_echo(tmp_path: Path) -> None:
    content = (
        'echo = true\n[[device]]\nmodel = "abb-b23"\nunit = 1\n[[noise]]\nevery_s = 2\nfrom_s = 9'
    )
    wire = line_file.load(write(tmp_path, content)).wire
    request = read_frame(1, 0x5000, 4, 3)
    assert ask(wire, 0.0, request).startswith(request)
    assert listen(wire, 20.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no [[device]] on the line"),
        ("[[device]", "is no TOML"),
        ("speed = 1", "unknown key 'speed'"),
        ('baudrate = "fast"', "baudrate is a whole number, not 'fast'"),
        ("baudrate = 1", "a baud rate is 50 to 4,000,000, not 1"),
        ('bits = "8X1"', "bits are written like 8N1"),
        ("device = 3", "device is tables, not 3"),
        ("[[device]]\nunit = 1", "device 1: no 'model'"),
        ('[[device]]\nmodel = "abb-b23"', "a Modbus unit is 1 to 247, not 0"),
        ('[[device]]\nmodel = "abb-b24"\nunit = 1', "no model 'abb-b24'; there are: abb-b21, abb"),
        ('[[device]]\nmodel = "abb-b23"\nunit = 1\nmode = "A"', "unknown key 'mode'"),
        ('[[device]]\nmodel = "abb-b23"\nunits = [1, "2"]', "units is a list of whole numbers"),
        ('[[device]]\nmodel = "abb-b23"\nunit = 1\nphases = 4', "phases is 1, 2 or 3, not 4"),
        ('[[device]]\nmodel = "abb-b23"\nunit = 1\ndelay_s = [1]', "seconds, [least, most] or"),
        (
            '[[device]]\nmodel = "abb-b23"\nunit = 1\ndelay_s = {low = 1, high = 2}',
            "{median, spread}",
        ),
        ('[[device]]\nmodel = "abb-b23"\nunit = 1\npower_w = [[1, 2]]', "begin at 0 and rise"),
        ('[[device]]\nmodel = "abb-b23"\nunit = 1\npower_w = [1, 2]', "W or [[from_s, W], …]"),
        ('[[device]]\nmodel = "sunspec-meter-203"\nunit = 1\nbase = 1', "base is 40000 or 0"),
        ('[[device]]\nmodel = "iec62056-21"\nhighest_baudrate = 1', "one of 300, 600"),
        (
            '[[device]]\nmodel = "abb-b23"\nunit = 1\n[[device.fault]]\nname = "tired"',
            "device 1, fault 1: no fault 'tired'; there are: babbling, busy",
        ),
        (
            '[[device]]\nmodel = "abb-b23"\nunit = 1\n[[device.fault]]\nname = "lost"\nchance = 2',
            "chance is between 0 and 1, not 2",
        ),
        (
            '[[device]]\nmodel = "abb-b23"\nunit = 1\n[[device.fault]]\nname = "lost"\nat = 2',
            "fault 1: unknown key 'at'",
        ),
        (
            '[[device]]\nmodel = "abb-b23"\nunit = 1\n'
            '[[device.fault]]\nname = "babbling"\nevery_s = 1\nsays = "xyz"',
            "says is octets in hexadecimal",
        ),
    ],
)
def test_a_mistake_in_a_lines_file_is_said_in_words(
    content: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(Malformed) as refused:
        line_file.load(write(tmp_path, content))
    assert words in str(refused.value)


def test_every_name_is_in_the_manual() -> None:
    manual = (Path(__file__).parent.parent.parent / "docs/SIMULATION.md").read_text()
    names = [*MODELS, READOUT, PUSH, *FAULTS, *COUNTER_FAULTS, *TROUBLES]
    assert [each for each in names if f"`{each}`" not in manual] == []


def test_the_example_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "line", "--example"]) == 0
    assert capsys.readouterr().out == line_service.example()


def test_a_line_without_a_file_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "line"]) == cli.REFUSED
    assert capsys.readouterr().err.count("\n") == 1


def test_a_port_that_vanishes_needs_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = '[[device]]\nmodel = "abb-b23"\nunit = 1\n[[vanish]]\nat_s = 1\nfor_s = 1'
    assert cli.main(["sim", "line", str(write(tmp_path, content))]) == cli.REFUSED
    assert "give it a name by --link" in capsys.readouterr().err
