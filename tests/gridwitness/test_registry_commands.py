"""`gridwitness registry`: prepared by one, signed by others, passed around, brought to a block."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from gridwitness import registry_file, registry_fit
from gridwitness.cli import main
from tests.app.enrolments import TECHNICIAN, Enrolment, refusal, starts
from tests.app.registry_kinds import (
    BRANCHES,
    EXCHANGE,
    GENESIS,
    LOAD,
    administered_village,
    rotation,
    settle,
    zone_entry,
)
from tests.app.village import START_S, gateway_entry, genesis_content, signer
from tests.device.paper_enrolment import FakeValidator, running
from wire.access import link_parts
from wire.errors import Malformed
from wire.governance import ChangeParameters
from wire.transaction import Transaction, payload_of
from wire.transaction_bodies import ChangeHolder

PASSPHRASE = b"a good one"
FROM = str(starts(2))


class Desk:
    """Somebody's folder, with a genesis file and keys."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        content = genesis_content()
        settle(content)
        (folder / "genesis.json").write_text(json.dumps(content))
        (folder / "passphrase").write_bytes(PASSPHRASE)

    def run(self, *arguments: object) -> tuple[int, dict[str, Any], str]:
        """Status, the JSON object on stdout, and what was said on stderr."""
        words = ["registry", *(str(each) for each in arguments), "--json"]
        status = main(words)
        told = self._capsys.readouterr()
        return status, json.loads(told.out or "{}"), told.err

    def file(self, name: str, content: bytes | dict[str, Any]) -> Path:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self.folder / name).write_bytes(data)
        return self.folder / name

    def key(self, name: str) -> Path:
        path = self.folder / f"{name}.pem"
        if not path.exists():
            kept = BestAvailableEncryption(PASSPHRASE)
            private = signer(name)._private
            path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept))
            path.chmod(0o600)
        return path

    def prepare(self, kind: str, *arguments: object, begins: bool = True) -> Path:
        out = self.folder / f"{kind}-{len(list(self.folder.iterdir()))}.gwt"
        begin = ("--from", FROM) if begins else ()
        common = ("--genesis", self.folder / "genesis.json", "--out", out, *begin)
        status, found, said = self.run("prepare", kind, *arguments, *common)
        assert (status, found.get("kind"), said) == (0, kind, "")
        return out

    def link(self, meter: str, *arguments: object) -> Path:
        out, link = self.folder / "link.gwt", self.folder / "link"
        common = ("--genesis", self.folder / "genesis.json", "--out", out, "--from", FROM)
        status, found, said = self.run("new-link", meter, *arguments, "--link", link, *common)
        assert (status, found.get("kind"), said) == (0, "change-holder", "")
        return out

    def sign(self, path: Path, *names: str) -> dict[str, Any]:
        keys = [part for name in names for part in ("--key", self.key(name))]
        genesis = ("--genesis", self.folder / "genesis.json")
        status, found, said = self.run("sign", path, *keys, *genesis)
        assert (status, said) == (0, "")
        return found


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    monkeypatch.setattr(registry_fit, "now_s", lambda: START_S)
    return Desk(tmp_path, capsys)


def _commissioned(desk: Desk, **changes: Any) -> tuple[object, ...]:
    made = Enrolment(GENESIS, **changes).body()
    entry = desk.file("meter.json", dict(made.entry))
    return "--entry", entry, "--record", desk.file("commissioning.cbor", made.commissioning)


