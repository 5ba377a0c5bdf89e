"""A case's resolution as the operator's commands make it: prepared, told, signed, accepted."""

import json
from pathlib import Path

import pytest

from gridwitness.cli import main
from tests.app.enrolments import refusal
from tests.app.village import Village, genesis_content, signer
from validator.app.cases import Status
from wire.resolution import ResolveCase
from wire.transaction import Transaction


def test_a_resolution_is_prepared_and_stands_once_the_operator_has_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    village = Village()
    village.commit([village.batch(village.close(0, c1=(0, 0)).values(), 0)], 0)
    case = village.app.cases()[0]
    genesis, out = tmp_path / "genesis.json", tmp_path / "case.gwt"
    genesis.write_text(json.dumps(genesis_content()))
    words = ["z1", str(case.start_s), "settle", "--revision", "0", "--finding", "the lamp post"]
    where = ["--genesis", str(genesis), "--out", str(out)]
    assert main(["registry", "prepare", "resolve-case", *words, *where]) == 0
    told = capsys.readouterr().out
    assert "the case of z1" in told
    assert "is settled on revision 0: the lamp post" in told
    transaction = Transaction.of(out.read_bytes())
    assert isinstance(transaction.body, ResolveCase)
    signed = transaction.with_signature(signer("PEA"))
    assert refusal(village, signed, 1) == ""
    village.commit([], 1, [signed])
    assert village.app.cases()[0].case.status == Status.SETTLED


def test_a_decision_that_is_none_is_refused(tmp_path: Path) -> None:
    words = ["resolve-case", "z1", "0", "pardon", "--revision", "0", "--finding", ""]
    with pytest.raises(SystemExit):
        main(["registry", "prepare", *words, "--genesis", str(tmp_path), "--out", str(tmp_path)])
