"""Frames are told from noise by length and check sum, whoever sent them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lines.frames import READ_HOLDING, READ_INPUT, Request, RtuFraming, check_sum
from gateway.lines.overheard import frames_in
from gateway.meters.guesses import guesses
from gateway.operation.scanning import units_of


def framed(body: bytes) -> bytes:
    return body + check_sum(body)


ASKED = bytes.fromhex("010400000002 71CB")
ANSWERED = bytes.fromhex("010404436633341B38")
REFUSED = framed(bytes([1, 0x84, 2]))
RESET = framed(bytes([1, 0x42]))
WRITTEN = bytes.fromhex("0110001C000204400000 00E736")


def test_a_talk_is_told_frame_by_frame() -> None:
    seen = frames_in(ASKED + ANSWERED + REFUSED + WRITTEN + RESET)
    assert [each.says for each in seen] == [
        "asked by function 4: 2 registers from 0x0000",
        "answers function 4: 4366 3334",
        "refuses function 4: exception 2",
        "function 16: register 0x001C to be written",
        "function 66, which is not known here: ",
    ]
    assert all(each.whole for each in seen)
    assert {each.unit for each in seen} == {1}


def test_noise_between_frames_is_told_and_hides_none() -> None:
    damaged = bytes([ANSWERED[0], ANSWERED[1] ^ 8, *ANSWERED[2:]])
    seen = frames_in(b"\x00\xff" + ASKED + damaged + ASKED)
    assert [each.whole for each in seen] == [False, True, False, True]
    assert seen[0].says == "2 octets that are no frame"
    assert (seen[2].unit, seen[2].function) == (0, 0)


reads = st.builds(
    Request,
    st.integers(1, 247),
    st.sampled_from([READ_HOLDING, READ_INPUT]),
    st.integers(0, 0xFFFF),
    st.integers(1, 125),
)


@given(st.lists(reads, max_size=4))
def test_requests_that_the_gateway_makes_are_all_seen(requests: list[Request]) -> None:
    framing = RtuFraming()
    seen = frames_in(b"".join(framing.frame(each) for each in requests))
    assert [(each.whole, each.unit, each.function) for each in seen] == [
        (True, each.unit, each.function) for each in requests
    ]


@given(st.binary(max_size=300))
def test_nothing_that_was_heard_gets_lost(octets: bytes) -> None:
    assert b"".join(each.octets for each in frames_in(octets)) == octets


def test_guesses_show_what_a_display_may_show() -> None:
    found = guesses([0x449A, 0x51EC, 0, 0])
    assert found["float32"] == "1234.56"
    assert guesses([0xE240, 0x0001])["u32 low first"] == "123456"
    assert guesses([0xFFFE])["s16"] == "-2"
    assert guesses([0x4232])["text"] == "B2"
    assert "float32" not in guesses([0x0000, 0x0001])


@pytest.mark.parametrize(
    ("text", "units"), [("1-3", [1, 2, 3]), ("5", [5]), ("7,1-2", [1, 2, 7]), ("247", [247])]
)
def test_units_are_written_as_ranges(text: str, units: list[int]) -> None:
    assert units_of(text) == units


@pytest.mark.parametrize("text", ["", "0-3", "248", "x", "1-", "3-1"])
def test_units_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="units"):
        units_of(text)
