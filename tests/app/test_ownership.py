"""Nobody who is credited in a zone holds its boundary meter and its gateway alone."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.app.enrolments import Enrolment, refusal, with_technician
from tests.app.village import Village
from validator.app.registry import BadRegistry

Edit = Callable[[dict[str, Any]], None]


def owned(*, boundary: str = "", inner: str = "", operator: str = "PEA", also: str = "") -> Edit:
    """Who owns b0 and c1, who operates gw-a, and gw-b, which also reads b0."""

    def edit(content: dict[str, Any]) -> None:
        with_technician(content)
        content["meters"][0]["owner"] = boundary
        content["meters"][1]["owner"] = inner
        content["gateways"][0]["operator"] = operator
        if also:
            content["gateways"][1]["operator"] = also
            content["meters"][0]["also_read_by"] = ["gw-b"]

    return edit


FAULTS = [
    pytest.param(owned(inner="PEA"), True, id="the operator is credited in its own zone"),
    pytest.param(owned(boundary="MEA", inner="MEA", operator="MEA"), True, id="another party"),
    pytest.param(owned(boundary="MEA", inner="MEA"), False, id="the gateway is another's"),
    pytest.param(owned(boundary="MEA", inner="PEA"), False, id="the meter is another's"),
    pytest.param(owned(inner="PEA", also="MEA"), False, id="another reads it too"),
    pytest.param(owned(inner="PEA", also="PEA"), True, id="both gateways are its own"),
    pytest.param(owned(), False, id="nobody says who owns what"),
]


@pytest.mark.parametrize(("edit", "refused"), FAULTS)
def test_a_reference_in_the_hands_of_who_is_credited_is_refused(edit: Edit, refused: bool) -> None:
    if not refused:
        Village(edit)
        return
    with pytest.raises(BadRegistry, match="boundary meter b0: its key and its gateway belong to"):
        Village(edit)


def test_an_enrolment_that_would_put_it_there_is_refused() -> None:
    village = Village(owned())
    mine = Enrolment(village.genesis, entry={"owner": "PEA"}).transaction()
    assert refusal(village, mine) == "unfit-registry"
    theirs = Enrolment(village.genesis, entry={"owner": "farm-7"}).transaction()
    assert refusal(village, theirs) == ""
