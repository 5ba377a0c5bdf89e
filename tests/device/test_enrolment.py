"""Enrolments: made without a network, signed in order, brought to a block; troubles are a line."""

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.provision import enrolment
from device.provision.enrol_command import add_enrol_command
from device.provision.enrolment import Placement
from device.provision.submission import Final, Submission, SubmissionRefused, Validator
from hsm import filekey
from tests.app.enrolments import (
    TECHNICIAN,
    enrolling_village,
    refusal,
    starts,
    with_technician,
)
from tests.app.village import genesis_content, signer
from tests.device.paper_enrolment import (
    PLACEMENT,
    SOFTWARE,
    FakeValidator,
    enrolment_of,
    record,
    running,
)
from tests.device.paper_meter import METER
from validator.desk import Desk
from wire import cbor
from wire.cose import Sign
from wire.errors import BadSignature, Malformed, Refused, Unavailable
from wire.keys import ES256, SoftSigner
from wire.transaction import PROTECTED, Transaction

VILLAGE = enrolling_village()
GENESIS = VILLAGE.genesis
MADE = enrolment_of(GENESIS)
OPERATOR = signer("PEA")
NOT_FOUND = (404, {"detail": "no such transaction is known here"})
WAITING = (200, {"status": "waiting"})
FINAL = (200, {"status": "final", "height": 7, "code": 0})
REFUSED = (422, {"code": 69, "reason": "meter-id-taken", "words": "a meter of this id is there"})


def signed() -> Transaction:
    return enrolment.by_operator(enrolment.examine(MADE, GENESIS), OPERATOR)


def test_what_the_parties_signed_is_what_validators_take() -> None:
    assert refusal(VILLAGE, MADE) == "not-signed-by-operator"
    assert refusal(VILLAGE, signed()) == ""


def test_made_again_of_the_same_facts_it_is_the_same_transaction() -> None:
    assert enrolment_of(GENESIS).encoded == MADE.encoded
    assert enrolment_of(GENESIS, slot=3).id != MADE.id
    assert enrolment_of(GENESIS, unit=8).id != MADE.id


def test_the_operator_signs_once_however_often_the_command_runs() -> None:
    once = signed()
    again = enrolment.by_operator(enrolment.examine(once, GENESIS), OPERATOR)
    assert again.encoded == once.encoded
    assert enrolment.examine(once, GENESIS).operator_signed
    assert enrolment.examine(once).operator_signed
    assert not enrolment.examine(MADE).operator_signed


def test_another_operators_key_is_not_used() -> None:
    with pytest.raises(Refused, match="give --operator-key of PEA"):
        enrolment.by_operator(enrolment.examine(MADE, GENESIS), signer("MEA"))


def test_a_first_interval_gives_the_operator_time() -> None:
    assert enrolment.first_interval(1_000, 900, 0) == 1_800
    assert enrolment.first_interval(1_800, 900, 0) == 1_800
    assert enrolment.first_interval(1_801, 900) == 1_800 + 900 + 86_400


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "king"},
        {"reader": ""},
        {"rating_w": 0},
        {"phases": 2},
        {"role": "source"},
        {"class_ppm": ()},
    ],
)
def test_a_placement_that_cannot_be_registered_is_refused_on_site(changes: dict[str, Any]) -> None:
    known: dict[str, Any] = {"role": "customer", "reader": "gw-a", "rating_w": 15_000} | changes
    with pytest.raises(Malformed):
        enrolment.entry_of(record(signer(TECHNICIAN)), METER.public, SOFTWARE, Placement(**known))


def test_a_meter_without_a_site_is_not_enrolled() -> None:
    with pytest.raises(Malformed, match="no site"):
        enrolment.entry_of(record(signer(TECHNICIAN), site=[]), METER.public, SOFTWARE, PLACEMENT)


def resigned(transaction: Transaction, **entry: Any) -> Transaction:
    """The same with another entry, signed by the same parties."""
    network, nonce, expiry, body = cbor.decode(transaction.sign.payload)
    body[1] |= entry
    made = Transaction(Sign(PROTECTED, cbor.encode([network, nonce, expiry, body])))
    return made.with_signature(METER).with_signature(signer(TECHNICIAN))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "other"}, "another meter"),
        ({"node": "n1"}, "another node"),
        ({"zone": "z2"}, "another zone"),
        ({"configuration_id": "00" * 8}, "not the one that the entry names"),
        ({"key": ""}, "a key of its own"),
    ],
)
def test_an_entry_and_a_record_that_differ_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Malformed, match=words):
        enrolment.examine(resigned(MADE, **changes), GENESIS)