Prepared = Callable[[Desk], Path]
CASES: dict[str, tuple[Prepared, tuple[str, ...]]] = {
    "enrol": (
        lambda desk: desk.prepare("enrol-meter", *_commissioned(desk)),
        ("c9", TECHNICIAN, "PEA"),
    ),
    "re-site": (
        lambda desk: desk.prepare(
            "re-site-meter",
            *_commissioned(desk, meter="c1", record={"node": "n2"}, entry={"node": "n2"}),
        ),
        ("c1", TECHNICIAN, "PEA"),
    ),
    "replace": (
        lambda desk: desk.prepare(
            "replace-meter",
            *_commissioned(desk, record={"node": "n2"} | EXCHANGE, entry={"node": "n2"}),
            "--old",
            "c2",
        ),
        ("c9", TECHNICIAN, "PEA"),
    ),
    "retire": (lambda desk: desk.prepare("retire-meter", "c1"), ("PEA",)),
    "add gateway": (
        lambda desk: desk.prepare("add-gateway", "--entry", desk.file("e", gateway_entry("gw-c"))),
        ("gw-c", "gw-c reader", "PEA"),
    ),
    "change zone": (
        lambda desk: desk.prepare(
            "change-zone", "--entry", desk.file("e", {"entry": zone_entry("z2", p0_mw=7)})
        ),
        ("PEA",),
    ),
    "change unmetered": (
        lambda desk: desk.prepare(
            "change-unmetered", "--entry", desk.file("e", LOAD | {"limit_ppm": 1})
        ),
        ("PEA",),
    ),
    "rotate": (
        lambda desk: desk.prepare(
            "rotate-key",
            desk.file("a", rotation("gw-a", "witness", starts(2)).announcement.encoded),
            begins=False,
        ),
        ("PEA",),
    ),
    "compromise": (
        lambda desk: desk.prepare("compromise-key", "gw-a", "witness", begins=False),
        ("PEA",),
    ),
    "a new link": (
        lambda desk: desk.link("c1", "--moved", "--explorer", "https://val.example"),
        ("PEA",),
    ),
    "compromise a known key": (
        lambda desk: desk.prepare(
            "compromise-key", "c1", "meter", "--public", signer("c1").public.text, begins=False
        ),
        ("PEA",),
    ),
}


@pytest.mark.parametrize(("prepare", "signers"), CASES.values(), ids=CASES.keys())
def test_what_is_prepared_and_signed_is_what_validators_take(
    desk: Desk, prepare: Prepared, signers: tuple[str, ...]
) -> None:
    path = prepare(desk)
    for name in signers:
        desk.sign(path, name)
    assert refusal(administered_village(), Transaction.open(path.read_bytes())) == ""


def test_copies_that_were_signed_apart_are_put_together(desk: Desk) -> None:
    path = desk.prepare("add-gateway", "--entry", desk.file("e", gateway_entry("gw-c")))
    copies = [desk.file(f"{number}.gwt", path.read_bytes()) for number in range(3)]
    desk.sign(copies[0], "gw-c")
    desk.sign(copies[1], "gw-c reader")
    found = desk.sign(copies[2], "PEA")
    assert [each["who"] for each in found["signers"]] == ["PEA"]
    validator = FakeValidator([(404, {}), (200, {"status": "final", "height": 7})])
    with running(validator):
        status, told, said = desk.run("submit", *copies, "--to", validator.url)
    assert (status, told["height"], len(told["signers"])) == (0, 7, 3)
    assert "taken; it waits for a block" in said
    [body] = validator.bodies
    assert refusal(administered_village(), Transaction.open(body)) == ""


def test_a_file_is_told_in_words_and_signing_twice_changes_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    path = desk.prepare("retire-gateway", "gw-b")
    desk.sign(path, "PEA")
    once = path.read_bytes()
    desk.sign(path, "PEA")
    assert path.read_bytes() == once
    genesis = str(desk.folder / "genesis.json")
    assert main(["registry", "show", str(path), "--genesis", genesis]) == 0
    words = capsys.readouterr().out
    assert "retire-gateway: gateway gw-b is registered no more" in words
    assert 'what ends    as the genesis file writes it\n             id: "gw-b"' in words
    assert f"{signer('PEA').public.kid.hex()} PEA" in words


