"""What a backup holds, what may be put back where, and what the key may do after it."""

import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gridwitness.cli import main
from gridwitness.configuration import toml
from hsm.signstate import Guard, Guarded, SignState, VoteSigner
from tests.app.enrolments import with_technician
from tests.app.village import Village, genesis_content, signer
from tests.node.chain import Chain
from validator import backup
from validator.node.fence import RESTORED
from validator.node.folder import claim_folder
from validator.node.store import Store
from wire.errors import Unavailable, WrongUsage
from wire.genesis import Genesis

HEIGHT = 6


def quiet(done: int, of: int) -> None:
    """Nobody waits."""


class Home:
    """A validator's data folder with a ledger of some blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.chain = Chain(self.data)
        for slot in range(HEIGHT):
            self.chain.append([self.chain.interval(slot)] if slot % 2 else [], slot)
        self.genesis = self.chain.genesis
        with closing(SignState(self.data / "signstate.sqlite")) as state:
            VoteSigner(signer("val"), state).sign(HEIGHT, 0, "commit", b"a vote to remember")

    def saved(self, name: str = "backup") -> Path:
        backup.make(self.data, self.genesis, ("val", 1_000), self.folder / name, quiet)
        return self.folder / name

    def restore(self, file: Path, into: Path, *, destroyed: bool = False) -> backup.Backup:
        return backup.put_back(into, self.genesis, file, destroyed=destroyed, progress=quiet)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    made.chain.store.close()


def state_of(data: Path) -> SignState:
    return SignState(data / "signstate.sqlite")


def guard_of(data: Path) -> Guard | None:
    with closing(state_of(data)) as state:
        return state.guard()


def test_a_backup_is_taken_while_the_validator_writes_and_stands_as_of_one_block(
    home: Home,
) -> None:
    def write_on(done: int, of: int) -> None:
        slot = home.chain.tip.height
        home.chain.append([home.chain.interval(slot)], slot)

    made = backup.make(home.data, home.genesis, ("val", 1_000), home.folder / "b", write_on)
    assert made.height == HEIGHT
    assert home.chain.store.height > HEIGHT
    home.restore(home.folder / "b", home.folder / "new")
    with closing(Store(home.folder / "new" / "ledger.sqlite")) as store:
        assert store.height == HEIGHT
        assert store.state_rows() != home.chain.store.state_rows()


def test_a_backup_holds_no_sign_state_and_is_its_owners_alone(home: Home) -> None:
    file = home.saved()
    assert b"a vote to remember" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with closing(sqlite3.connect(file)) as opened:
        names = {row[0] for row in opened.execute("SELECT name FROM sqlite_master")}
    assert not names & {"votes", "statements", "guard"}
    assert [path.name for path in home.folder.iterdir() if "part" in path.name] == []


def test_a_backup_overwrites_nothing(home: Home) -> None:
    home.saved()
    with pytest.raises(FileExistsError):
        home.saved()
    with pytest.raises(WrongUsage, match="no ledger"):
        backup.make(home.folder, home.genesis, ("val", 1), home.folder / "c", quiet)


def test_what_is_put_back_is_the_ledger(home: Home) -> None:
    found = home.restore(home.saved(), home.folder / "new")
    assert found == backup.Backup("val", HEIGHT, 1_000)
    with closing(Store(home.folder / "new" / "ledger.sqlite")) as store:
        assert list(store.state_rows()) == list(home.chain.store.state_rows())
        assert home.chain.restarted(store).state.root == home.chain.app.state.root


def test_a_ledger_is_never_overwritten(home: Home) -> None:
    with pytest.raises(backup.LedgerExists, match="move it aside"):
        home.restore(home.saved(), home.data)


def test_a_running_validator_is_not_restored(home: Home) -> None:
    with claim_folder(home.data), pytest.raises(Unavailable, match="another validator runs"):
        home.restore(home.saved(), home.data)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "plain ledger"])
def test_what_is_no_whole_backup_is_refused_and_leaves_nothing(home: Home, damage: str) -> None:
    file = home.saved()
    data = file.read_bytes()
    middle = len(data) // 2
    if damage == "truncated":
        file.write_bytes(data[:middle])
    elif damage == "flipped":
        file.write_bytes(data[:100] + bytes(3_000) + data[3_100:])
    elif damage == "text":
        file.write_text("no database")
    else:
        with closing(sqlite3.connect(file)) as opened:
            opened.execute("DROP TABLE backup")
            opened.commit()
    with pytest.raises(backup.BadBackup):
        home.restore(file, home.folder / "new")
    assert [path.name for path in (home.folder / "new").iterdir()] == ["claim"]


def test_a_state_that_its_newest_block_does_not_name_is_refused(home: Home) -> None:
    file = home.saved()
    with closing(sqlite3.connect(file, isolation_level=None)) as opened:
        opened.execute("DELETE FROM state WHERE key = (SELECT min(key) FROM state)")
    with pytest.raises(backup.BadBackup, match="the state is not"):
        home.restore(file, home.folder / "new")


def test_another_networks_backup_is_refused(home: Home) -> None:
    def renamed(content: dict[str, object]) -> None:
        content["name"] = "other"

    other: Genesis = Village(renamed).genesis
    with pytest.raises(backup.BadBackup, match="another network"):
        backup.put_back(home.folder / "new", other, home.saved(), destroyed=False, progress=quiet)


def test_a_key_without_its_sign_state_is_guarded_before_there_is_a_ledger(home: Home) -> None:
    new = home.folder / "new"
    home.restore(home.saved(), new)
    assert guard_of(new) == Guard(RESTORED, fenced=False, above=None)
    with closing(state_of(new)) as state, pytest.raises(Guarded, match="operator's word"):
        VoteSigner(signer("val"), state).sign(HEIGHT + 50, 0, "prepare", b"anything")


def test_the_word_is_kept_and_may_be_given_later(home: Home) -> None:
    file = home.saved()
    home.restore(file, home.folder / "with", destroyed=True)
    home.restore(file, home.folder / "later")
    backup.give_word(home.folder / "later")
    for name in ("with", "later"):
        assert guard_of(home.folder / name) == Guard(RESTORED, fenced=True, above=None)


def test_a_sign_state_that_was_not_lost_stays_as_it_is(home: Home) -> None:
    """Only the ledger was damaged: the key knows what it signed, and goes on voting."""
    file = home.saved()
    (home.data / "ledger.sqlite").rename(home.folder / "damaged")
    home.restore(file, home.data)
    with closing(state_of(home.data)) as state:
        assert state.guard() is None
        assert state.highest_vote() == HEIGHT


def test_the_commands_say_what_they_did(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    content = genesis_content()
    with_technician(content)
    (tmp_path / "genesis.json").write_text(json.dumps(content))
    mqtt = {"host": "b", "port": 1, "ca": "c", "certificate": "c", "key": "k"}
    settings = {name: name for name in ("peers", "key", "passphrase_file", "tls_key")}
    settings |= {"id": home.chain.me, "genesis": "genesis.json", "tls_certificate": "tls.pem"}
    settings |= {"listen": "127.0.0.1:1", "api": "127.0.0.1:2", "data": "data"}
    config = tmp_path / "validator.toml"
    config.write_text(toml(settings | {"mqtt": mqtt}))
    file = str(tmp_path / "b.gwb")
    assert main(["validator", "backup", str(config), file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["height"] == HEIGHT
    assert main(["validator", "backup", str(config), file]) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["validator", "backup", str(config), str(tmp_path / "nowhere" / "b")]) == 2
    assert "no folder" in capsys.readouterr().err
    assert main(["validator", "status", str(config)]) == 75
    assert f"does {home.chain.me} run?" in capsys.readouterr().err
    assert main(["validator", "restore", str(config), file]) == 1
    assert "never overwritten" in capsys.readouterr().err
    assert main(["validator", "restore", str(config)]) == 1
    assert "--old-instance-is-destroyed" in capsys.readouterr().err
    config.write_text(toml(settings | {"mqtt": mqtt, "data": "other"}))
    assert main(["validator", "restore", str(config), file]) == 0
    assert "does not vote" in capsys.readouterr().out
    word = ["validator", "restore", str(config), "--old-instance-is-destroyed", "--json"]
    assert main(word) == 0
    assert json.loads(capsys.readouterr().out)["destroyed"] is True
    assert guard_of(tmp_path / "other") == Guard(RESTORED, fenced=True, above=None)