def test_an_enrolment_that_the_meter_has_not_signed_is_refused() -> None:
    bare = Transaction.of(MADE.sign.payload).with_signature(signer(TECHNICIAN))
    with pytest.raises(BadSignature, match="the meter's signature of the enrolment"):
        enrolment.examine(bare)
    stranger = SoftSigner.from_private(ES256, bytes([9]) * 32)
    other = resigned(MADE, key=stranger.public.text).with_signature(stranger)
    with pytest.raises(BadSignature, match="first"):
        enrolment.examine(other)


def test_a_technician_of_nobody_or_of_another_operator_is_named() -> None:
    for name in ("nobody", "tech-mea"):
        with pytest.raises(BadSignature, match="no technician of PEA"):
            enrolment.examine(enrolment_of(GENESIS, technician=signer(name)), GENESIS)


def test_an_enrolment_for_another_network_or_zone_is_refused() -> None:
    other = enrolling_village().genesis
    object.__setattr__(other, "network", bytes(32))
    with pytest.raises(Malformed, match="another network"):
        enrolment.examine(MADE, other)
    with pytest.raises(Malformed, match="no zone z9"):
        enrolment.examine(enrolment_of(GENESIS, zone="z9"), GENESIS)


def test_what_the_board_signed_for_something_else_is_no_enrolment() -> None:
    begun = enrolment.begin(
        GENESIS.network, enrolment.examine(MADE).body.entry, starts(3), record(signer(TECHNICIAN))
    )
    with pytest.raises(BadSignature):
        enrolment.on_site(begun, METER.public, METER.sign(b"other"), signer(TECHNICIAN))


def test_a_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "GW-000117.gwe"
    enrolment.write(path, MADE)
    enrolment.write(path, signed())
    assert enrolment.read(path).encoded == signed().encoded
    assert list(tmp_path.iterdir()) == [path]


@given(data=st.binary(max_size=200))
def test_any_file_is_refused_with_its_name(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.gwe"
    path.write_bytes(data)
    with pytest.raises(Malformed, match=r"any\.gwe is no enrolment"):
        enrolment.read(path)


@given(st.data())
def test_a_damaged_file_is_never_taken_for_a_good_one(data: st.DataObject) -> None:
    good = MADE.encoded
    place = data.draw(st.integers(0, len(good) - 1))
    bad = good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :]
    with pytest.raises(Refused):
        enrolment.examine(Transaction.open(bad), GENESIS)


