"""An audit file tells every use of a key, and shows when a line was changed or left out."""

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from gridwitness.cli import main
from hsm import ceremony
from hsm.audit import MOST_DIGESTS, AuditFile, DamagedAudit, Deed, files, verify
from hsm.refusals import PinRefused
from hsm.signer import open_signer
from tests.hsm.tokens import Token
from wire.errors import Unavailable
from wire.keys import ES256


def deeds(count: int) -> list[Deed]:
    return [Deed("sign", "ab" * 8, "done", (f"{number:064x}",)) for number in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_each_line_holds_the_hash_of_the_one_before(path: Path) -> None:
    AuditFile(path, now_s=lambda: 1_700_000_000.5).record(deeds(2))
    AuditFile(path).record(deeds(1))
    lines = path.read_bytes().splitlines()
    told = [json.loads(line) for line in lines]
    assert [each["number"] for each in told] == [0, 1, 2]
    assert told[0]["previous"] == "00" * 32
    assert told[0]["time_ms"] == 1_700_000_000_500
    assert told[2]["previous"] == hashlib.sha256(lines[1]).hexdigest()
    assert verify(path) == (3, hashlib.sha256(lines[2]).hexdigest())
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_changed_left_out_or_moved_is_found(path: Path) -> None:
    AuditFile(path).record(deeds(4))
    lines = path.read_bytes().splitlines(keepends=True)
    changed = lines[1].replace(b"done", b"dono")
    for forged in (
        [lines[0], changed, *lines[2:]],
        [lines[0], *lines[2:]],
        lines[1:],
        [lines[1], lines[0], *lines[2:]],
        [*lines, lines[3]],
        [*lines, b"{}\n"],
        [*lines[:3], lines[3][:-1]],
    ):
        path.write_bytes(b"".join(forged))
        with pytest.raises(DamagedAudit):
            verify(path)


def test_an_empty_file_proves_nothing_and_lines_are_counted_from_one(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.touch()
    assert main(["hsm", "audit", str(path)]) == 1
    assert f"{path} is empty: there is no line to check" in capsys.readouterr().err
    AuditFile(path).record(deeds(1))
    assert main(["hsm", "audit", str(path)]) == 0
    assert capsys.readouterr().out.startswith("1 line; the last one's hash is ")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedAudit, match="line 1 of the chain is torn"):
        verify(path)


def test_a_line_torn_by_a_power_cut_is_written_anew_at_every_byte(path: Path) -> None:
    AuditFile(path).record(deeds(2))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        AuditFile(path).record(deeds(1))
        assert verify(path)[0] == (2 if kept >= first else 1)


def test_a_full_file_is_put_away_and_the_chain_goes_on(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = AuditFile(path, most_bytes=900)
    for _ in range(12):
        audit.record(deeds(1))
    names = [each.name for each in files(path)]
    assert names == ["audit.jsonl.0", "audit.jsonl.4", "audit.jsonl"]
    count, last = verify(path)
    assert (count, last) == (12, hashlib.sha256(path.read_bytes().splitlines()[-1]).hexdigest())
    assert all(each.stat().st_mode & 0o077 == 0 for each in files(path))
    assert main(["hsm", "audit", str(path)]) == 0
    assert capsys.readouterr().out.startswith("3 files, from audit.jsonl.0 to audit.jsonl: 12 l")
    for each in files(path):
        content = each.read_bytes()
        each.unlink()
        if each != path:  # What is missing at the end, only the keeper of a hash can see.
            with pytest.raises(DamagedAudit, match="belong beside it"):
                verify(path)
        each.write_bytes(content)
    verify(path)


def test_a_power_cut_while_a_full_file_is_put_away_costs_nothing(path: Path) -> None:
    AuditFile(path).record(deeds(5))
    torn = path.read_bytes() + b'{"number":5,'
    path.write_bytes(torn)
    small = AuditFile(path, most_bytes=1_000)
    small.record(deeds(1))
    assert verify(path)[0] == 6
    full = path.with_name("audit.jsonl.0")
    for left in (None, b"", b'{"number":5,'):  # Not made yet, empty, torn.
        path.unlink()
        if left is not None:
            path.write_bytes(left)
        small.record(deeds(2))
        assert verify(path)[0] == 7
        assert [each.name for each in files(path)] == [full.name, path.name]


def test_programs_that_put_the_same_file_away_keep_one_chain(path: Path) -> None:
    def fill() -> None:
        mine = AuditFile(path, most_bytes=2_000)
        for _ in range(25):
            mine.record(deeds(1))

    threads = [threading.Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(path)[0] == 100
    assert len(files(path)) > 5


def test_a_list_stands_in_lines_of_which_each_can_be_found_again(token: Token, path: Path) -> None:
    public = token.make("w", ES256)
    signer = open_signer(token.uri("w"), token.conf, public, AuditFile(path))
    token.signers.append(signer)
    asked = [b"%d" % number for number in range(2 * MOST_DIGESTS + 1)]
    signer.sign_all(asked)
    told = [json.loads(line)["digests"] for line in path.read_text().splitlines()]
    assert [len(each) for each in told] == [MOST_DIGESTS, MOST_DIGESTS, 1]
    digests = [hashlib.sha256(each).hexdigest() for each in asked]
    assert [each for line in told for each in line] == digests
    assert path.stat().st_size < 80 * len(asked)
    signer.sign(b"one more")
    assert verify(path)[0] == 4


def test_threads_with_files_of_their_own_keep_one_chain(path: Path) -> None:
    def work() -> None:
        mine = AuditFile(path)
        for _ in range(10):
            mine.record(deeds(2))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(path)[0] == 80


def test_many_lines_in_one_go_are_found_again(path: Path) -> None:
    AuditFile(path).record(deeds(100))
    AuditFile(path).record(deeds(1))
    assert verify(path)[0] == 101


def test_what_is_no_audit_file_is_not_written_to(path: Path) -> None:
    for other in (b"a diary\n", b"x" * 10_000):
        path.write_bytes(other)
        with pytest.raises(DamagedAudit):
            AuditFile(path).record(deeds(1))
        assert path.read_bytes() == other


@pytest.mark.parametrize(
    "number", ["1e400", "Infinity", "NaN", "-1", "0.0", "9" * 4000, "[" * 3900]
)
def test_a_last_line_with_an_odd_number_is_damage(path: Path, number: str) -> None:
    path.write_text(f'{{"number":{number},"previous":"{"00" * 32}"}}\n')
    before = path.read_bytes()
    for reads in (verify, lambda file: AuditFile(file).record(deeds(1))):
        with pytest.raises(DamagedAudit, match="no audit line"):
            reads(path)
    assert path.read_bytes() == before


def test_a_key_s_life_is_told_without_pin_or_message(
    token: Token, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = AuditFile(path)
    public = ceremony.make_key(token.uri("w"), ES256, token.conf, audit)
    signer = open_signer(token.uri("w"), token.conf, public, audit)
    signer.sign_all([b"secret one", b"secret two"])
    signer.close()
    pin = token.pin_file.read_text()
    token.pin_file.write_text("87654321")
    for _ in range(3):
        with pytest.raises(PinRefused):
            signer.sign(b"secret three")
    text = path.read_text()
    told = [json.loads(line) for line in text.splitlines()]
    assert [(each["event"], each["result"]) for each in told] == [
        ("make-key", "done"),
        ("sign", "done"),
        ("sign", "pin-refused"),
    ]
    assert {each["key"] for each in told} == {public.kid.hex()}
    assert told[1]["digests"] == [
        hashlib.sha256(each).hexdigest() for each in (b"secret one", b"secret two")
    ]
    for hidden in (pin, "87654321", "secret"):
        assert hidden not in text
    assert main(["hsm", "audit", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lines"] == 3
    path.write_text(text.replace("pin-refused", "done"))
    assert main(["hsm", "audit", str(path)]) == 0  # The last line's hash is what its keeper has.
    path.write_text(text.replace("make-key", "sign"))
    assert main(["hsm", "audit", str(path)]) != 0


def test_no_signature_leaves_when_it_cannot_be_written_down(token: Token, path: Path) -> None:
    public = token.make("w", ES256)
    signer = open_signer(token.uri("w"), token.conf, public, AuditFile(path))
    token.signers.append(signer)
    path.unlink()
    with pytest.raises(Unavailable, match="audit file"):
        signer.sign(b"m")
    os.close(os.open(path, os.O_CREAT, 0o600))
    public.verify(b"m", signer.sign(b"m"))
