"""Which key may announce its successor: the genesis file's, or the last one announced since."""

import pytest

from hsm.registered import NotRegistered, check_registered, followed_key
from tests.app.registry_kinds import GENESIS, rotation
from tests.app.village import START_S, signer
from wire.errors import BadSignature

FIRST = rotation("gw-a", "witness", START_S).announcement
SECOND = rotation("gw-a", "witness", START_S + 900, new="third", old="new key").announcement


def test_announcements_follow_each_other_from_the_genesis_files_key() -> None:
    keys = [
        followed_key(GENESIS, "gw-a", "witness", before)
        for before in ((), (FIRST,), (FIRST, SECOND))
    ]
    assert keys == [signer(name).public for name in ("gw-a", "new key", "third")]
    check_registered(GENESIS, "gw-a", "witness", signer("third").public, (FIRST, SECOND))
    with pytest.raises(NotRegistered, match="only that one can announce"):
        check_registered(GENESIS, "gw-a", "witness", signer("gw-a").public, (FIRST,))


def test_an_announcement_out_of_order_or_of_another_is_refused() -> None:
    with pytest.raises(BadSignature):
        followed_key(GENESIS, "gw-a", "witness", (SECOND, FIRST))
    with pytest.raises(NotRegistered, match="an announcement of gw-a's witness key"):
        followed_key(GENESIS, "gw-a", "reader", (FIRST,))


@pytest.mark.parametrize(("holder", "role"), [("c1", "meter"), ("tech-1", "technician")])
def test_meters_and_technicians_have_registered_keys(holder: str, role: str) -> None:
    assert followed_key(GENESIS, holder, role, ()) == signer(holder).public


def test_a_meter_that_cannot_sign_has_none() -> None:
    with pytest.raises(NotRegistered, match="c3 has no registered meter key"):
        followed_key(GENESIS, "c3", "meter", ())
