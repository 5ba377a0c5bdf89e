"""The small deciders of a bus: fences, patience, holes, who babbles. Pure."""

from gateway.lines.babble import WINDOW_S, Babble
from gateway.lines.frames import READ_INPUT, WRITE_MULTIPLE, Request, RtuFraming
from gateway.lines.patience import Patience
from gateway.meters import templates
from gateway.meters.template import Block
from gateway.polling import fences, window
from gateway.polling.fences import LATEST_S, Owed
from gateway.polling.holes import HOLE_S, REFUSALS, Holes, pieces
from hwsim.modbus_device import with_check_sum

SDM630 = templates.load("eastron-sdm630")
ENERGY = Request(1, READ_INPUT, 0x48, 4)


def test_a_fence_is_never_as_long_as_a_reply_that_may_still_come() -> None:
    choice = fences.of_template(1, SDM630)
    owed = Owed()
    asked = []
    for second in range(len(choice)):
        fence = owed.fence(choice, second)
        asked.append(fence)
        owed.unanswered(fence, second)
    assert len(set(asked)) == len(choice) >= 8
    assert owed.fence(choice, 60.0) == asked[0], "then the one that was asked longest ago"
    assert not owed.answered(asked[0], 60.0), "which may have been answered late"
    assert owed.fence(choice, LATEST_S + 5.5) == asked[1], "very late replies are not reckoned with"
    assert owed.answered(asked[1], LATEST_S + 5.5)
    assert not owed.anything(LATEST_S + 5.5)


def test_a_reply_to_an_earlier_fence_leaves_the_later_ones_owed() -> None:
    [only] = fences.of_template(1, SDM630)[:1]
    owed = Owed()
    owed.unanswered(only, 0.0)
    owed.unanswered(ENERGY, 1.0)
    assert not owed.answered(only, 2.0)
    assert owed.anything(2.0)
    assert owed.answered(fences.of_template(1, SDM630)[1], 3.0)


def test_a_length_that_was_just_heard_is_no_fence_as_it_may_be_said_twice() -> None:
    choice = fences.of_template(1, SDM630)
    owed = Owed()
    owed.heard(choice[0], 10.0)
    assert owed.fence(choice, 10.4) == choice[1]
    assert owed.fence(choice, 10.6) == choice[0]


def test_no_fence_is_as_long_as_another_read_of_its_meter() -> None:
    for template in templates.load_all():
        reads = [(each.function, each.words) for each in template.energy_registers.blocks]
        lengths = [fences.shape(each) for each in fences.of_template(1, template)]
        assert set(lengths).isdisjoint(reads), template.name
        assert len(lengths) == len(set(lengths)), template.name
        assert lengths[0] == (template.fence.function, template.fence.words)
    used = {window.HEADER_WORDS, 3, 72, 12, *range(1, 9), *range(60, 121)}
    assert used.isdisjoint(each.count for each in window.fences(1))


def test_a_length_that_was_refused_twice_is_left_out() -> None:
    choice = fences.of_template(1, SDM630)
    owed = Owed()
    for _ in range(2):
        owed.refused(choice[1], 0.0)
    owed.unanswered(choice[0], 0.0)
    assert owed.fence(choice, 1.0) == choice[2]


def test_a_unit_of_which_only_a_question_is_known_has_fences_too() -> None:
    write = Request(9, WRITE_MULTIPLE, 0xF006, 2, (0, 1))
    for request in (ENERGY, write):
        shapes = [fences.shape(each) for each in fences.like(request)]
        assert fences.shape(request) not in shapes
        assert len(shapes) >= 8


def test_patience_follows_the_slowest_recent_answer_and_is_whole_again_after_a_failure() -> None:
    patience = Patience(0.5)
    assert patience.of(1) == 0.5
    patience.answered(1, 0.03)
    assert patience.of(1) == 0.2
    patience.answered(1, 0.08)
    assert patience.of(1) == 0.4
    patience.answered(1, 0.3)
    assert patience.of(1) == 0.5
    for _ in range(60):
        patience.answered(1, 0.03)
    assert patience.of(1) < 0.25
    patience.failed(1)
    assert patience.of(1) == patience.of(2) == 0.5


BLOCK = Block(READ_INPUT, 0x34, 28)


def test_one_exception_makes_no_hole_and_a_hole_is_not_believed_for_ever() -> None:
    holes = Holes()
    holes.refused(BLOCK, 0.0)
    assert not holes.splits(BLOCK, 1.0)
    holes.answered(BLOCK)
    for number in range(REFUSALS):
        assert not holes.splits(BLOCK, 2.0)
        holes.refused(BLOCK, 2.0 + number)
    assert holes.splits(BLOCK, HOLE_S)
    assert not holes.splits(BLOCK, HOLE_S + 4.0), "then it is asked whole again"
    holes.refused(BLOCK, HOLE_S + 4.0)
    assert holes.splits(BLOCK, HOLE_S + 5.0), "and one refusal tells that the hole is still there"


def test_pieces_are_what_the_values_come_from() -> None:
    assert pieces(BLOCK, 10, [(0, 2), (10, 2), (36, 2), (38, 4)]) == [
        Block(READ_INPUT, 0x34, 2),
        Block(READ_INPUT, 0x34 + 26, 2),
    ]


def test_a_few_stray_octets_are_no_babble_and_babble_is_forgotten_in_time() -> None:
    babble = Babble()
    for number in range(7):
        babble.heard(float(number), 13, 5)
    assert not babble.is_on(10.0)
    babble.heard(10.0, 13, None)
    assert babble.is_on(10.0)
    assert babble.units(10.0) == (5,)
    assert not babble.is_on(10.0 + WINDOW_S)
    assert babble.units(10.0 + WINDOW_S) == ()


def test_frames_are_found_in_whatever_was_overheard() -> None:
    push = with_check_sum(bytes([7, 4, 4, 1, 2, 3, 4]))
    refusal = with_check_sum(bytes([9, 0x84, 2]))
    request = with_check_sum(bytes([3, 4, 0, 0x48, 0, 4]))
    heard = b"\x00\xff" + push + b"\x55" + refusal + request
    assert RtuFraming().overheard(heard) == [(7, 9), (9, 5), (3, 8)]
    assert RtuFraming().overheard(bytes(500)) == []


def test_an_echo_is_taken_out_however_it_comes_in() -> None:
    reply = with_check_sum(bytes([1, 4, 8, *range(8)]))
    framing = RtuFraming()
    echo = framing.frame(ENERGY)
    buffer = bytearray()
    for octet in echo + reply[:-1]:
        buffer.append(octet)
        assert framing.take(buffer, ENERGY) is None
    buffer += reply[-1:]
    assert framing.take(buffer, ENERGY) == reply[1:-2]
    assert framing.echoes == 1
    assert framing.strays() == []
