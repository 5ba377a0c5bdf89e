"""No PIN is tried twice, whatever becomes of its file and whatever the token answers."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from hsm.refusals import (
    NoAnswer,
    PinLocked,
    PinRefused,
    cut_off,
    mark_of,
    remember,
    tried_of,
    trying,
)
from hsm.uri import BadPin, KeyUri, read_pin
from wire.errors import Refused, Unavailable


def uri_of(file: Path) -> KeyUri:
    return KeyUri.parse(f"pkcs11:token=t;object=o?module-path=/x.so&pin-source=file:{file}")


def tried(file: Path, answer: Exception | None) -> list[str]:
    """The PINs that reach a token with this answer: one, or none."""
    reached: list[str] = []
    try:
        with trying(uri_of(file)) as pin:
            assert pin is not None
            reached.append(pin.reveal())
            if answer is not None:
                raise answer
    except (Refused, Unavailable):
        pass
    return reached


@pytest.mark.parametrize(
    "answer", [NoAnswer("hung"), Unavailable("GeneralError"), PinRefused("no")]
)
def test_a_pin_file_written_anew_with_the_same_pin_is_not_tried_again(
    tmp_path: Path, answer: Exception
) -> None:
    file = tmp_path / "pin"
    for start in range(3):
        file.unlink(missing_ok=True)
        file.write_text("1234" + "\n" * start)
        assert tried(file, answer) == ([] if start else ["1234"])
    assert cut_off(uri_of(file)) == (not isinstance(answer, PinRefused))
    file.write_text("5678")
    assert tried(file, NoAnswer("hung")) == ["5678"]
    file.write_text("1234")
    assert tried(file, None) == []


def test_a_pin_that_is_known_good_is_tried_when_the_token_was_away(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_text("1234")
    for answer in (None, Unavailable("DeviceError"), NoAnswer("hung"), None):
        assert tried(file, answer) == ["1234"]


def test_a_token_that_did_not_look_at_the_pin_has_not_tried_it(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_text("1234")
    assert tried(file, PinLocked("locked")) == tried(file, None) == ["1234"]


def test_a_link_to_a_pin_file_has_its_marks(tmp_path: Path) -> None:
    file, link = tmp_path / "pin", tmp_path / "folder" / "other"
    file.write_text("1234")
    link.parent.mkdir()
    link.symlink_to(file)
    assert (mark_of(link), tried_of(link)) == (mark_of(file), tried_of(file))
    assert tried(file, PinRefused("no")) == ["1234"]
    assert tried(link, PinRefused("no")) == []


def test_who_waited_for_another_login_tries_the_pin_that_the_file_holds_then(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pin"
    file.write_text("wrong")
    reached: list[str] = []
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=lambda: reached.extend(tried(file, None)))
        waiting.start()
        remember(uri_of(file), read_pin(file))
        new = tmp_path / "new"
        new.write_text("right")
        os.replace(new, file)
    waiting.join(10)
    assert reached == ["right"]


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_pin_file_costs_no_try(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pin"
    file.write_text(content)
    with pytest.raises(BadPin, match=r"pin is empty, and no token was asked"):
        uri_of(file).pin()
    assert tried(file, None) == []


def test_a_pin_file_that_is_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadPin, match="no UTF-8 text") as caught:
        uri_of(file).pin()
    assert "xff" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert tried(file, None) == []
