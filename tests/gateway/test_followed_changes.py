"""A gateway's own keys: the genesis file's, then those of the signed changes that it is told of."""

from pathlib import Path

import pytest

from gateway import config
from gateway.config_table import BadConfiguration
from gateway.registered import Registration, registration
from tests.app.enrolments import NEW, Enrolment, starts
from tests.app.registry_kinds import GENESIS, compromise, made, rotation, signed
from tests.app.village import gateway_entry, signer
from tests.gateway.world import GOOD
from wire.keys import PublicKey
from wire.transaction import Transaction
from wire.transaction_bodies import Entry, Retirement

HEAD = GOOD[: GOOD.index("[[bus]]")]


def followed(
    folder: Path, *changes: Transaction, gateway: str = "gw-a", slot: int = 9, more: str = ""
) -> Registration:
    """What the gateway takes as registered in an interval, told these changes."""
    names = [f"{number}.gwt" for number, _ in enumerate(changes)]
    for name, change in zip(names, changes, strict=True):
        (folder / name).write_bytes(change.encoded)
    text = HEAD.replace('"gw-1"', f'"{gateway}"')
    text = text.replace("[token]\n", f"[token]\nchanges = {names}\n".replace("'", '"'))
    (folder / "gateway.toml").write_text(text + more)
    return registration(config.load(folder / "gateway.toml"), GENESIS, starts(slot))


def keys(found: Registration) -> tuple[PublicKey, PublicKey]:
    return found.witness_key, found.reader_key


def test_a_key_follows_from_its_first_interval_on(tmp_path: Path) -> None:
    old, reader, new = (signer(name).public for name in ("gw-a", "gw-a reader", "new key"))
    change = made("rotate witness", 3)
    found = [keys(followed(tmp_path, change, slot=slot)) for slot in (2, 3)]
    assert found == [(old, reader), (new, reader)]
    assert keys(followed(tmp_path)) == (old, reader)


def test_each_rotation_follows_from_the_one_before(tmp_path: Path) -> None:
    again = rotation("gw-a", "witness", starts(5), new="third", old="new key")
    changes = (made("rotate witness", 3), made("rotate reader", 4), signed(again, ["PEA"]))
    found = [keys(followed(tmp_path, *changes, slot=slot))[0] for slot in (2, 4, 5)]
    assert found == [signer(name).public for name in ("gw-a", "new key", "third")]


def test_a_gateway_that_a_change_added_is_known_by_it(tmp_path: Path) -> None:
    found = followed(tmp_path, made("add gateway", 3), gateway="gw-c", slot=1)
    assert keys(found) == (signer("gw-c").public, signer("gw-c reader").public)


WRONG = {
    "an unknown gateway's": (
        signed(rotation("gw-x", "witness", starts(2)), ["PEA"]),
        "a rotate-key of what a gateway does not know",
    ),
    "another kind": (
        signed(compromise("gw-a", "witness"), ["PEA"]),
        "a compromise-key of what a gateway does not know",
    ),
    "announced by another key": (
        signed(rotation("gw-a", "witness", starts(2), old="gw-b"), ["PEA"]),
        "another key than the one in force",
    ),
    "an entry that its operator has not signed": (
        signed(Entry("change-gateway", gateway_entry("gw-a"), starts(2)), ["MEA"]),
        "has not signed",
    ),
    "another network's": (made("rotate witness", network=bytes(32)), "for another network"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_change_that_shows_nothing_is_refused_in_words(
    tmp_path: Path, change: Transaction, words: str
) -> None:
    with pytest.raises(BadConfiguration, match=words):
        followed(tmp_path, change)


BUS = """
[[bus]]
name = "b"
kind = "rtu"
port = "/dev/null"

[[bus.meter]]
id = "c9"
unit = 9
template = "gridwitness"
enrolment = "c9.gwe"
"""


def test_a_technician_who_came_later_commissions_meters_that_are_polled(tmp_path: Path) -> None:
    enrolment = Enrolment(
        GENESIS, signers=(NEW, "tech-2", "PEA"), record_signers=(NEW, "tech-2")
    ).transaction()
    (tmp_path / "c9.gwe").write_bytes(enrolment.encoded)
    with pytest.raises(BadConfiguration, match="the technician's key"):
        followed(tmp_path, more=BUS)
    found = followed(tmp_path, made("add technician", 2), more=BUS)
    [(_, [meter])] = found.buses
    assert meter.id == NEW
    ended = signed(Retirement("retire-technician", "tech-2", starts(4)), ["PEA"])
    assert followed(tmp_path, made("add technician", 2), ended, more=BUS) == found


def test_a_change_that_is_not_there_is_named(tmp_path: Path) -> None:
    followed(tmp_path, made("rotate witness"))
    (tmp_path / "0.gwt").unlink()
    with pytest.raises(BadConfiguration, match=r"0\.gwt: No such file"):
        registration(config.load(tmp_path / "gateway.toml"), GENESIS)