def test_signers_see_the_whole_entry_and_what_differs(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    genesis = ("--genesis", str(desk.folder / "genesis.json"))
    added = desk.prepare("add-gateway", "--entry", desk.file("e", gateway_entry("gw-c")))
    assert main(["registry", "show", str(added)]) == 0
    words = capsys.readouterr().out
    assert all(f"             {name}: " in words for name in gateway_entry("gw-c"))
    branches = [*BRANCHES[:2], BRANCHES[2] | {"ampacity_w": 7}]
    entry = desk.file("e", zone_entry("z1", branches=branches, root="bus", p0_mw=3))
    changed = desk.prepare("change-zone", "--entry", entry)
    status, found, _ = desk.run("show", changed, *genesis)
    assert status == 0
    assert found["changes"] == {
        "p0_mw": [0, 3],
        f"branches {BRANCHES[2]['id']}": [BRANCHES[2], branches[2]],
    }
    assert main(["registry", "show", str(changed), *genesis]) == 0
    assert "             p0_mw: 0 → 3" in capsys.readouterr().out


def test_a_new_link_is_in_its_owners_file_only(desk: Desk) -> None:
    path = desk.link("c1", "--moved", "--explorer", "https://val.example")
    file = desk.folder / "link"
    address, meter, secret = link_parts(file.read_text().strip())
    assert (address, meter) == ("https://val.example", "c1")
    assert file.stat().st_mode & 0o777 == 0o600
    body = registry_file.read(path).body
    assert isinstance(body, ChangeHolder)
    assert (body.holder, body.cause, body.from_s) == (secret.digest, "moved", starts(2))
    assert secret.value not in path.read_bytes()


def test_a_change_is_withdrawn_by_its_file_or_its_id(desk: Desk) -> None:
    path = desk.prepare("retire-meter", "c1")
    desk.sign(path, "PEA")
    change = Transaction.open(path.read_bytes())
    village = administered_village()
    village.commit([], 0, [change])
    for named in (path, change.id.hex()):
        back = desk.prepare("withdraw", named, begins=False)
        desk.sign(back, "PEA")
        assert refusal(village, Transaction.open(back.read_bytes())) == ""
        status, found, _ = desk.run("show", back)
        assert (status, found["id"], found["withdraws"]) == (0, change.id.hex(), None)
    back = desk.folder / "back.gwt"
    genesis = ("--genesis", desk.folder / "genesis.json")
    _, found, _ = desk.run("prepare", "withdraw", path, *genesis, "--out", back)
    assert found["withdraws"]["before"]["id"] == "c1"


def _of_authorities() -> bytes:
    body = ChangeParameters(bytes(32), (("block_interval_ms", 2_000),))
    return payload_of(GENESIS.network, bytes(16), 9, body)


REFUSALS: dict[str, tuple[Callable[[Desk], tuple[object, ...]], str]] = {
    "nobody has signed": (
        lambda desk: ("submit", desk.prepare("retire-meter", "c1"), "--to", "http://127.0.0.1:9"),
        "nobody has signed it",
    ),
    "different changes together": (
        lambda desk: (
            *("submit", desk.prepare("retire-meter", "c1"), desk.prepare("retire-meter", "c1")),
            *("--to", "http://127.0.0.1:9"),
        ),
        "different transactions",
    ),
    "no transaction": (lambda desk: ("show", desk.file("x.gwt", b"junk")), "is no transaction"),
    "no file": (lambda desk: ("show", desk.folder / "none.gwt"), "no such file"),
    "no table": (
        lambda _: ("show", "cars"),
        "gateways, meters, technicians, unmetered, zones",
    ),
    "an empty file": (lambda desk: ("show", desk.file("x.gwt", b"")), "it is empty"),
    "a change of authorities": (
        lambda desk: ("show", desk.file("x.gwc", _of_authorities())),
        "gridwitness network show",
    ),
    "a key that has no part": (
        lambda desk: (
            *("sign", desk.prepare("retire-meter", "c1"), "--key", desk.key("EGAT")),
            *("--genesis", desk.folder / "genesis.json"),
        ),
        "has no part in this retire-meter, by the genesis file: it is signed by PEA;",
    ),
    "a technician where operators sign": (
        lambda desk: (
            *("sign", desk.prepare("retire-gateway", "gw-b"), "--key", desk.key(TECHNICIAN)),
            *("--genesis", desk.folder / "genesis.json"),
        ),
        "of technician tech-1 has no part",
    ),
    "no time": (
        lambda desk: (
            *("prepare", "retire-meter", "c1", "--from", "soon", "--out", desk.folder / "o"),
            *("--genesis", desk.folder / "genesis.json"),
        ),
        "2026-12-01T10:00",
    ),
    "no change to withdraw": (
        lambda desk: (
            *("prepare", "withdraw", "nothing", "--out", desk.folder / "o"),
            *("--genesis", desk.folder / "genesis.json"),
        ),
        "neither a file nor a transaction's id",
    ),
    "a link where a file is": (
        lambda desk: (
            *("new-link", "c1", "--leaked", "--link", desk.file("link", b""), "--out", "none.gwt"),
            *("--genesis", desk.folder / "genesis.json"),
        ),
        "choose another name",
    ),
    "no entry": (
        lambda desk: (
            *("prepare", "add-zone", "--entry", desk.file("e", {}), "--out", desk.folder / "o"),
            *("--genesis", desk.folder / "genesis.json"),
        ),
        "not an entry with its id",
    ),
    "a rotation between two intervals": (
        lambda desk: (
            "prepare",
            "rotate-key",
            desk.file("a", rotation("gw-a", "witness", starts(2) + 1).announcement.encoded),
            *("--out", desk.folder / "o", "--genesis", desk.folder / "genesis.json"),
        ),
        f"gridwitness hsm rotate --from {starts(3)}",
    ),
    "whom to ask": (lambda _: ("show", "meters"), "--from-validator URL"),
    "a validator that is away": (
        lambda _: ("show", "meters", "c1", "--from-validator", "http://127.0.0.1:9"),
        "refused",
    ),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_cannot_be_done_is_said_in_one_line(
    desk: Desk, arguments: Callable[[Desk], tuple[object, ...]], words: str
) -> None:
    status, _, said = desk.run(*arguments(desk))
    assert status in (1, 75)
    assert words in said
    assert said.count("\n") == 1


def test_a_refusal_says_what_to_do(desk: Desk) -> None:
    path = desk.prepare("retire-meter", "c1")
    assert desk.run("sign", path, "--key", desk.key("c1"))[0] == 0
    answer = {"reason": "not-signed-by-operator", "words": "the grid operator has not signed it"}
    validator = FakeValidator([(404, {})], [(422, answer)])
    with running(validator):
        status, _, said = desk.run("submit", path, "--to", validator.url)
    assert (status, said.count("\n")) == (1, 1)
    assert said.strip().endswith(
        "Try: gridwitness registry sign FILE --key KEY of the grid operator"
    )


def test_a_change_begins_with_an_interval() -> None:
    now_s = START_S + 10
    found = [
        registry_file.first_interval(GENESIS, asked, now_s)
        for asked in (str(starts(1)), str(starts(1) + 1), "+3600", "2025-06-15T16:00", "+0")
    ]
    assert found == [starts(1), starts(2), starts(5), 1_750_003_200, starts(1)]
    with pytest.raises(Malformed):
        registry_file.first_interval(GENESIS, "tomorrow")


@pytest.mark.parametrize(
    "arguments",
    [[], ["prepare"], ["prepare", "add-zone"], ["new-link"], ["sign"], ["show"], ["submit"]],
    ids=" ".join,
)
def test_each_command_helps(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["registry", *arguments, "--help"])
    assert ended.value.code == 0
    assert "usage: gridwitness registry" in capsys.readouterr().out