class Steady:
    """A clock that goes on by what is waited."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s

    def pause(self, seconds: float) -> None:
        self.at_s += seconds


def bring(*validators: FakeValidator, patience_s: float = 5) -> tuple[Final, list[str]]:
    lines: list[str] = []
    clock = Steady()
    with running(*validators), contextlib.ExitStack() as stack:
        desks = [stack.enter_context(contextlib.closing(Desk(each.url))) for each in validators]
        asked = [Validator(each) for each in desks]
        made = Submission(signed(), asked, lines.append, patience_s, clock.now_s, clock.pause).run()
    return made, lines


def test_it_is_sent_once_and_waited_for() -> None:
    validator = FakeValidator([NOT_FOUND, WAITING, WAITING, FINAL])
    final, lines = bring(validator)
    assert final == Final(7, validator.url)
    assert validator.seen == ["GET", "POST", "GET", "GET", "GET"]
    assert validator.bodies == [signed().encoded]
    assert lines == [f"{validator.url}: taken; it waits for a block"]


def test_what_is_in_a_block_already_is_not_sent_again() -> None:
    validator = FakeValidator([FINAL])
    assert bring(validator)[0].height == 7
    assert validator.bodies == []


def test_when_one_is_away_the_next_is_asked() -> None:
    away = FakeValidator([(500, b"\xff")])
    broken = FakeValidator([(200, b"[1]"), (200, b"{"), (302, b"")])
    busy = FakeValidator([NOT_FOUND], [(503, {"detail": "too many wait\x1b[2J"})])
    good = FakeValidator([NOT_FOUND, WAITING, WAITING, FINAL])
    final, lines = bring(away, broken, busy, good)
    assert final.validator == good.url
    assert f"{away.url}: away: its answer is no validator's" in lines
    assert f"{busy.url}: busy: too many wait [2J" in lines


def test_nobody_there_is_said_in_one_line() -> None:
    clock = Steady()
    nobody = [Validator(Desk("http://127.0.0.1:1"))]
    submission = Submission(signed(), nobody, lambda _: None, 2, clock.now_s, clock.pause)
    with pytest.raises(Unavailable, match="no validator takes the enrolment") as caught:
        submission.run()
    assert "\n" not in str(caught.value)


def test_a_refusal_says_why_and_what_to_do() -> None:
    validator = FakeValidator([NOT_FOUND], [REFUSED])
    with pytest.raises(
        SubmissionRefused, match=r"meter-id-taken: a meter of this id.*Try: if this"
    ):
        bring(validator)


def test_one_that_refuses_does_not_outvote_one_that_takes_it() -> None:
    behind = FakeValidator([NOT_FOUND], [REFUSED])
    good = FakeValidator([NOT_FOUND, WAITING, FINAL])
    final, lines = bring(behind, good)
    assert final.validator == good.url
    assert lines[0].startswith(f"{behind.url}: refuses: meter-id-taken")


def test_one_that_forgot_it_is_told_again() -> None:
    validator = FakeValidator([NOT_FOUND, NOT_FOUND, FINAL])
    bring(validator)
    assert len(validator.bodies) == 2


def test_what_was_refused_once_is_offered_again() -> None:
    was = (200, {"status": "refused", **REFUSED[1]})
    assert bring(FakeValidator([was, FINAL]))[0].height == 7
    with pytest.raises(SubmissionRefused):
        bring(FakeValidator([was], [REFUSED]))


def test_a_block_that_never_comes_ends_with_what_to_look_at() -> None:
    with pytest.raises(Unavailable, match=r"is a quorum of validators up\?"):
        bring(FakeValidator([WAITING]), patience_s=2)


def test_a_block_by_another_way_is_still_found() -> None:
    replayed = (422, {"code": 63, "reason": "transaction-replayed", "words": "it is there"})
    assert bring(FakeValidator([NOT_FOUND, FINAL], [replayed]))[0].height == 7


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:80",
        "file:///etc/passwd",
        "http://",
        "http://u:p@h",
        "http://h:99999",
        "x://h",
    ],
)
def test_what_is_no_address_is_never_opened(url: str) -> None:
    with pytest.raises(Malformed, match="no validator's address"):
        Desk(url)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    enrolment.write(tmp_path / "m.gwe", MADE)
    content = genesis_content()
    with_technician(content)
    (tmp_path / "genesis.json").write_text(json.dumps(content))
    return tmp_path


def command(*arguments: Any) -> int:
    parser = argparse.ArgumentParser()
    parser.set_defaults(desk=lambda url, _: Desk(url))
    add_enrol_command(parser.add_subparsers())
    args = parser.parse_args(["enrol", *map(str, arguments)])
    status: int = args.run(args)
    return status


def test_check_shows_and_changes_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(files / "m.gwe", "--check") == 0
    shown = capsys.readouterr().out
    assert "GW-000117 at n3 in z1, customer" in shown
    assert "give --genesis" in shown
    assert enrolment.read(files / "m.gwe").encoded == MADE.encoded
    assert command(files / "m.gwe", "--check", "--json") == 0
    assert json.loads(capsys.readouterr().out)["transaction"] == MADE.id.hex()
    assert command(files / "m.gwe", "--check", "--genesis", files / "genesis.json") == 0
    shown = capsys.readouterr().out
    assert "technician     tech-1 Somchai" in shown
    assert "operator       PEA: still to sign" in shown


def test_without_an_operator_or_a_validator_it_says_what_is_missing(files: Path) -> None:
    with pytest.raises(Refused, match="give --validator"):
        command(files / "m.gwe")
    with pytest.raises(Refused, match="give --operator-key"):
        command(files / "m.gwe", "--validator", "http://127.0.0.1:1")


def test_the_signed_file_is_kept_before_anything_is_sent(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = files / "operator" / "key.pem"
    key.parent.mkdir()
    (key.parent / "passphrase").write_bytes(b"secret\n")
    operator = filekey.create(key, ES256, b"secret")
    gone = ("--validator", "http://127.0.0.1:1", "--wait", 0, "--operator-key", key)
    with pytest.raises(Unavailable):
        command(files / "m.gwe", *gone)
    kept = enrolment.read(files / "m.gwe")
    assert kept.is_signed_by(operator)
    validator = FakeValidator([NOT_FOUND, FINAL])
    with running(validator):
        assert command(files / "m.gwe", "--validator", validator.url, "--json") == 0
    assert validator.bodies == [kept.encoded]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["height"] == 7


def test_a_replacement_is_one_when_the_old_meter_is_registered() -> None:
    made = record(signer(TECHNICIAN))
    entry = enrolment.entry_of(made, METER.public, SOFTWARE, PLACEMENT)
    begun = enrolment.begin(GENESIS.network, entry, starts(2), made, "c3")
    again = enrolment.begin(GENESIS.network, entry, starts(2), made, "c3")
    assert (begun.kind, begun.id) == ("replace-meter", again.id)
    assert enrolment.begin(GENESIS.network, entry, starts(2), made).kind == "enrol-meter"
    by = signer(TECHNICIAN)
    signed = enrolment.on_site(begun, METER.public, METER.sign(begun.to_sign(METER.public)), by)
    words = enrolment.described(enrolment.examine(signed, GENESIS))
    assert words[0] == "replaces       c3"
